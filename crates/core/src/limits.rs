//! Every bound of the hub, in one place: unit, default and reason. Configuration can set each of them.

use std::time::Duration;

/// Acknowledgements of one subscription whose replies may wait for the engine while its session's next commands are worked
/// on; with one more they wait too. More than the default burst of commands. No setting: whoever needs more acknowledges
/// less often, for the newest covers all before it.
pub const ACKS_AWAITED_MAX: usize = 256;

/// The bounds of a node. All of them hold per node unless a field says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions; above it new ones are refused with 503. 0 takes nine tenths of the descriptor limit, so that files,
    /// Redis and the control API always find a descriptor.
    pub sessions_max: usize,
    /// Sessions of one user on all nodes together; 0 for no bound. More are refused with 429.
    pub sessions_per_user_max: usize,
    /// Sessions that one address may open a minute in the long run, on all nodes together; 0 for no bound. More are refused
    /// with 429. An address of IPv6 is its /64.
    pub openings_per_minute_per_ip_max: u32,
    /// Sessions that one address may open at once.
    pub opening_burst_per_ip_max: u32,
    /// Sessions that one user may open a minute in the long run, on all nodes together; 0 for no bound.
    pub openings_per_minute_per_user_max: u32,
    /// Sessions that one user may open at once.
    pub opening_burst_per_user_max: u32,
    /// Subscriptions of one session.
    pub subscriptions_per_session_max: usize,
    /// Bytes of one message from a client. 64 KiB is generous for a command.
    pub command_bytes_max: usize,
    /// Fragments of one WebSocket message: each costs work however short it is.
    pub fragments_max: u32,
    /// Commands of one POST, so that the work of a body is in proportion before any of it begins. A session's burst of
    /// commands has a bound of its own.
    pub commands_per_body_max: usize,
    /// Bytes of one publication's payload, from clients and services. Each of a million subscribers is sent it.
    pub payload_bytes_max: usize,
    /// Bytes of a publication's id: the engine remembers each for the namespace's window.
    pub publication_id_bytes_max: usize,
    /// Tags of one publication: each subscriber is sent them.
    pub tags_max: usize,
    /// Bytes of all the names and values of one publication's tags.
    pub tags_bytes_max: usize,
    /// Bytes that a session may be owed before its policy applies.
    pub outbox_bytes_max: usize,
    /// How long the oldest frame may wait for a slow reader before its policy applies.
    pub outbox_age_max: Duration,
    /// How long a handshake may take, from accept to the end of the request's head: slow clients hold descriptors.
    pub handshake_timeout: Duration,
    /// Bytes of a request's head, of clients and services. A cursor of many channels travels in one.
    pub header_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// Bytes of a cursor's text, by which SSE and poll sessions resume: at most half of a request's head, for a poll
    /// repeats its channels there. A subscription with which the cursor could become longer is refused. The same on all
    /// nodes, or one makes what another refuses.
    pub cursor_bytes_max: usize,
    /// Streams that a client's HTTP/2 connection may have open at once. A proxy may bring many clients by one connection.
    pub streams_per_connection_max: u32,
    /// Bytes that the kernel may hold unsent for a slow reader. What it holds cannot be dropped or replaced any more, so
    /// the outbox's policy should see the slowness first.
    pub unsent_bytes_max: u32,
    /// Refused connections that may linger at once until their client has read the answer; more are just closed.
    pub refusals_lingering_max: usize,
    /// Commands a second that a session may send in the long run; 0 for no bound.
    pub commands_per_second_max: u32,
    /// Commands that a session may send at once.
    pub command_burst_max: u32,
    /// Publications and reads of history and presence a minute that all sessions of a user (of an address, without a user) may
    /// ask for in the long run, on all nodes together; 0 for no bound. It costs each of them a round trip of the engine.
    pub commands_per_minute_per_user_max: u32,
    /// The same, at once.
    pub command_burst_per_user_max: u32,
    /// How often a WebSocket is pinged and an SSE stream shows a sign of life; below the 60 s of common proxies.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub pong_timeout: Duration,
    /// How long a client may take to go once it has been told the close: then its connection is cut.
    pub close_timeout: Duration,
    /// How long data sent may stay unacknowledged before the kernel gives a peer up (TCP_USER_TIMEOUT).
    pub tcp_user_timeout: Duration,
    /// How long a poll may wait; below the 60 s of common proxies.
    pub poll_wait_max: Duration,
    /// How long a poll session lives without a poll.
    pub poll_linger: Duration,
    /// Before a token ends, how long ahead `expiring` is sent.
    pub expiring_notice: Duration,
    /// After a token has ended, how long a session has to bring a new one.
    pub expiry_grace: Duration,
    /// Publications of one recovery, rewind or history reply.
    pub history_page_max: u32,
    /// Members of one presence page.
    pub presence_page_max: u32,
    /// Entries in a shard's mailbox; above it publishers wait.
    pub mailbox_len_max: usize,
    /// Sends in a row before a shard looks after its other work; at 5 µs a send that is about a millisecond.
    pub fan_out_slice_max: usize,
    /// Publications of a channel that may wait while a subscription catches up; above it the subscription starts over.
    pub sync_parked_max: usize,
    /// Smallest frame that is compressed where a client offers it: smaller ones do not gain.
    pub deflate_bytes_min: usize,
    /// Events that a service's stream may be behind before it is caught up from history.
    pub watch_queue_max: usize,
    /// How long any operation of an engine may take.
    pub engine_timeout: Duration,
    /// Channels named when a session opens.
    pub opening_channels_max: usize,
    /// Bytes of a token; larger ones are refused unread.
    pub token_bytes_max: usize,
    /// Bytes of a token's `info`, compact: it is sent with every join, to every member.
    pub info_bytes_max: usize,
    /// Bytes of one message to the control API, such as a batch; never less than the largest payload needs. 4 MiB is
    /// what gRPC has by default.
    pub api_message_bytes_max: usize,
    /// Items of one PublishBatch.
    pub batch_items_max: usize,
    /// Items of one PublishStream that may be under way at once: enough to hide a round trip of a millisecond at a
    /// million items a second.
    pub publish_window_items_max: usize,
    /// Their payloads' bytes; an item larger than what is left is taken all the same.
    pub publish_window_bytes_max: usize,
    /// Channels of one ListChannels page.
    pub channels_page_max: usize,
    /// Sessions of one ListSessions page.
    pub sessions_page_max: usize,
    /// Channels that one CountMembers may name: an engine counts them all in one go.
    pub count_channels_max: usize,
    /// Connections of services; more wait to be accepted. Services keep a few each.
    pub api_connections_max: usize,
    /// Calls of services at a time, streams among them; more are refused with `unavailable`.
    pub api_calls_max: usize,
    /// Calls at a time of one service's connection.
    pub api_calls_per_connection_max: u32,
    /// How long a call may take to begin its response when the caller names no deadline.
    pub api_call_timeout: Duration,
    /// How long calls under way may take at shutdown before their connections are broken off.
    pub api_shutdown_grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 0,
            sessions_per_user_max: 0,
            openings_per_minute_per_ip_max: 0,
            opening_burst_per_ip_max: 100,
            openings_per_minute_per_user_max: 0,
            opening_burst_per_user_max: 20,
            subscriptions_per_session_max: 128,
            command_bytes_max: 64 * 1024,
            fragments_max: 1024,
            commands_per_body_max: 256,
            payload_bytes_max: 64 * 1024,
            publication_id_bytes_max: 255,
            tags_max: 32,
            tags_bytes_max: 4 * 1024,
            outbox_bytes_max: 1024 * 1024,
            outbox_age_max: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            cursor_bytes_max: 8 * 1024,
            streams_per_connection_max: 256,
            unsent_bytes_max: 64 * 1024,
            refusals_lingering_max: 64,
            commands_per_second_max: 50,
            command_burst_max: 200,
            commands_per_minute_per_user_max: 0,
            command_burst_per_user_max: 200,
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(3),
            tcp_user_timeout: Duration::from_secs(40),
            poll_wait_max: Duration::from_secs(55),
            poll_linger: Duration::from_secs(30),
            expiring_notice: Duration::from_secs(20),
            expiry_grace: Duration::from_secs(5),
            history_page_max: 1000,
            presence_page_max: 1000,
            mailbox_len_max: 4096,
            fan_out_slice_max: 256,
            sync_parked_max: 1024,
            deflate_bytes_min: 512,
            watch_queue_max: 1024,
            engine_timeout: Duration::from_secs(5),
            opening_channels_max: 128,
            token_bytes_max: 8 * 1024,
            info_bytes_max: 4 * 1024,
            api_message_bytes_max: 4 * 1024 * 1024,
            batch_items_max: 1000,
            publish_window_items_max: 1024,
            publish_window_bytes_max: 4 * 1024 * 1024,
            channels_page_max: 1000,
            sessions_page_max: 1000,
            count_channels_max: 1000,
            api_connections_max: 1024,
            api_calls_max: 10_000,
            api_calls_per_connection_max: 1024,
            api_call_timeout: Duration::from_secs(30),
            api_shutdown_grace: Duration::from_secs(5),
        }
    }
}

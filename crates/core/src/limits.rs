//! Every bound of the hub, in one place: unit, default and reason. Configuration can set each of them.

use std::time::Duration;

/// The bounds of a node. All of them hold per node unless a field says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Sessions; above it new ones are refused with 503. 0 takes nine tenths of the descriptor limit, so that files,
    /// Redis and the control API always find a descriptor.
    pub sessions_max: usize,
    /// Sessions of one user; 0 for no bound. More are refused with 429.
    pub sessions_per_user_max: usize,
    /// Subscriptions of one session.
    pub subscriptions_per_session_max: usize,
    /// Bytes of one message from a client. 64 KiB is generous for a command.
    pub command_bytes_max: usize,
    /// Bytes of one publication's payload, from clients and services. Each of a million subscribers is sent it.
    pub payload_bytes_max: usize,
    /// Bytes that a session may be owed before its policy applies.
    pub outbox_bytes_max: usize,
    /// How long the oldest frame may wait for a slow reader before its policy applies.
    pub outbox_age_max: Duration,
    /// How long a handshake may take, from accept to the end of the request's head: slow clients hold descriptors.
    pub handshake_timeout: Duration,
    /// Bytes of a request's head. A cursor of many channels travels in one.
    pub header_bytes_max: usize,
    /// Header fields of a request.
    pub headers_max: usize,
    /// Commands a second that a session may send in the long run; 0 for no bound.
    pub commands_per_second_max: u32,
    /// Commands that a session may send at once.
    pub command_burst_max: u32,
    /// How often a WebSocket is pinged and an SSE stream shows a sign of life; below the 60 s of common proxies.
    pub ping_interval: Duration,
    /// How long a pong may take.
    pub pong_timeout: Duration,
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
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            sessions_max: 0,
            sessions_per_user_max: 0,
            subscriptions_per_session_max: 128,
            command_bytes_max: 64 * 1024,
            payload_bytes_max: 64 * 1024,
            outbox_bytes_max: 1024 * 1024,
            outbox_age_max: Duration::from_secs(20),
            handshake_timeout: Duration::from_secs(10),
            header_bytes_max: 16 * 1024,
            headers_max: 64,
            commands_per_second_max: 50,
            command_burst_max: 200,
            ping_interval: Duration::from_secs(30),
            pong_timeout: Duration::from_secs(10),
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
        }
    }
}

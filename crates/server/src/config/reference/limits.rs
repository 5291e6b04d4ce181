//! `[limits]`: every bound of the node, as in core's `Limits`.

use super::{GIB, KIB, MIB, number, option, seconds};
use crate::config::options::Preset::Is;
use crate::config::options::Setting;

/// The options.
pub(super) const LIMITS: &[Setting] = &[
    option(
        "sessions_max",
        number(0, 10_000_000, "sessions"),
        Is("0"),
        "Sessions; above it new ones are refused with 503. 0: nine tenths of the descriptor limit.",
    ),
    option(
        "sessions_per_user_max",
        number(0, 1_000_000, "sessions"),
        Is("0"),
        "Sessions of one user; more are refused with 429. 0: no bound.",
    ),
    option(
        "subscriptions_per_session_max",
        number(1, 100_000, "subscriptions"),
        Is("128"),
        "Subscriptions of one session.",
    ),
    option(
        "command_bytes_max",
        number(KIB, 64 * MIB, "bytes"),
        Is("65_536"),
        "One message from a client.",
    ),
    option(
        "payload_bytes_max",
        number(1, 64 * MIB, "bytes"),
        Is("65_536"),
        "One publication's payload.",
    ),
    option(
        "outbox_bytes_max",
        number(4 * KIB, GIB, "bytes"),
        Is("1_048_576"),
        "What a session may be owed before its namespace's slow_consumer applies.",
    ),
    option(
        "outbox_age_max_s",
        seconds(0.1, 3600.0),
        Is("20"),
        "How long the oldest frame may wait for a slow reader before slow_consumer applies.",
    ),
    option(
        "handshake_timeout_s",
        seconds(0.1, 300.0),
        Is("10"),
        "How long a handshake may take, to the end of the request's head.",
    ),
    option(
        "header_bytes_max",
        number(4 * KIB, MIB, "bytes"),
        Is("16_384"),
        "A request's head. A cursor of many channels travels in one.",
    ),
    option(
        "headers_max",
        number(8, 1024, "fields"),
        Is("64"),
        "Header fields of a request.",
    ),
    option(
        "commands_per_second_max",
        number(0, 1_000_000, "commands a second"),
        Is("50"),
        "Commands of a session in the long run. 0: no bound.",
    ),
    option(
        "command_burst_max",
        number(1, 1_000_000, "commands"),
        Is("200"),
        "Commands that a session may send at once.",
    ),
    option(
        "ping_interval_s",
        seconds(0.1, 3600.0),
        Is("30"),
        "How often a WebSocket is pinged and an SSE stream shows a sign of life. Keep it below the 60 s of common proxies.",
    ),
    option(
        "pong_timeout_s",
        seconds(0.1, 3600.0),
        Is("10"),
        "How long a pong may take.",
    ),
    option(
        "tcp_user_timeout_s",
        seconds(0.0, 3600.0),
        Is("40"),
        "How long data may stay unacknowledged before the kernel gives a peer up. 0: as the system has it.",
    ),
    option(
        "poll_wait_max_s",
        seconds(0.0, 3600.0),
        Is("55"),
        "How long a poll may wait. Keep it below the 60 s of common proxies.",
    ),
    option(
        "poll_linger_s",
        seconds(0.1, 3600.0),
        Is("30"),
        "How long a poll session lives without a poll.",
    ),
    option(
        "expiring_notice_s",
        seconds(0.0, 3600.0),
        Is("20"),
        "How long before a token ends `expiring` is sent.",
    ),
    option(
        "expiry_grace_s",
        seconds(0.0, 3600.0),
        Is("5"),
        "After a token has ended, how long a session has to bring a new one.",
    ),
    option(
        "history_page_max",
        number(1, 100_000, "publications"),
        Is("1000"),
        "One recovery, rewind or history reply.",
    ),
    option(
        "presence_page_max",
        number(1, 100_000, "members"),
        Is("1000"),
        "One presence page.",
    ),
    option(
        "mailbox_len_max",
        number(16, 10_000_000, "entries"),
        Is("4096"),
        "A shard's mailbox; above it publishers wait.",
    ),
    option(
        "fan_out_slice_max",
        number(1, 1_000_000, "sends"),
        Is("256"),
        "Sends in a row before a shard looks after its other work.",
    ),
    option(
        "sync_parked_max",
        number(1, 1_000_000, "publications"),
        Is("1024"),
        "Publications that may wait while a subscription catches up.",
    ),
    option(
        "deflate_bytes_min",
        number(0, 64 * MIB, "bytes"),
        Is("512"),
        "Smallest frame that is compressed where a client offers it.",
    ),
    option(
        "watch_queue_max",
        number(16, 1_000_000, "events"),
        Is("1024"),
        "How far a service's stream may be behind before it is caught up from history.",
    ),
    option(
        "engine_timeout_s",
        seconds(0.1, 300.0),
        Is("5"),
        "How long any operation of the engine may take.",
    ),
    option(
        "opening_channels_max",
        number(1, 100_000, "channels"),
        Is("128"),
        "Channels named when a session opens.",
    ),
    option(
        "token_bytes_max",
        number(256, MIB, "bytes"),
        Is("8192"),
        "A token; larger ones are refused unread.",
    ),
];

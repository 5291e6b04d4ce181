//! `[namespaces.NAME]` and `[namespace_default]`: what channels offer.

use super::{DAY_S, GIB, number, option, seconds};
use crate::config::options::Preset::Is;
use crate::config::options::{Kind, Setting};

/// The options.
pub(super) const POLICY: &[Setting] = &[
    option(
        "history_count",
        number(0, 10_000_000, "publications"),
        Is("100"),
        "Publications kept of each channel; 0 keeps none, so nothing can be recovered.",
    ),
    option(
        "history_bytes",
        number(0, 64 * GIB, "bytes"),
        Is("1_048_576"),
        "Payload bytes kept of each channel.",
    ),
    option(
        "history_age_s",
        seconds(0.0, 365.0 * DAY_S),
        Is("300"),
        "Age of the oldest publication kept.",
    ),
    option(
        "idempotency_window_s",
        seconds(0.0, 7.0 * DAY_S),
        Is("300"),
        "How long a publication id is remembered, so that a retry publishes nothing.",
    ),
    option(
        "presence",
        Kind::Flag,
        Is("false"),
        "Whether members are tracked.",
    ),
    option(
        "join_leave",
        Kind::Flag,
        Is("false"),
        "Whether subscribers are sent join and leave (needs presence).",
    ),
    option(
        "presence_grace_s",
        seconds(0.0, 3600.0),
        Is("10"),
        "How long a member whose connection broke may come back without a leave and a join being seen.",
    ),
    option(
        "slow_consumer",
        Kind::Choice(&["close", "drop_oldest", "keep_latest"]),
        Is("\"close\""),
        "Subscribers that read too slowly: close (they come back and recover), drop_oldest, or keep_latest for channels that carry state. A loss is always announced.",
    ),
    option(
        "public",
        Kind::Flag,
        Is("false"),
        "Whether every session may subscribe, whatever its token grants.",
    ),
    option(
        "durable",
        Kind::Flag,
        Is("false"),
        "Whether each user's acknowledgements are kept: what it has not acknowledged comes first when it subscribes again, as far back as history reaches (history_count, history_bytes, history_age_s).",
    ),
    option(
        "durable_ttl_s",
        seconds(3600.0, 365.0 * DAY_S),
        Is("2_592_000"),
        "How long a user's mark in a durable channel is kept when nobody uses it; who comes back later begins anew.",
    ),
];

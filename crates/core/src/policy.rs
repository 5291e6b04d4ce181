//! What a namespace offers: history, presence, and what becomes of slow consumers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::ChannelName;

/// How much of a channel's past the engine keeps: whichever bound is reached first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Publications; 0 keeps none, so nothing can be recovered.
    pub count_max: u32,
    /// Payload bytes.
    pub bytes_max: usize,
    /// Age of the oldest.
    pub age_max: Duration,
}

impl Retention {
    /// Keeps nothing.
    pub const NONE: Self = Self {
        count_max: 0,
        bytes_max: 0,
        age_max: Duration::ZERO,
    };

    /// Tells whether anything is kept at all.
    pub fn keeps_any(&self) -> bool {
        self.count_max > 0 && self.bytes_max > 0 && !self.age_max.is_zero()
    }
}

/// What becomes of a subscriber that reads too slowly. Every loss is announced by a gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SlowConsumer {
    /// The session is closed with 4000; it comes back and recovers from history.
    #[default]
    Close,
    /// The oldest undelivered publications of the channel are dropped.
    DropOldest,
    /// Only the newest undelivered publication of the channel is kept: for channels that carry state.
    KeepLatest,
}

/// A namespace's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in the configuration"
)]
pub struct Policy {
    /// What history keeps.
    pub retention: Retention,
    /// How long a publication id is remembered, so that a retry publishes nothing.
    pub idempotency_window: Duration,
    /// Whether members are tracked.
    pub presence: bool,
    /// Whether subscribers are sent `join` and `leave` (needs `presence`).
    pub join_leave: bool,
    /// How long a member whose connection broke may come back without a leave and a join being seen.
    pub presence_grace: Duration,
    /// What becomes of slow consumers.
    pub slow_consumer: SlowConsumer,
    /// Whether every session, whatever its token grants, may subscribe.
    pub public: bool,
    /// Whether each user has a mark in each channel: how far it has acknowledged, and where its next subscription starts.
    /// Needs `retention`.
    pub durable: bool,
    /// How long a mark is kept that nobody uses. Whoever comes back later is as new as on the first day.
    pub durable_ttl: Duration,
}

impl Default for Policy {
    /// One hundred publications or five minutes of history, no presence, slow consumers closed.
    fn default() -> Self {
        Self {
            retention: Retention {
                count_max: 100,
                bytes_max: 1024 * 1024,
                age_max: Duration::from_mins(5),
            },
            idempotency_window: Duration::from_mins(5),
            presence: false,
            join_leave: false,
            presence_grace: Duration::from_secs(10),
            slow_consumer: SlowConsumer::Close,
            public: false,
            durable: false,
            durable_ttl: Duration::from_hours(30 * 24),
        }
    }
}

/// What namespaces may not begin with: such names are the hub's own.
pub const RESERVED: char = '~';

impl Policy {
    /// Whether its channels are durable: without anything retained there is nothing to come back to.
    pub fn is_durable(&self) -> bool {
        self.durable && self.retention.keeps_any()
    }
}

/// The policies of all namespaces.
#[derive(Clone, Debug, Default)]
pub struct PolicyTable {
    namespaces: HashMap<Box<str>, Arc<Policy>>,
    fallback: Option<Arc<Policy>>,
}

impl PolicyTable {
    /// Makes a table; `fallback` serves namespaces that are not named, and without one those are unknown.
    pub fn new(
        namespaces: impl IntoIterator<Item = (Box<str>, Policy)>,
        fallback: Option<Policy>,
    ) -> Self {
        let namespaces = namespaces
            .into_iter()
            .map(|(name, policy)| (name, Arc::new(policy)))
            .collect();
        Self {
            namespaces,
            fallback: fallback.map(Arc::new),
        }
    }

    /// The policy that `channel` is under; nothing when its namespace is unknown, or begins with [`RESERVED`].
    pub fn policy(&self, channel: &ChannelName) -> Option<&Arc<Policy>> {
        if channel.as_str().starts_with(RESERVED) {
            return None;
        }
        self.namespaces
            .get(channel.namespace())
            .or(self.fallback.as_ref())
    }
}

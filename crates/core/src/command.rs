//! What a client may ask for.

use crate::{ChannelName, Payload, Position};

/// A command with the id under which its reply is awaited; without an id there is no reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Chosen by the client.
    pub id: Option<u64>,
    /// What is asked.
    pub command: Command,
}

/// Where a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Start {
    /// With what comes next; in a durable channel with what its user has not acknowledged.
    #[default]
    Live,
    /// With the last so many publications of history.
    Rewind(u32),
    /// After a position that was seen before: recovery.
    After(Position),
}

/// What a client asks of the hub.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Start receiving a channel.
    Subscribe {
        /// The channel.
        channel: ChannelName,
        /// Where to start.
        start: Start,
        /// A token whose grants count for this one channel.
        token: Option<String>,
    },
    /// Stop receiving a channel.
    Unsubscribe {
        /// The channel.
        channel: ChannelName,
    },
    /// Publish, where granted.
    Publish {
        /// The channel.
        channel: ChannelName,
        /// What to publish; JSON is checked already.
        payload: Payload,
        /// Idempotency key.
        id: Option<Box<str>>,
    },
    /// List members.
    Presence {
        /// The channel.
        channel: ChannelName,
        /// How many members a page has at most; 0 asks for the counts alone, nothing for the default.
        limit: Option<u32>,
        /// `next_page` of the page before.
        page: Option<Box<str>>,
    },
    /// Read history.
    History {
        /// The channel.
        channel: ChannelName,
        /// Read what follows it (or, in reverse, what precedes it).
        position: Option<Position>,
        /// How many publications at most.
        limit: Option<u32>,
        /// Newest first.
        reverse: bool,
    },
    /// Ask a service.
    Call {
        /// The service's method.
        method: Box<str>,
        /// Its argument.
        payload: Payload,
    },
    /// Acknowledge a durable subscription.
    Ack {
        /// The channel.
        channel: ChannelName,
        /// The last offset handled.
        offset: u64,
    },
    /// Bring a new token before the old one ends.
    Refresh {
        /// The token.
        token: String,
    },
    /// Ask for the server's time.
    Ping,
}

impl Command {
    /// The command's name on the wire.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Subscribe { .. } => "subscribe",
            Self::Unsubscribe { .. } => "unsubscribe",
            Self::Publish { .. } => "publish",
            Self::Presence { .. } => "presence",
            Self::History { .. } => "history",
            Self::Call { .. } => "call",
            Self::Ack { .. } => "ack",
            Self::Refresh { .. } => "refresh",
            Self::Ping => "ping",
        }
    }
}

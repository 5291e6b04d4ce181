//! What the hub says to clients.

use std::sync::Arc;

use crate::{
    ChannelName, ClientError, Close, Member, NodeId, Payload, Position, Publication, SessionId,
    UserId,
};

/// A frame, before any format has been chosen.
#[derive(Clone, Debug, PartialEq)]
pub enum Frame {
    /// First of all.
    Open(Box<Open>),
    /// Answers a command that had an id.
    Reply(Reply),
    /// A publication.
    Message(Arc<Publication>),
    /// A message that a service sent to this session outside any channel; on the wire a `message` without channel and offset.
    Direct {
        /// The service's bytes.
        payload: Payload,
        /// When it was sent, milliseconds since 1970.
        time_ms: u64,
    },
    /// A member came.
    Join(ChannelName, Arc<Member>),
    /// A member went.
    Leave(ChannelName, Arc<Member>),
    /// What lay before `position` may have been missed; go on from there.
    Gap {
        /// The channel.
        channel: ChannelName,
        /// Where the channel goes on.
        position: Position,
        /// Why.
        reason: GapReason,
    },
    /// The server subscribed the session.
    Subscribed {
        /// The channel.
        channel: ChannelName,
        /// Where the subscription starts.
        position: Position,
        /// Whether all that was missed follows.
        recovered: bool,
        /// What the channel offers.
        offer: Offer,
    },
    /// The server ended a subscription.
    Unsubscribed {
        /// The channel.
        channel: ChannelName,
        /// Why, for a person.
        reason: Box<str>,
        /// Whether subscribing again may work.
        resubscribe: bool,
    },
    /// The token ends: refresh.
    Expiring {
        /// When, milliseconds since 1970.
        expires_at_ms: u64,
    },
    /// Come back elsewhere after this time; still served until then.
    Draining {
        /// Milliseconds from now.
        reconnect_after_ms: u64,
    },
    /// Asked for by `heartbeat=SECONDS`.
    Heartbeat {
        /// The server's time, milliseconds since 1970.
        time_ms: u64,
    },
    /// The session ends here.
    Close(Close),
}

/// The first frame of a session.
#[derive(Clone, Debug, PartialEq)]
pub struct Open {
    /// The session's public id.
    pub session: SessionId,
    /// The user; nothing for an anonymous session.
    pub user: Option<UserId>,
    /// The node.
    pub node: NodeId,
    /// The server's time, milliseconds since 1970.
    pub time_ms: u64,
    /// When the token ends, milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// How often the hub shows a sign of life, milliseconds.
    pub ping_interval_ms: u64,
    /// The unguessable key that POST and poll name the session by (SSE and poll only).
    pub key: Option<Box<str>>,
    /// The largest command, bytes.
    pub command_bytes_max: usize,
    /// The most subscriptions of a session.
    pub subscriptions_max: usize,
}

/// A command's one answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The command's id.
    pub id: u64,
    /// Its result.
    pub outcome: Result<Answer, ClientError>,
}

/// What a channel offers, told when a subscription starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own on the wire"
)]
pub struct Offer {
    /// Missed publications can be recovered.
    pub recovery: bool,
    /// Members are tracked.
    pub presence: bool,
    /// Joins and leaves are pushed.
    pub join_leave: bool,
    /// The user's acknowledgements are kept.
    pub durable: bool,
}

/// The result of a command that worked, one variant a command.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Of `subscribe`.
    Subscribe {
        /// Where the subscription starts: publications after it follow.
        position: Position,
        /// Whether all that was missed follows (only with a position in the command).
        recovered: bool,
        /// What the channel offers.
        offer: Offer,
    },
    /// Of `unsubscribe`.
    Unsubscribe,
    /// Of `publish`.
    Publish {
        /// Where the publication stands.
        position: Position,
    },
    /// Of `presence`.
    Presence {
        /// This page's members.
        members: Vec<Arc<Member>>,
        /// All members.
        count: u64,
        /// Distinct users among them.
        users: u64,
        /// Names the next page; nothing on the last.
        next_page: Option<Box<str>>,
    },
    /// Of `history`.
    History {
        /// The publications, oldest first unless reversed.
        publications: Vec<Arc<Publication>>,
        /// Where the channel stands.
        position: Position,
    },
    /// Of `ack`.
    Ack,
    /// Of `refresh`.
    Refresh {
        /// When the new token ends, milliseconds since 1970.
        expires_at_ms: Option<u64>,
    },
    /// Of `ping`.
    Ping {
        /// The server's time, milliseconds since 1970.
        time_ms: u64,
    },
}

/// Why continuity was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// History no longer reaches back to the position.
    Trimmed,
    /// The engine's data was lost; offsets count anew.
    EpochChanged,
    /// The session read too slowly and the namespace drops.
    SlowConsumer,
    /// Engine and node were out of touch and history did not reach back.
    Interrupted,
}

impl GapReason {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trimmed => "trimmed",
            Self::EpochChanged => "epoch_changed",
            Self::SlowConsumer => "slow_consumer",
            Self::Interrupted => "interrupted",
        }
    }
}

//! The cold part of a session: everything that a delivery does not touch.

use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use switchboard_core::cursor::Cursor;
use switchboard_core::outbox::Outbox;
use switchboard_core::rate::Rate;
use switchboard_core::sync::CatchUp;
use switchboard_core::{Identity, Position, SessionId};
use switchboard_protocol::websocket::decode::Decoder;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::admission::Admission;
use crate::key::Key;
use crate::opening::Transport;
use crate::shard::channels::Item;
use crate::shard::poll::Parked;

/// A client's logical place on this node.
pub(crate) struct Session {
    pub(crate) id: SessionId,
    /// Proves the right to POST and poll; a WebSocket needs none and has none.
    pub(crate) secret: Option<[u8; 16]>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) transport: Transport,
    pub(crate) client_ip: Option<IpAddr>,
    /// Milliseconds since 1970.
    pub(crate) connected_ms: u64,
    pub(crate) subscriptions: Vec<Subscription>,
    /// A socket has one while it would block; a poll session always.
    pub(crate) outbox: Option<Box<Outbox>>,
    /// Told when the outbox has emptied; made by whoever waits.
    pub(crate) drained: Option<Rc<Notify>>,
    /// WebSocket only.
    pub(crate) decoder: Option<Box<Decoder>>,
    /// The task that empties the outbox of a socket.
    pub(crate) flush: Option<AbortHandle>,
    /// A command is being worked on: input waits, so silence proves nothing.
    pub(crate) busy: bool,
    /// Subscriptions, presence and gauges have been seen to; what is left is the socket.
    pub(crate) ended: bool,
    /// The close has been said; when it is at the latest to be over with.
    pub(crate) closing_ms: Option<u64>,
    /// Poll only: where it stood when it was closed.
    pub(crate) closing_cursor: Option<Box<Cursor>>,
    pub(crate) rate: Rate,
    pub(crate) timers: Timers,
    /// Poll only.
    pub(crate) parked: Option<Parked>,
    /// Serialises the commands of parallel POSTs.
    pub(crate) gate: Option<Rc<tokio::sync::Mutex<()>>>,
    /// Its place on the node. A closed poll session that owes little gives it back before it is gone: see `poll.rs`.
    pub(crate) admission: Option<Admission>,
}

/// A session's deadlines, on the node's clock; see `timers.rs`.
#[derive(Debug)]
pub(crate) struct Timers {
    /// The next sign of life is due.
    pub(crate) ping_ms: u64,
    /// A ping is out since then, and nothing has been heard.
    pub(crate) ping_sent_ms: Option<u64>,
    /// How often the client wants to hear something; 0 for never.
    pub(crate) heartbeat_interval_ms: u32,
    pub(crate) heartbeat_ms: u64,
    /// When the token ends, on the node's clock.
    pub(crate) expires_ms: Option<u64>,
    pub(crate) expiring_sent: bool,
    /// A drain closes it then.
    pub(crate) drain_ms: Option<u64>,
    /// Poll only: the last poll was answered or parked then.
    pub(crate) polled_ms: u64,
    /// The earliest entry in the wheel.
    pub(crate) wheel_ms: u64,
}

/// A session's hold on a channel: 32 bytes and four in the channel.
pub(crate) struct Subscription {
    pub(crate) channel: u32,
    /// Tells it from earlier ones of the session to the same channel: what began for those is not for this one.
    pub(crate) attempt: u32,
    /// Its place in the channel's list of live or of waiting subscribers.
    pub(crate) at: u32,
    pub(crate) state: State,
    /// The engine has been asked for a member of it.
    pub(crate) present: bool,
    /// Holds without a grant of the session's own token: by a channel's token or by a service's hand.
    pub(crate) pinned: bool,
}

/// How far a subscription is.
pub(crate) enum State {
    /// Gets what the channel gets.
    Live,
    /// History was ahead of the mailbox: gets only what comes after this offset, and is live once the channel is there.
    Ahead(u64),
    /// Reads history.
    Syncing(Box<Syncing>),
}

/// A subscription that reads history.
pub(crate) struct Syncing {
    pub(crate) catch_up: CatchUp<Item>,
    /// The client has been told that it is subscribed.
    pub(crate) told: bool,
    /// What the session has been given or told so far: what its cursor may say.
    pub(crate) stands: Option<Position>,
}

impl Session {
    /// What POST and poll name it by.
    pub(crate) fn key(&self) -> Option<Key> {
        let session = self.id;
        self.secret.map(|secret| Key { session, secret })
    }

    /// Its subscription to a channel.
    pub(crate) fn subscription(&mut self, channel: u32) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|s| s.channel == channel)
    }

    /// Whether the engine has been asked for a member of its in a channel.
    pub(crate) fn is_present(&self, channel: u32) -> bool {
        let mut subscriptions = self.subscriptions.iter();
        !self.ended && subscriptions.any(|s| s.channel == channel && s.present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_stays_small() {
        assert_eq!(size_of::<Subscription>(), 32);
    }
}

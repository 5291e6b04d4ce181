//! What reaches a shard from outside, all of it through its mailbox.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use socket2::Socket;
use switchboard_core::cursor::Cursor;
use switchboard_core::{ChannelName, Close, UserId};
use switchboard_protocol::broadcast::Broadcast;
use tokio::sync::oneshot;

use crate::admission::Admission;
use crate::key::Key;
use crate::opening::Opening;
use crate::polls::Errand;
use crate::sessions::{SessionInfo, Target};
use crate::shard::poll::{PollBatch, PollRefused};

/// A message to a shard.
pub(crate) enum Mail {
    /// Something for a channel's subscribers.
    Deliver(Delivery),
    /// An accepted connection.
    Adopt(Box<Adopt>),
    /// A new poll session; the answer is its key.
    OpenPoll {
        opening: Box<Opening>,
        admission: Admission,
        reply: oneshot::Sender<String>,
    },
    /// A poll.
    Poll {
        key: Key,
        cursor: Option<Cursor>,
        wait_ms: u64,
        reply: oneshot::Sender<Result<PollBatch, PollRefused>>,
    },
    /// Work for the shard's own thread.
    Errand(Errand),
    /// Commands by POST; the answer is the replies.
    Commands {
        key: Key,
        body: Bytes,
        reply: oneshot::Sender<Result<Bytes, PollRefused>>,
    },
    /// A service's wish.
    Control(Control),
    /// Deliveries may have been lost: in these channels, or anywhere.
    Interrupted(Option<Arc<[ChannelName]>>),
    /// Tell every session when to leave.
    Drain { window_ms: u64 },
    /// End everything now.
    Stop,
    /// Benchmarks: a session without a socket.
    #[cfg(feature = "bench")]
    OpenNull {
        opening: Box<Opening>,
        admission: Admission,
    },
}

/// A publication or a presence change on its way.
#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) broadcast: Arc<Broadcast>,
    /// When the engine's word reached this node.
    pub(crate) accepted: Instant,
}

/// An accepted connection.
pub(crate) struct Adopt {
    pub(crate) opening: Opening,
    pub(crate) admission: Admission,
    pub(crate) socket: Socket,
    pub(crate) leftover: Bytes,
}

/// What services ask of a shard.
pub(crate) enum Control {
    List {
        from_slot: u32,
        limit: usize,
        reply: oneshot::Sender<Vec<SessionInfo>>,
    },
    Lookup {
        user: UserId,
        reply: oneshot::Sender<Vec<SessionInfo>>,
    },
    Channels {
        reply: oneshot::Sender<Vec<(ChannelName, u64)>>,
    },
    Send {
        target: Target,
        broadcast: Arc<Broadcast>,
        reply: oneshot::Sender<u64>,
    },
    Subscribe {
        target: Target,
        channel: ChannelName,
        reply: oneshot::Sender<u64>,
    },
    Unsubscribe {
        target: Target,
        channel: ChannelName,
        reason: Box<str>,
        resubscribe: bool,
        reply: oneshot::Sender<u64>,
    },
    Disconnect {
        target: Target,
        close: Close,
        reply: oneshot::Sender<u64>,
    },
    /// Ends the sessions whose tokens are revoked.
    Revoked { reply: oneshot::Sender<()> },
    /// Benchmarks: a plain loop over all sockets.
    #[cfg(feature = "bench")]
    Bare {
        bytes: Bytes,
        rounds: u32,
        reply: oneshot::Sender<crate::bench::Bare>,
    },
    /// Benchmarks: how often send was called.
    #[cfg(feature = "bench")]
    SendCalls { reply: oneshot::Sender<u64> },
}

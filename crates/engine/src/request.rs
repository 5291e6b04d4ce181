//! What goes into an engine and what comes out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use switchboard_core::{
    ChannelName, Epoch, Member, Origin, Payload, Position, Publication, Retention, SessionId,
    UserId,
};

/// A publication that asks for its place.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The channel.
    pub channel: ChannelName,
    /// What to publish.
    pub payload: Payload,
    /// Idempotency key.
    pub id: Option<Box<str>>,
    /// How long `id` is remembered.
    pub idempotency_window: Duration,
    /// The client that publishes; nothing for a service.
    pub from: Option<Origin>,
    /// Tags to carry.
    pub tags: Vec<(Box<str>, Box<str>)>,
    /// A session that is not to get it.
    pub exclude: Option<SessionId>,
    /// Publish only if the channel stands here.
    pub expected_position: Option<Position>,
    /// What the channel's history keeps. With `Retention::NONE` offsets count on all the same, so that a reader finds the hole
    /// and is told so.
    pub retention: Retention,
    /// Not for history: who listens now gets it, with offset 0; it has no place, moves nobody's position, and the
    /// position returned is where the channel stands.
    pub skip_history: bool,
}

/// A publication's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Where it stands.
    pub position: Position,
    /// The id had been seen: nothing was published, `position` is the first one's.
    pub duplicate: bool,
}

/// A read of history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// Where from.
    pub from: ReadFrom,
    /// Publications at most.
    pub limit: usize,
}

/// Where a read of history starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// What followed the position, oldest first.
    After(Position),
    /// The newest ones, oldest of them first: a rewind.
    Newest,
    /// The newest ones before an offset (of the current epoch), newest first: paging back. `u64::MAX` starts at the top.
    Before(u64),
    /// From the oldest retained, oldest first.
    Oldest,
}

/// What a read of history found.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The publications, in the order that the read asked for, at most its `limit`. Where `complete` is false they are no
    /// continuation: what is still there of what followed, with holes, or nothing at all, as the engine likes. A caller
    /// that goes on from the position must not use them.
    pub publications: Vec<Arc<Publication>>,
    /// Where the channel stands, read at the same instant.
    pub top: Position,
    /// For `After`: `publications` starts right after the position, with nothing missing in between (what `limit` cut off
    /// at the end does not count). False when the position is of another epoch, beyond the top, or trimmed away. True for the others.
    pub complete: bool,
}

/// A session that asks to be a member.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// The channel.
    pub channel: ChannelName,
    /// The session.
    pub session: SessionId,
    /// Its user.
    pub user: Option<UserId>,
    /// Its token's info.
    pub info: Option<Bytes>,
    /// Members that the channel may have at most with it; nothing for no bound.
    pub members_max: Option<u64>,
}

/// How a member goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// At once: it said so.
    Now,
    /// After a grace in which the same user may come back unseen: its connection broke.
    After(Duration),
}

/// A page of members asked for.
#[derive(Clone, Debug, Default)]
pub struct MemberQuery {
    /// `next` of the page before.
    pub after: Option<Box<str>>,
    /// Members at most; 0 for the counts alone.
    pub limit: usize,
}

/// A page of members.
#[derive(Clone, Debug)]
pub struct MemberPage {
    /// The members.
    pub members: Vec<Arc<Member>>,
    /// All members and users.
    pub counts: Counts,
    /// Names the next page; nothing on the last.
    pub next: Option<Box<str>>,
    /// The life of the channel's presence.
    pub epoch: Epoch,
    /// The number of the last change that the listing includes.
    pub sequence: u64,
}

/// How many are present.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Members.
    pub members: u64,
    /// Distinct users among them; each anonymous member counts as one.
    pub users: u64,
}

/// Names a mark: how far a user has acknowledged a durable channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkOf {
    /// The channel.
    pub channel: ChannelName,
    /// The user.
    pub user: UserId,
    /// How long the mark is kept from its last use on.
    pub ttl: Duration,
}

/// Where a mark is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The last position acknowledged. It may be of an epoch that is over, or history may no longer reach back to it: a
    /// read after it says so.
    pub position: Position,
    /// There was none: it has been made.
    pub made: bool,
}

/// A page of channels.
#[derive(Clone, Debug, Default)]
pub struct ChannelPage {
    /// The channels, sorted by name.
    pub channels: Vec<ChannelInfo>,
    /// Whether more follow.
    pub more: bool,
}

/// A channel as the engine knows it.
#[derive(Clone, Debug)]
pub struct ChannelInfo {
    /// Its name.
    pub channel: ChannelName,
    /// Where it stands.
    pub position: Position,
    /// Its members.
    pub members: u64,
}

/// What may have been lost.
#[derive(Clone, Debug)]
pub enum Interrupted {
    /// Anything, in any channel.
    All,
    /// Something in these channels.
    Channels(Vec<ChannelName>),
}

/// Why an engine did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// The channel does not stand where the publisher expected; nothing was published.
    #[error("the channel stands at another position")]
    PositionMismatch {
        /// Where it stands.
        current: Position,
    },
    /// The engine cannot be reached or did not answer in time.
    #[error("the engine is unavailable: {reason}")]
    Unavailable {
        /// What went wrong, for the operator; without secrets.
        reason: Box<str>,
        /// The write may have happened all the same.
        may_have_happened: bool,
    },
    /// The channel has as many members as the one who asked allows; nobody joined.
    #[error("the channel has as many members as allowed")]
    Full,
    /// The page named does not exist.
    #[error("unknown page")]
    UnknownPage,
}

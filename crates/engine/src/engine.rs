//! The contract between a node and its engine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{
    ChannelName, ChannelPattern, NodeId, Position, PresenceEvent, Publication, RateLimit,
    Revocation, SessionId,
};

use crate::request::{
    ChannelPage, Counts, EngineError, History, Interrupted, JoinRequest, Leaving, Mark, MarkOf,
    MemberPage, MemberQuery, PublishRequest, Published, Read,
};

/// What keeps history and presence and carries publications between nodes.
///
/// Every engine promises, and `conformance` tests:
/// 1. publications of a channel have one order for all; offsets are 1, 2, 3 … within an epoch;
/// 2. append and broadcast are atomic: what a subscriber saw is in history while retained, and what history has,
///    subscribers get;
/// 3. the position returned to the publisher is the one subscribers see;
/// 4. the same publication id within its window publishes once; a retry gets the first position;
/// 5. a read from a position gives exactly what followed it, or says that it cannot;
/// 6. when something may have been lost between engine and node, [`Sink::interrupted`] is called within 3 s;
/// 7. losing the data changes the epoch;
/// 8. members of a dead node leave within the lease, once;
/// 9. nothing blocks for ever: each operation ends within the engine's deadline, with an error that says whether it may
///    have happened.
///
/// All methods are cancel safe in this sense: dropping the future leaves the engine whole, and whether a write happened
/// is then unknown.
#[async_trait]
pub trait Engine: Send + Sync + 'static {
    /// Appends to the channel's history and broadcasts, atomically; waits while the node's shards have no room.
    ///
    /// # Errors
    /// `PositionMismatch` when `expected_position` is not where the channel stands; `Unavailable`.
    async fn publish(&self, request: PublishRequest) -> Result<Published, EngineError>;

    /// Publishes many, each as `publish` does, and each channel's in their order. One that is refused holds up none that
    /// follow. Gives an answer to each, when all are answered. An engine that can do many in one go does.
    async fn publish_all(
        &self,
        requests: Vec<PublishRequest>,
    ) -> Vec<Result<Published, EngineError>> {
        let mut answers = Vec::with_capacity(requests.len());
        for request in requests {
            answers.push(self.publish(request).await);
        }
        answers
    }

    /// Starts delivering the channel's publications and presence events to the sink. Once it has returned, every
    /// publication accepted later reaches the sink, or `interrupted` is called.
    async fn follow(&self, channel: &ChannelName) -> Result<(), EngineError>;

    /// Stops delivering the channel. Events already under way may still arrive.
    async fn unfollow(&self, channel: &ChannelName);

    /// Reads a channel's history. A channel that was never published to stands at offset 0 of its epoch.
    ///
    /// # Errors
    /// `Unavailable`. A position that history no longer reaches is no error: see [`History::complete`].
    async fn read(&self, channel: &ChannelName, read: Read) -> Result<History, EngineError>;

    /// Removes a channel's history. Its offsets go on, so nobody mistakes the hole for continuity.
    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError>;

    /// Makes a session a member. Announces a join, unless the session is a member already, or takes the place of a member of the
    /// same user that is `Leaving::After` its grace: then nothing is announced and the member keeps its first session id.
    ///
    /// # Errors
    /// `Full` when it would be one more member than `members_max`; `Unavailable`.
    async fn join(&self, request: JoinRequest) -> Result<(), EngineError>;

    /// Ends a session's membership, at once or after a grace. Announces one leave when it really goes. Unknown
    /// members are no error.
    async fn leave(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError>;

    /// Lists members in a stable order, page by page, never copying a whole large channel.
    ///
    /// # Errors
    /// `UnknownPage` when `after` is none that this life of the channel's presence gave out; `Unavailable`.
    async fn members(
        &self,
        channel: &ChannelName,
        query: MemberQuery,
    ) -> Result<MemberPage, EngineError>;

    /// Counts members of many channels in one go; answers in the order asked.
    async fn count_members(&self, channels: &[ChannelName]) -> Result<Vec<Counts>, EngineError>;

    /// Lists channels that have a position or members, sorted by name, after `after`, at most `limit`.
    async fn channels(
        &self,
        pattern: Option<&ChannelPattern>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChannelPage, EngineError>;

    /// The other nodes that are alive. One that was killed is among them until its lease is over; one that has shut down is
    /// not.
    async fn others(&self) -> Result<Vec<NodeId>, EngineError>;

    /// Hands a message to another node's sink, once at most. False when that node hears nothing: it is gone, or cut off at the
    /// moment. A message may be lost on the way: who needs an answer asks for one.
    async fn tell(&self, node: NodeId, message: Bytes) -> Result<bool, EngineError>;

    /// Keeps a revocation for all nodes until its time is over. The later of two of the same tokens holds.
    async fn revoke(&self, revocation: &Revocation) -> Result<(), EngineError>;

    /// All revocations that are kept. They outlive a node as everything else that the engine keeps.
    async fn revocations(&self) -> Result<Vec<Revocation>, EngineError>;

    /// Tells where a user's mark in a channel is; where there is none, makes one: at `start`, or where the channel stands if
    /// that is nothing or beyond it. A `start` of an epoch that is over is taken as it is, for it tells that something was
    /// missed. Reading a mark and making it are one step, so two first subscriptions agree. Using it keeps it, and
    /// the channel's epoch, for its `ttl` from then on.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn mark(&self, of: &MarkOf, start: Option<Position>) -> Result<Mark, EngineError>;

    /// Moves a mark to `position`, unless it is there or further already, or the position is of an epoch that is over: a mark
    /// never moves back. One that has expired is made anew.
    ///
    /// # Errors
    /// `Unavailable`; doing it again does no harm.
    async fn acknowledge(&self, of: &MarkOf, position: Position) -> Result<(), EngineError>;

    /// Takes one of what `what` is allowed on all nodes together (GCRA), and tells if there is nothing left: then how long to wait.
    /// What it is allowed comes with each call.
    ///
    /// # Errors
    /// `Unavailable`.
    async fn take(&self, what: &str, limit: RateLimit) -> Result<Option<Duration>, EngineError>;

    /// Tells whether commands and deliveries work: what `/readyz` asks.
    async fn check(&self) -> Result<(), EngineError>;

    /// Ends background work and connections; waits for it.
    async fn shutdown(&self);
}

/// Where an engine delivers to: the node. Given to the engine when it is made.
///
/// Calls for one channel must come in the channel's order. An engine first awaits room, then takes its lock, appends and
/// calls `publication` while holding it: so order and history agree, and no lock is held across an await.
#[async_trait]
pub trait Sink: Send + Sync + 'static {
    /// Whether there is room now. The fast path: no future, no allocation.
    fn has_room(&self) -> bool;

    /// Waits until there is room. The bound is soft: callers that were let through together may overshoot it by their number.
    async fn room(&self);

    /// Takes a publication. Never blocks, never loses it.
    fn publication(&self, publication: &Arc<Publication>);

    /// Takes a join or a leave. Never blocks, never loses it.
    fn presence(&self, event: &Arc<PresenceEvent>);

    /// Takes a message of another node. Never blocks. What there is no room for is dropped: messages may be lost.
    fn message(&self, message: Bytes);

    /// Takes the news that something may have been lost: the node compares positions and refills from history.
    fn interrupted(&self, interrupted: Interrupted);
}

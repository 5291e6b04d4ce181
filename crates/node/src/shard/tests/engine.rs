//! A memory engine whose answers can be held up, one by one, and made to fail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{
    ChannelName, ChannelPattern, NodeId, Position, RateLimit, Revocation, SessionId,
};
use switchboard_engine::{
    ChannelPage, Counts, Engine, EngineError, History, JoinRequest, Leaving, Mark, MarkOf,
    MemberPage, MemberQuery, PublishRequest, Published, Read,
};
use tokio::sync::oneshot;

/// What can be held up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Follow,
    Read,
    /// What a read has found, on its way back.
    ReadAnswer,
    Join,
    Mark,
    Acknowledge,
}

/// Lets a held operation go: on to the engine, or to fail (which it also does when this is dropped).
pub(crate) struct Held(oneshot::Sender<()>);

impl Held {
    pub(crate) fn release(self) {
        let _ = self.0.send(());
    }
}

pub(crate) struct HeldEngine {
    engine: Mutex<Arc<dyn Engine>>,
    held: Mutex<VecDeque<(Operation, oneshot::Receiver<()>)>>,
    /// Other nodes follow the same channels: following, which the engine knows one of, does not end with this one's.
    shared: bool,
    /// Sessions that were said to leave, in that order.
    pub(crate) left: Mutex<Vec<SessionId>>,
    /// What was to be acknowledged, in that order, failed attempts included.
    pub(crate) acknowledged: Mutex<Vec<Position>>,
    /// How often marks were asked for.
    pub(crate) marked: AtomicU64,
}

impl HeldEngine {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine: Mutex::new(engine),
            held: Mutex::default(),
            shared: false,
            left: Mutex::default(),
            acknowledged: Mutex::default(),
            marked: AtomicU64::new(0),
        }
    }

    /// One node's hold on an engine that others use too.
    pub(crate) fn of_several(engine: Arc<dyn Engine>) -> Self {
        Self {
            shared: true,
            ..Self::new(engine)
        }
    }

    /// The engine itself, for what is neither held up nor counted.
    pub(crate) fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.engine.lock().unwrap())
    }

    /// Has it go on as another one, as after a loss of all data.
    pub(crate) fn lose_data(&self, empty: Arc<dyn Engine>) {
        *self.engine.lock().unwrap() = empty;
    }

    /// Holds up the next operation of a kind, behind those that are to be held up already.
    pub(crate) fn hold(&self, operation: Operation) -> Held {
        let (release, held) = oneshot::channel();
        self.held.lock().unwrap().push_back((operation, held));
        Held(release)
    }

    /// How many are to be held up that have not come.
    pub(crate) fn to_come(&self) -> usize {
        self.held.lock().unwrap().len()
    }

    async fn pass(&self, operation: Operation) -> Result<(), EngineError> {
        let held = {
            let mut held = self.held.lock().unwrap();
            let at = held.iter().position(|(kind, _)| *kind == operation);
            at.and_then(|at| held.remove(at))
        };
        let Some((_, released)) = held else {
            return Ok(());
        };
        released.await.map_err(|_| EngineError::Unavailable {
            reason: "the test has it fail".into(),
            may_have_happened: false,
        })
    }
}

#[async_trait]
impl Engine for HeldEngine {
    async fn publish(&self, request: PublishRequest) -> Result<Published, EngineError> {
        self.engine().publish(request).await
    }

    async fn follow(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.pass(Operation::Follow).await?;
        self.engine().follow(channel).await
    }

    async fn unfollow(&self, channel: &ChannelName) {
        if !self.shared {
            self.engine().unfollow(channel).await;
        }
    }

    async fn read(&self, channel: &ChannelName, read: Read) -> Result<History, EngineError> {
        self.pass(Operation::Read).await?;
        let history = self.engine().read(channel, read).await?;
        self.pass(Operation::ReadAnswer).await?;
        Ok(history)
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.engine().remove_history(channel).await
    }

    /// A join that is made to fail has happened all the same.
    async fn join(&self, request: JoinRequest) -> Result<(), EngineError> {
        let passed = self.pass(Operation::Join).await;
        self.engine().join(request).await?;
        passed
    }

    async fn leave(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError> {
        self.left.lock().unwrap().push(session);
        self.engine().leave(channel, session, leaving).await
    }

    async fn members(
        &self,
        channel: &ChannelName,
        query: MemberQuery,
    ) -> Result<MemberPage, EngineError> {
        self.engine().members(channel, query).await
    }

    async fn others(&self) -> Result<Vec<NodeId>, EngineError> {
        self.engine().others().await
    }

    async fn tell(&self, node: NodeId, message: Bytes) -> Result<bool, EngineError> {
        self.engine().tell(node, message).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), EngineError> {
        self.engine().revoke(revocation).await
    }

    async fn revocations(&self) -> Result<Vec<Revocation>, EngineError> {
        self.engine().revocations().await
    }

    async fn count_members(&self, channels: &[ChannelName]) -> Result<Vec<Counts>, EngineError> {
        self.engine().count_members(channels).await
    }

    async fn channels(
        &self,
        pattern: Option<&ChannelPattern>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChannelPage, EngineError> {
        self.engine().channels(pattern, after, limit).await
    }

    async fn mark(&self, of: &MarkOf, start: Option<Position>) -> Result<Mark, EngineError> {
        self.marked.fetch_add(1, Ordering::Relaxed);
        self.pass(Operation::Mark).await?;
        self.engine().mark(of, start).await
    }

    async fn acknowledge(&self, of: &MarkOf, position: Position) -> Result<(), EngineError> {
        self.acknowledged.lock().unwrap().push(position);
        self.pass(Operation::Acknowledge).await?;
        self.engine().acknowledge(of, position).await
    }

    async fn take(&self, what: &str, limit: RateLimit) -> Result<Option<Duration>, EngineError> {
        self.engine().take(what, limit).await
    }

    async fn check(&self) -> Result<(), EngineError> {
        self.engine().check().await
    }

    async fn shutdown(&self) {
        self.engine().shutdown().await;
    }
}

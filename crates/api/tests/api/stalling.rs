//! An engine whose publications to `doc:` channels wait until they are let go: so that tests see what waits.

use std::sync::atomic::{AtomicUsize, Ordering};
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
use tokio::sync::{Semaphore, watch};

/// The engine and the strings it is led by.
pub(crate) struct Stalling {
    engine: Arc<dyn Engine>,
    /// Each permit lets one publication go.
    pub(crate) gate: Semaphore,
    /// How many wait.
    pub(crate) waiting: watch::Sender<usize>,
    /// The most that have ever waited at a time.
    pub(crate) waiting_max: AtomicUsize,
    /// How many were handed over together, each time.
    pub(crate) together: Mutex<Vec<usize>>,
}

struct Waits<'a>(&'a Stalling);

impl<'a> Waits<'a> {
    fn new(stalling: &'a Stalling) -> Self {
        stalling.waiting.send_modify(|waiting| {
            *waiting += 1;
            stalling.waiting_max.fetch_max(*waiting, Ordering::SeqCst);
        });
        Self(stalling)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.send_modify(|waiting| *waiting -= 1);
    }
}

impl Stalling {
    pub(crate) fn new(engine: Arc<dyn Engine>) -> Arc<Self> {
        Arc::new(Self {
            engine,
            gate: Semaphore::new(0),
            waiting: watch::Sender::new(0),
            waiting_max: AtomicUsize::new(0),
            together: Mutex::default(),
        })
    }

    /// Waits until `count` publications wait.
    pub(crate) async fn until_waiting(&self, count: usize) {
        let mut waiting = self.waiting.subscribe();
        let reached = waiting.wait_for(|waiting| *waiting == count);
        tokio::time::timeout(crate::fixture::PATIENCE, reached)
            .await
            .expect("so many wait soon")
            .unwrap();
    }
}

#[async_trait]
impl Engine for Stalling {
    async fn publish(&self, request: PublishRequest) -> Result<Published, EngineError> {
        if request.channel.namespace() == "doc" {
            let _waits = Waits::new(self);
            self.gate
                .acquire()
                .await
                .expect("the gate is never closed")
                .forget();
        }
        self.engine.publish(request).await
    }

    async fn publish_all(
        &self,
        requests: Vec<PublishRequest>,
    ) -> Vec<Result<Published, EngineError>> {
        self.together.lock().unwrap().push(requests.len());
        let mut answers = Vec::new();
        for request in requests {
            answers.push(self.publish(request).await);
        }
        answers
    }

    async fn follow(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.engine.follow(channel).await
    }

    async fn unfollow(&self, channel: &ChannelName) {
        self.engine.unfollow(channel).await;
    }

    async fn read(&self, channel: &ChannelName, read: Read) -> Result<History, EngineError> {
        self.engine.read(channel, read).await
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.engine.remove_history(channel).await
    }

    async fn join(&self, request: JoinRequest) -> Result<(), EngineError> {
        self.engine.join(request).await
    }

    async fn leave(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError> {
        self.engine.leave(channel, session, leaving).await
    }

    async fn members(
        &self,
        channel: &ChannelName,
        query: MemberQuery,
    ) -> Result<MemberPage, EngineError> {
        self.engine.members(channel, query).await
    }

    async fn others(&self) -> Result<Vec<NodeId>, EngineError> {
        self.engine.others().await
    }

    async fn tell(&self, node: NodeId, message: Bytes) -> Result<bool, EngineError> {
        self.engine.tell(node, message).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), EngineError> {
        self.engine.revoke(revocation).await
    }

    async fn revocations(&self) -> Result<Vec<Revocation>, EngineError> {
        self.engine.revocations().await
    }

    async fn count_members(&self, channels: &[ChannelName]) -> Result<Vec<Counts>, EngineError> {
        self.engine.count_members(channels).await
    }

    async fn channels(
        &self,
        pattern: Option<&ChannelPattern>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChannelPage, EngineError> {
        self.engine.channels(pattern, after, limit).await
    }

    async fn mark(&self, of: &MarkOf, start: Option<Position>) -> Result<Mark, EngineError> {
        self.engine.mark(of, start).await
    }

    async fn acknowledge(&self, of: &MarkOf, position: Position) -> Result<(), EngineError> {
        self.engine.acknowledge(of, position).await
    }

    async fn take(&self, what: &str, limit: RateLimit) -> Result<Option<Duration>, EngineError> {
        self.engine.take(what, limit).await
    }

    async fn check(&self) -> Result<(), EngineError> {
        self.engine.check().await
    }

    async fn shutdown(&self) {
        self.engine.shutdown().await;
    }
}

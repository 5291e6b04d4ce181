//! An engine that breaks on purpose, within what the contract allows: for testing what stands on engines.
//!
//! [`FaultySink`] stands between the engine and its sink, and loses, delays and repeats deliveries; [`FaultyEngine`] wraps
//! the engine's operations, and delays and fails them. Both follow one [`FaultPlan`] and its seed. What hits a
//! delivery hangs on the seed, the channel and the number alone; what hits an operation, on the seed and the order of operations.
//!
//! ```text
//! let sink = FaultySink::new(node_sink, plan);
//! let engine = FaultyEngine::new(MemoryEngine::new(sink.clone(), config), sink);
//! ```

mod chance;
mod sink;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{
    ChannelName, ChannelPattern, NodeId, Position, RateLimit, Revocation, SessionId,
};

pub use sink::{FaultCounts, FaultySink};

use crate::engine::Engine;
use crate::request::{
    ChannelPage, Counts, EngineError, History, JoinRequest, Leaving, Mark, MarkOf, MemberPage,
    MemberQuery, PublishRequest, Published, Read,
};
use chance::Chance;

/// What goes wrong, and how often: in so many of a thousand cases. The default is nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultPlan {
    /// Where chance starts.
    pub seed: u64,
    /// A single delivery is lost; an interruption that names its channel follows.
    pub drop_per_mille: u16,
    /// From a delivery on, all are lost until the interruption, which then names everything.
    pub outage_per_mille: u16,
    /// How long after a loss the interruption is announced at most; the contract allows 3 s.
    pub interrupt_within: Duration,
    /// Whether losses are announced. False breaks the contract: it shows that a test would notice.
    pub announces: bool,
    /// After an interruption, the last few publications of the channels concerned come once more, in their order.
    pub repeat_per_mille: u16,
    /// A delivery is late, and all behind it too: the order stays.
    pub delay_per_mille: u16,
    /// How late at most.
    pub delay_max: Duration,
    /// An operation is not done and fails. A write may say all the same that it may have happened.
    pub refuse_per_mille: u16,
    /// An operation is done and fails; a write says that it may have happened.
    pub lose_answer_per_mille: u16,
    /// An operation is late.
    pub slow_per_mille: u16,
    /// How late at most.
    pub slow_max: Duration,
}

impl Default for FaultPlan {
    fn default() -> Self {
        Self {
            seed: 0,
            drop_per_mille: 0,
            outage_per_mille: 0,
            interrupt_within: Duration::from_secs(3),
            announces: true,
            repeat_per_mille: 0,
            delay_per_mille: 0,
            delay_max: Duration::from_millis(100),
            refuse_per_mille: 0,
            lose_answer_per_mille: 0,
            slow_per_mille: 0,
            slow_max: Duration::from_millis(100),
        }
    }
}

/// An engine whose operations are late or fail by plan.
pub struct FaultyEngine {
    engine: Arc<dyn Engine>,
    sink: Arc<FaultySink>,
    chance: Mutex<Chance>,
}

/// What becomes of an operation.
struct Fate {
    slow: Option<Duration>,
    refused: bool,
    answer_lost: bool,
    /// What a write that was refused says.
    says_may_have_happened: bool,
}

impl FaultyEngine {
    /// Wraps `engine`, which delivers to `sink`; the plan is the sink's.
    pub fn new(engine: Arc<dyn Engine>, sink: Arc<FaultySink>) -> Arc<Self> {
        // Another stream of chance than that of the deliveries.
        let chance = Mutex::new(Chance::new(!sink.plan().seed));
        Arc::new(Self {
            engine,
            sink,
            chance,
        })
    }

    /// The sink that the engine delivers to.
    pub fn sink(&self) -> &Arc<FaultySink> {
        &self.sink
    }

    fn fate(&self) -> Fate {
        let plan = self.sink.plan();
        let mut chance = self.chance.lock().unwrap_or_else(PoisonError::into_inner);
        // Always as many draws, so that one fault more does not shift all the others.
        let late = chance.up_to(plan.slow_max);
        Fate {
            slow: chance.hits(plan.slow_per_mille).then_some(late),
            refused: chance.hits(plan.refuse_per_mille),
            answer_lost: chance.hits(plan.lose_answer_per_mille),
            says_may_have_happened: chance.hits(500),
        }
    }

    async fn read_operation<T>(
        &self,
        operation: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let fate = self.fate();
        if let Some(late) = fate.slow {
            tokio::time::sleep(late).await;
        }
        if fate.refused || fate.answer_lost {
            Err(self.unavailable(false))
        } else {
            operation.await
        }
    }

    async fn write_operation<T>(
        &self,
        operation: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        let fate = self.fate();
        if let Some(late) = fate.slow {
            tokio::time::sleep(late).await;
        }
        if fate.refused {
            return Err(self.unavailable(fate.says_may_have_happened));
        }
        let answer = operation.await?;
        if fate.answer_lost {
            Err(self.unavailable(true))
        } else {
            Ok(answer)
        }
    }

    fn unavailable(&self, may_have_happened: bool) -> EngineError {
        self.sink.count_failure();
        EngineError::Unavailable {
            reason: "a fault was planned".into(),
            may_have_happened,
        }
    }
}

#[async_trait]
impl Engine for FaultyEngine {
    async fn publish(&self, request: PublishRequest) -> Result<Published, EngineError> {
        self.write_operation(self.engine.publish(request)).await
    }

    async fn follow(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.write_operation(self.engine.follow(channel)).await
    }

    async fn unfollow(&self, channel: &ChannelName) {
        self.engine.unfollow(channel).await;
    }

    async fn read(&self, channel: &ChannelName, read: Read) -> Result<History, EngineError> {
        self.read_operation(self.engine.read(channel, read)).await
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.write_operation(self.engine.remove_history(channel))
            .await
    }

    async fn join(&self, request: JoinRequest) -> Result<(), EngineError> {
        self.write_operation(self.engine.join(request)).await
    }

    async fn leave(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError> {
        self.write_operation(self.engine.leave(channel, session, leaving))
            .await
    }

    async fn members(
        &self,
        channel: &ChannelName,
        query: MemberQuery,
    ) -> Result<MemberPage, EngineError> {
        self.read_operation(self.engine.members(channel, query))
            .await
    }

    async fn count_members(&self, channels: &[ChannelName]) -> Result<Vec<Counts>, EngineError> {
        self.read_operation(self.engine.count_members(channels))
            .await
    }

    async fn channels(
        &self,
        pattern: Option<&ChannelPattern>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChannelPage, EngineError> {
        self.read_operation(self.engine.channels(pattern, after, limit))
            .await
    }

    async fn others(&self) -> Result<Vec<NodeId>, EngineError> {
        self.read_operation(self.engine.others()).await
    }

    async fn tell(&self, node: NodeId, message: Bytes) -> Result<bool, EngineError> {
        self.write_operation(self.engine.tell(node, message)).await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), EngineError> {
        self.write_operation(self.engine.revoke(revocation)).await
    }

    async fn revocations(&self) -> Result<Vec<Revocation>, EngineError> {
        self.read_operation(self.engine.revocations()).await
    }

    async fn mark(&self, of: &MarkOf, start: Option<Position>) -> Result<Mark, EngineError> {
        self.write_operation(self.engine.mark(of, start)).await
    }

    async fn acknowledge(&self, of: &MarkOf, position: Position) -> Result<(), EngineError> {
        self.write_operation(self.engine.acknowledge(of, position))
            .await
    }

    async fn take(&self, what: &str, limit: RateLimit) -> Result<Option<Duration>, EngineError> {
        self.write_operation(self.engine.take(what, limit)).await
    }

    async fn check(&self) -> Result<(), EngineError> {
        self.engine.check().await
    }

    async fn shutdown(&self) {
        self.engine.shutdown().await;
        self.sink.shutdown().await;
    }
}

//! The engine itself: the trait's operations, each with its deadline, and the tasks behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{
    ChannelName, ChannelPattern, NodeId, Position, RateLimit, Revocation, SessionId,
};
use switchboard_engine::{
    ChannelPage, Counts, Engine, EngineError, History, JoinRequest, Leaving, Mark, MarkOf,
    MemberPage, MemberQuery, PublishRequest, Published, Read, Sink,
};
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{ConfigError, RedisConfig};
use crate::connect::Connector;
use crate::deadline::{refused, within};
use crate::follow::{self, Begun, Deliveries, Followed, Hearing};
use crate::keys::{Partition, inbox};
use crate::presence::{self, Presence};
use crate::publish::Publishing;
use crate::revocations::{self, Known};
use crate::shards::{self, Map, Shard, Shards};
use crate::{history, listing, marks, nodes, rates};

/// How often channels that nobody follows any more are looked for.
const LINGER_TICK: Duration = Duration::from_millis(500);

/// How often it is looked whether the engine is ready, by who waits for it.
const READY_TICK: Duration = Duration::from_millis(10);

/// The engine of nodes that share a Redis.
pub struct RedisEngine {
    core: Arc<Core>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// What the engine does and holds, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RedisStats {
    /// Whether commands are answered and deliveries heard.
    pub ready: bool,
    /// Channels subscribed, lingering ones included.
    pub channels_followed: usize,
    /// Deliveries and history entries that could not be read. Ever rising.
    pub garbage: u64,
}

struct Core {
    shards: Arc<Shards>,
    hearing: Arc<Hearing>,
    presence: Arc<Presence>,
    publishing: Arc<Publishing>,
    revocations: Known,
    /// Set by `shutdown`: what would need the background tasks is refused.
    closed: AtomicBool,
}

impl RedisEngine {
    /// Makes the engine of `node`, which delivers to `sink`, and has it connect: until it has, operations are refused as unavailable.
    ///
    /// # Errors
    /// When the configuration cannot work whatever Redis does.
    ///
    /// # Panics
    /// Outside a tokio runtime, or when the system gives no randomness.
    pub fn start(
        node: NodeId,
        sink: Arc<dyn Sink>,
        config: RedisConfig,
    ) -> Result<Arc<Self>, ConfigError> {
        config.check()?;
        let config = Arc::new(config);
        let shards = Shards::new(Arc::clone(&config), Connector::new(Arc::clone(&config))?);
        let hearing = Arc::new(Hearing {
            shards: Arc::clone(&shards),
            sink,
            followed: Followed::new(config.channels_followed_max),
            deliveries: Deliveries::new(
                config.deliveries_queued_max,
                config.delivery_bytes_queued_max,
            ),
            node,
            inbox: inbox(node),
            garbage: AtomicU64::new(0),
        });
        let presence = Arc::new(Presence::new(Arc::clone(&shards), node));
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        let core = Core {
            publishing: Publishing::new(
                Arc::clone(&shards),
                Arc::clone(&hearing.sink),
                tasks.clone(),
                cancel.clone(),
            ),
            shards,
            hearing,
            presence,
            revocations: Known::default(),
            closed: AtomicBool::new(false),
        };
        let engine = Arc::new(Self {
            core: Arc::new(core),
            cancel,
            tasks,
        });
        engine.start_tasks();
        Ok(engine)
    }

    /// Waits until commands and deliveries work.
    ///
    /// # Errors
    /// `Unavailable` when they do not within `timeout`.
    ///
    /// # Cancel safety
    /// Nothing is changed.
    pub async fn wait_until_ready(&self, timeout: Duration) -> Result<(), EngineError> {
        let until_ready = async {
            // What it depends on changes in many places, and nobody waits for it often.
            while self.core.check().is_err() {
                tokio::time::sleep(READY_TICK).await;
            }
        };
        let ready = tokio::time::timeout(timeout, until_ready).await;
        ready.or_else(|_| self.core.check())
    }

    /// Ends everything at once and without a goodbye, as the end of the process would: members stay until the lease is over.
    pub fn abandon(&self) {
        self.core.closed.store(true, Ordering::Release);
        self.cancel.cancel();
    }

    /// What the engine does and holds now.
    pub fn stats(&self) -> RedisStats {
        RedisStats {
            ready: self.core.check_open().is_ok() && self.core.check().is_ok(),
            // All but the inbox.
            channels_followed: self.core.hearing.followed.len() - 1,
            garbage: self.core.hearing.garbage.load(Ordering::Relaxed),
        }
    }

    fn start_tasks(&self) {
        // Subscribed with all that is followed, by whichever ear has it, once there is one. Nobody waits for it.
        let _ = self.core.hearing.followed.begin(&self.core.hearing.inbox);
        let Core {
            shards,
            hearing,
            presence,
            ..
        } = &*self.core;
        for shard in &shards.map().shards {
            shards.start(shard, &self.tasks, &self.cancel);
            start_ear(hearing, shard, true, &self.tasks, &self.cancel);
        }
        let moved = {
            let (hearing, tasks, cancel) =
                (Arc::clone(hearing), self.tasks.clone(), self.cancel.clone());
            move |map: &Map, new: &[Arc<Shard>], partitions: &[Partition], is_first: bool| {
                for shard in new {
                    start_ear(&hearing, shard, is_first, &tasks, &cancel);
                }
                take_over(&hearing, map, partitions);
            }
        };
        let topology = shards::follow_topology(
            Arc::clone(shards),
            self.tasks.clone(),
            self.cancel.clone(),
            moved,
        );
        self.spawn(topology);
        self.spawn(follow::deliver(Arc::clone(hearing)));
        self.spawn(follow::keep_comparing(Arc::clone(hearing)));
        self.spawn(forget_lingering(Arc::clone(hearing)));
        self.spawn(presence::keep_lease(Arc::clone(presence)));
        self.spawn(presence::see_out(Arc::clone(presence)));
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let cancel = self.cancel.clone();
        self.tasks.spawn(async move {
            cancel.run_until_cancelled(task).await;
        });
    }

    async fn within<T>(
        &self,
        operation: impl Future<Output = Result<T, EngineError>>,
    ) -> Result<T, EngineError> {
        self.core.check_open()?;
        within(self.core.shards.config.operation_timeout, operation).await
    }
}

impl Drop for RedisEngine {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[async_trait]
impl Engine for RedisEngine {
    async fn publish(&self, request: PublishRequest) -> Result<Published, EngineError> {
        self.core.check_open()?;
        self.core.publishing.one(request).await
    }

    async fn publish_all(
        &self,
        requests: Vec<PublishRequest>,
    ) -> Vec<Result<Published, EngineError>> {
        match self.core.check_open() {
            Ok(()) => self.core.publishing.all(requests).await,
            Err(error) => vec![Err(error); requests.len()],
        }
    }

    async fn follow(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.within(self.core.follow(channel)).await
    }

    async fn unfollow(&self, channel: &ChannelName) {
        let linger = self.core.shards.config.linger;
        self.core
            .hearing
            .followed
            .end(channel, Instant::now() + linger);
    }

    async fn read(&self, channel: &ChannelName, read: Read) -> Result<History, EngineError> {
        self.within(history::read(&self.core.shards, channel, read))
            .await
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.within(history::remove(&self.core.shards, channel))
            .await
    }

    async fn join(&self, request: JoinRequest) -> Result<(), EngineError> {
        self.core.check_open()?;
        self.core.presence.join(request).await
    }

    async fn leave(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError> {
        self.core.check_open()?;
        self.core.presence.leave(channel, session, leaving).await
    }

    async fn members(
        &self,
        channel: &ChannelName,
        query: MemberQuery,
    ) -> Result<MemberPage, EngineError> {
        self.within(self.core.presence.members(channel, query))
            .await
    }

    async fn count_members(&self, channels: &[ChannelName]) -> Result<Vec<Counts>, EngineError> {
        self.within(self.core.presence.count(channels)).await
    }

    async fn channels(
        &self,
        pattern: Option<&ChannelPattern>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChannelPage, EngineError> {
        self.within(listing::channels(&self.core.shards, pattern, after, limit))
            .await
    }

    async fn others(&self) -> Result<Vec<NodeId>, EngineError> {
        let others = nodes::others(&self.core.shards, self.core.hearing.node);
        self.within(others).await
    }

    async fn tell(&self, node: NodeId, message: Bytes) -> Result<bool, EngineError> {
        self.within(nodes::tell(&self.core.shards, node, message))
            .await
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), EngineError> {
        self.within(revocations::revoke(&self.core.shards, revocation))
            .await
    }

    async fn revocations(&self) -> Result<Vec<Revocation>, EngineError> {
        let all = revocations::all(&self.core.shards, &self.core.revocations);
        self.within(all).await
    }

    async fn mark(&self, of: &MarkOf, start: Option<Position>) -> Result<Mark, EngineError> {
        self.within(marks::mark(&self.core.shards, of, start)).await
    }

    async fn acknowledge(&self, of: &MarkOf, position: Position) -> Result<(), EngineError> {
        self.within(marks::acknowledge(&self.core.shards, of, position))
            .await
    }

    async fn take(&self, what: &str, limit: RateLimit) -> Result<Option<Duration>, EngineError> {
        self.within(rates::take(&self.core.shards, what, limit))
            .await
    }

    async fn check(&self) -> Result<(), EngineError> {
        self.core.check_open()?;
        self.core.check()
    }

    async fn shutdown(&self) {
        if !self.core.closed.load(Ordering::Acquire) {
            nodes::depart(&self.core.shards, self.core.hearing.node).await;
        }
        self.abandon();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Core {
    fn check_open(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::Acquire) {
            Err(refused("the engine has shut down"))
        } else {
            Ok(())
        }
    }

    /// Both paths of every shard, by what the canaries told last, and the lease.
    fn check(&self) -> Result<(), EngineError> {
        let map = self.shards.map();
        if !map.is_whole() {
            return Err(refused(&self.shards.trouble()));
        }
        let interval = self.shards.config.canary_interval;
        for shard in &map.shards {
            if shard.connection().is_none() {
                return Err(refused(&shard.trouble()));
            }
            if !shard.ear.hears(interval) {
                return Err(refused("nothing is heard from redis"));
            }
        }
        // Without one nobody can join, and the other nodes do not know of this one.
        if !self.presence.has_lease() {
            return Err(refused("the node has no lease yet"));
        }
        Ok(())
    }

    async fn follow(&self, channel: &ChannelName) -> Result<(), EngineError> {
        let waits = match self.hearing.followed.begin(channel) {
            Begun::Subscribed => return Ok(()),
            Begun::Full => return Err(refused("too many channels are followed")),
            Begun::Waits(waits) => waits,
            Begun::New(waits) => {
                // Without a shard it waits until there is one: that takes over what is followed.
                if let Some(shard) = self.shard(channel) {
                    shard.ear.subscribe(channel.clone());
                }
                waits
            }
        };
        // Without an answer the channel was forgotten while waiting.
        waits
            .await
            .map_err(|_| refused("nobody follows the channel any more"))
    }

    fn shard(&self, channel: &ChannelName) -> Option<Arc<Shard>> {
        let partition = self.shards.keys.partition(channel.as_str());
        self.shards.map().shard(partition).cloned()
    }
}

fn start_ear(
    hearing: &Arc<Hearing>,
    shard: &Arc<Shard>,
    is_first: bool,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) {
    let listening = follow::listen(Arc::clone(hearing), Arc::clone(shard), is_first);
    let (ended, cancel) = (shard.ended.clone(), cancel.clone());
    tasks.spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => {}
            () = ended.cancelled() => {}
            () = listening => {}
        }
    });
}

/// Has the ears of their new shards subscribe to the channels of these partitions.
fn take_over(hearing: &Hearing, map: &Map, partitions: &[Partition]) {
    let keys = &hearing.shards.keys;
    let moved = |name: &ChannelName| partitions.contains(&keys.partition(name.as_str()));
    for name in hearing.followed.lose(moved) {
        if let Some(shard) = map.shard(keys.partition(name.as_str())) {
            shard.ear.take_over(vec![name]);
        }
    }
}

async fn forget_lingering(hearing: Arc<Hearing>) {
    let mut ticks = tokio::time::interval(LINGER_TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let map = hearing.shards.map();
        hearing
            .followed
            .forget_lingering(Instant::now(), |channel| {
                let partition = hearing.shards.keys.partition(channel.as_str());
                if let Some(shard) = map.shard(partition) {
                    shard.ear.unsubscribe(channel);
                }
            });
    }
}

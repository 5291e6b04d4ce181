//! The memory engine: history and presence of one node, in its own memory.
//!
//! Channels live in stripes, each behind a short lock. A publication is numbered, kept and handed to the sink under the
//! lock of its channel's stripe: so history, the publisher's answer and what subscribers see agree, and nothing is ever
//! awaited inside. What takes time (graces that run out, histories that age, channels nobody uses) is two tasks' work.
//!
//! All is lost with the process; the epoch is random at each start, so nobody mistakes a new start for continuity.

mod budget;
mod channel;
mod clock;
mod epoch;
mod expiry;
mod graces;
mod history;
mod idempotency;
mod marks;
mod presence;
mod rates;
mod stripes;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::policy::RESERVED;
use switchboard_core::{
    ChannelName, ChannelPattern, NodeId, Position, RateLimit, Revocation, Revocations, SessionId,
};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::engine::{Engine, Sink};
use crate::request::{
    ChannelInfo, ChannelPage, Counts, EngineError, History, JoinRequest, Leaving, Mark, MarkOf,
    MemberPage, MemberQuery, PublishRequest, Published, Read,
};

use budget::Budget;
use clock::Clock;
use epoch::Epochs;
use graces::Graces;
use marks::MarkCount;
use rates::Rates;
use stripes::{STRIPES, Stripes};

/// The memory engine's bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Bytes of all channels' histories together, an estimate of each publication's own cost included. Where it is
    /// reached, a channel that is published to gives up its oldest publications; readers are told so.
    pub history_bytes_max: usize,
    /// Channels; a further one is refused with `Unavailable`. An empty one costs less than 256 bytes.
    pub channels_max: usize,
    /// Publication ids remembered for a channel. Where it is reached the oldest are forgotten before their window is
    /// out, and counted in [`MemoryStats::ids_forgotten`].
    pub ids_per_channel_max: usize,
    /// Marks of durable subscriptions in all channels; a further one is refused with `Unavailable`. One costs some 150 bytes.
    pub marks_max: usize,
    /// How long a channel without history, members, marks or followers keeps its position.
    pub idle_channel_ttl: Duration,
    /// How often a slice of the channels is searched for what has expired; a round of all takes sixteen times as long.
    /// Reads never show what has expired, swept or not.
    pub sweep_interval: Duration,
    /// How long a publisher waits for room at most.
    pub operation_timeout: Duration,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            history_bytes_max: 1024 * 1024 * 1024,
            channels_max: 10_000_000,
            ids_per_channel_max: 100_000,
            marks_max: 1_000_000,
            idle_channel_ttl: Duration::from_hours(1),
            sweep_interval: Duration::from_secs(1),
            operation_timeout: Duration::from_secs(5),
        }
    }
}

/// What the memory engine holds, for metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryStats {
    /// Channels with a record.
    pub channels: usize,
    /// Bytes counted against [`MemoryConfig::history_bytes_max`].
    pub history_bytes: usize,
    /// Marks of durable subscriptions.
    pub marks: usize,
    /// Members that are gone but within their grace.
    pub graces: usize,
    /// Ids that were forgotten before their window was out, because a channel had too many. Ever rising.
    pub ids_forgotten: u64,
}

/// The engine of a node that stands alone.
pub struct MemoryEngine {
    core: Arc<Core>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

impl MemoryEngine {
    /// Makes an engine that delivers to `sink`, and starts its two background tasks.
    ///
    /// # Panics
    /// Outside a tokio runtime, or when the system gives no randomness for the epoch.
    pub fn new(sink: Arc<dyn Sink>, config: MemoryConfig) -> Arc<Self> {
        let epochs = Epochs::random();
        let core = Arc::new(Core {
            sink,
            stripes: Stripes::new(epochs.next(), config.channels_max),
            graces: Graces::default(),
            marks: MarkCount::new(config.marks_max),
            rates: Rates::default(),
            budget: Budget::new(config.history_bytes_max),
            revocations: Mutex::default(),
            clock: Clock::start(),
            closed: AtomicBool::new(false),
            ids_forgotten: AtomicU64::new(0),
            epochs,
            config,
        });
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(
            cancel
                .clone()
                .run_until_cancelled_owned(expiry::sweep(Arc::clone(&core))),
        );
        tasks.spawn(
            cancel
                .clone()
                .run_until_cancelled_owned(expiry::end_graces(Arc::clone(&core))),
        );
        Arc::new(Self {
            core,
            cancel,
            tasks,
        })
    }

    /// What the engine holds now.
    pub fn stats(&self) -> MemoryStats {
        MemoryStats {
            channels: self.core.stripes.channels(),
            history_bytes: self.core.budget.used(),
            marks: self.core.marks.marks(),
            graces: self.core.graces.len(),
            ids_forgotten: self.core.ids_forgotten.load(Ordering::Relaxed),
        }
    }
}

impl Drop for MemoryEngine {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[async_trait]
impl Engine for MemoryEngine {
    async fn publish(&self, request: PublishRequest) -> Result<Published, EngineError> {
        self.core.check_open()?;
        if !self.core.sink.has_room() {
            self.core.wait_for_room().await?;
        }
        self.core.publish(request)
    }

    async fn follow(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.core.check_open()?;
        self.core
            .stripes
            .lock(channel)
            .record_or_new()?
            .channel
            .followed = true;
        Ok(())
    }

    async fn unfollow(&self, channel: &ChannelName) {
        let now = self.core.clock.now();
        if let Some(record) = self.core.stripes.lock(channel).record() {
            record.channel.followed = false;
            record.channel.used(now);
        }
    }

    async fn read(&self, channel: &ChannelName, read: Read) -> Result<History, EngineError> {
        self.core.check_open()?;
        let now = self.core.clock.now();
        let mut locked = self.core.stripes.lock(channel);
        let fresh = locked.fresh();
        Ok(match locked.record() {
            Some(record) => record.channel.read(read, now, &self.core.budget),
            None => history::read_empty(
                Position {
                    epoch: fresh,
                    offset: 0,
                },
                read,
            ),
        })
    }

    async fn remove_history(&self, channel: &ChannelName) -> Result<(), EngineError> {
        self.core.check_open()?;
        let removed = match self.core.stripes.lock(channel).record() {
            Some(record) => record.channel.remove_history(&self.core.budget),
            None => None,
        };
        // Freeing many publications takes a while: not under the lock.
        drop(removed);
        Ok(())
    }

    async fn join(&self, request: JoinRequest) -> Result<(), EngineError> {
        self.core.check_open()?;
        self.core.join(&request)
    }

    async fn leave(
        &self,
        channel: &ChannelName,
        session: SessionId,
        leaving: Leaving,
    ) -> Result<(), EngineError> {
        self.core.check_open()?;
        self.core.leave(channel, session, leaving);
        Ok(())
    }

    async fn members(
        &self,
        channel: &ChannelName,
        query: MemberQuery,
    ) -> Result<MemberPage, EngineError> {
        self.core.check_open()?;
        let mut locked = self.core.stripes.lock(channel);
        let fresh = locked.fresh();
        match locked.record() {
            Some(record) => record.channel.page(&query),
            None => presence::page(None, fresh, 0, &query),
        }
    }

    async fn count_members(&self, channels: &[ChannelName]) -> Result<Vec<Counts>, EngineError> {
        self.core.check_open()?;
        let count = |name| match self.core.stripes.lock(name).record() {
            Some(record) => record.channel.counts(),
            None => Counts::default(),
        };
        Ok(channels.iter().map(count).collect())
    }

    async fn channels(
        &self,
        pattern: Option<&ChannelPattern>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<ChannelPage, EngineError> {
        self.core.check_open()?;
        // One more than asked for tells whether more follow.
        let mut found = BTreeMap::new();
        for index in 0..STRIPES {
            for record in self.core.stripes.lock_at(index).iter() {
                let name = &record.name;
                let wanted = record.channel.is_worth_listing()
                    && !name.as_str().starts_with(RESERVED)
                    && after.is_none_or(|after| name.as_str() > after)
                    && pattern.is_none_or(|pattern| pattern.matches(name));
                if !wanted {
                    continue;
                }
                let position = record.channel.position();
                let members = record.channel.counts().members;
                let channel = name.clone();
                found.insert(
                    name.clone(),
                    ChannelInfo {
                        channel,
                        position,
                        members,
                    },
                );
                if found.len() > limit.saturating_add(1) {
                    found.pop_last();
                }
            }
            tokio::task::coop::consume_budget().await;
        }
        let more = found.len() > limit;
        Ok(ChannelPage {
            channels: found.into_values().take(limit).collect(),
            more,
        })
    }

    async fn others(&self) -> Result<Vec<NodeId>, EngineError> {
        self.core.check_open()?;
        Ok(Vec::new())
    }

    async fn tell(&self, _: NodeId, _: Bytes) -> Result<bool, EngineError> {
        self.core.check_open()?;
        Ok(false)
    }

    async fn revoke(&self, revocation: &Revocation) -> Result<(), EngineError> {
        self.core.check_open()?;
        let mut revocations = self
            .core
            .revocations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let inserted = revocations.insert(revocation.clone(), clock::wall_ms());
        inserted.map_err(|too_many| refused(&too_many.to_string()))?;
        Ok(())
    }

    async fn revocations(&self) -> Result<Vec<Revocation>, EngineError> {
        self.core.check_open()?;
        let revocations = self
            .core
            .revocations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Ok(revocations.all(clock::wall_ms()))
    }

    async fn mark(&self, of: &MarkOf, start: Option<Position>) -> Result<Mark, EngineError> {
        self.core.check_open()?;
        self.core.mark(of, start)
    }

    async fn acknowledge(&self, of: &MarkOf, position: Position) -> Result<(), EngineError> {
        self.core.check_open()?;
        self.core.acknowledge(of, position)
    }

    async fn take(&self, what: &str, limit: RateLimit) -> Result<Option<Duration>, EngineError> {
        self.core.check_open()?;
        self.core.rates.take(what, limit, self.core.clock.now().0)
    }

    async fn check(&self) -> Result<(), EngineError> {
        self.core.check_open()
    }

    async fn shutdown(&self) {
        self.core.closed.store(true, Ordering::Release);
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// What the engine and its tasks share.
struct Core {
    sink: Arc<dyn Sink>,
    config: MemoryConfig,
    clock: Clock,
    stripes: Stripes,
    graces: Graces,
    marks: MarkCount,
    rates: Rates,
    budget: Budget,
    revocations: Mutex<Revocations>,
    epochs: Epochs,
    /// Set by `shutdown`: what would need the background tasks is refused.
    closed: AtomicBool,
    ids_forgotten: AtomicU64,
}

impl Core {
    fn check_open(&self) -> Result<(), EngineError> {
        if self.closed.load(Ordering::Acquire) {
            Err(refused("the engine has shut down"))
        } else {
            Ok(())
        }
    }

    async fn wait_for_room(&self) -> Result<(), EngineError> {
        let room = tokio::time::timeout(self.config.operation_timeout, self.sink.room());
        room.await
            .map_err(|_| refused("the node has no room for more publications"))
    }
}

/// An error for what has certainly not happened.
fn refused(reason: &str) -> EngineError {
    EngineError::Unavailable {
        reason: reason.into(),
        may_have_happened: false,
    }
}

//! The faulty path from an engine to its sink.

use std::collections::{BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{ChannelName, PresenceEvent, Publication};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::FaultPlan;
use super::chance::Chance;
use crate::engine::Sink;
use crate::request::Interrupted;

/// Publications that may be repeated after an interruption.
const RECENT_MAX: usize = 16;

/// A sink that loses, delays and repeats by plan what it hands on.
///
/// What it keeps to: the order within a channel; a loss is announced within the plan's time (unless the plan says otherwise);
/// publications are repeated only after an interruption that covers their channel. Late ones may arrive after an interruption
/// too, so a node ignores offsets and sequences that it has. Publications that are not for history have no offset to know them by:
/// they are lost or late as others, and then not to be refilled, but never repeated.
pub struct FaultySink {
    path: Arc<Path>,
    cancel: CancellationToken,
    tasks: TaskTracker,
}

/// What a [`FaultySink`] and its [`FaultyEngine`](super::FaultyEngine) have done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Deliveries lost.
    pub lost: u64,
    /// Deliveries handed on late.
    pub delayed: u64,
    /// Publications handed on a second time.
    pub repeated: u64,
    /// Interruptions announced.
    pub interruptions: u64,
    /// Operations failed.
    pub failed: u64,
}

impl FaultySink {
    /// Makes a path to `sink`, and starts the task that hands on what is late.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(sink: Arc<dyn Sink>, plan: FaultPlan) -> Arc<Self> {
        let (state, changed) = (Mutex::new(State::default()), Notify::new());
        let path = Arc::new(Path {
            sink,
            plan,
            state,
            changed,
        });
        let (cancel, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(
            cancel
                .clone()
                .run_until_cancelled_owned(hand_on_late(Arc::clone(&path))),
        );
        Arc::new(Self {
            path,
            cancel,
            tasks,
        })
    }

    /// The plan.
    pub fn plan(&self) -> &FaultPlan {
        &self.path.plan
    }

    /// What has gone wrong so far.
    pub fn counts(&self) -> FaultCounts {
        self.path.lock().counts
    }

    /// Starts an outage now: all deliveries are lost until the interruption, which comes after the plan's full time.
    pub fn cut(&self) {
        let mut state = self.path.lock();
        state.lost = Lost::All;
        state.announce_at = Some(Instant::now() + self.path.plan.interrupt_within);
        drop(state);
        self.path.changed.notify_one();
    }

    pub(super) fn count_failure(&self) {
        self.path.lock().counts.failed += 1;
    }

    pub(super) async fn shutdown(&self) {
        self.cancel.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

impl Drop for FaultySink {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

#[async_trait]
impl Sink for FaultySink {
    fn has_room(&self) -> bool {
        self.path.sink.has_room()
    }

    async fn room(&self) {
        self.path.sink.room().await;
    }

    fn publication(&self, publication: &Arc<Publication>) {
        let (seed, channel) = (self.path.plan.seed, publication.channel.as_str());
        let chance = match publication.offset {
            // Not for history, so without a number: the order in which they come has to do.
            0 => Chance::of_delivery(seed, 2, channel, self.path.next_unnumbered()),
            offset => Chance::of_delivery(seed, 0, channel, offset),
        };
        self.path
            .take(Delivery::Publication(Arc::clone(publication)), chance);
    }

    fn presence(&self, event: &Arc<PresenceEvent>) {
        let (seed, channel) = (self.path.plan.seed, event.channel.as_str());
        let chance = Chance::of_delivery(seed, 1, channel, event.sequence);
        self.path
            .take(Delivery::Presence(Arc::clone(event)), chance);
    }

    fn message(&self, message: Bytes) {
        self.path.sink.message(message);
    }

    fn interrupted(&self, interrupted: Interrupted) {
        self.path.sink.interrupted(interrupted);
    }
}

struct Path {
    sink: Arc<dyn Sink>,
    plan: FaultPlan,
    /// Held while the sink is called, so that nothing overtakes: the sink does not block, and does not call back.
    state: Mutex<State>,
    /// Rung when there is something to wait for.
    changed: Notify,
}

#[derive(Default)]
struct State {
    late: VecDeque<(Instant, Delivery)>,
    lost: Lost,
    announce_at: Option<Instant>,
    recent: VecDeque<Arc<Publication>>,
    /// Publications without an offset so far.
    unnumbered: u64,
    counts: FaultCounts,
}

#[derive(Default)]
enum Lost {
    #[default]
    Nothing,
    Some(BTreeSet<ChannelName>),
    All,
}

enum Delivery {
    Publication(Arc<Publication>),
    Presence(Arc<PresenceEvent>),
}

impl Path {
    fn next_unnumbered(&self) -> u64 {
        let mut state = self.lock();
        state.unnumbered += 1;
        state.unnumbered
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, delivery: Delivery, mut chance: Chance) {
        let plan = &self.plan;
        let now = Instant::now();
        let mut state = self.lock();
        let late = chance.up_to(plan.delay_max);
        let is_late = chance.hits(plan.delay_per_mille);
        let is_outage = matches!(state.lost, Lost::All) || chance.hits(plan.outage_per_mille);
        if is_outage || chance.hits(plan.drop_per_mille) {
            state.lose(&delivery, is_outage);
            if state.announce_at.is_none() {
                state.announce_at = Some(now + chance.up_to(plan.interrupt_within));
                self.changed.notify_one();
            }
        } else if is_late || !state.late.is_empty() {
            let earliest = state.late.back().map_or(now, |(due, _)| *due);
            let due = if is_late {
                earliest.max(now + late)
            } else {
                earliest
            };
            state.counts.delayed += 1;
            state.late.push_back((due, delivery));
            self.changed.notify_one();
        } else {
            self.hand_on(&mut state, &delivery);
        }
    }

    fn hand_on(&self, state: &mut State, delivery: &Delivery) {
        match delivery {
            Delivery::Publication(publication) => {
                self.sink.publication(publication);
                if publication.offset == 0 {
                    return;
                }
                state.recent.push_back(Arc::clone(publication));
                if state.recent.len() > RECENT_MAX {
                    state.recent.pop_front();
                }
            }
            Delivery::Presence(event) => self.sink.presence(event),
        }
    }

    /// Does what is due. Tells when there is something to do again.
    fn advance(&self) -> Option<Instant> {
        let now = Instant::now();
        let mut state = self.lock();
        while state.late.front().is_some_and(|(due, _)| *due <= now) {
            let (_, delivery) = state.late.pop_front().expect("the front was seen");
            self.hand_on(&mut state, &delivery);
        }
        if state.announce_at.is_some_and(|due| due <= now) {
            state.announce_at = None;
            self.announce(&mut state);
        }
        let next_late = state.late.front().map(|(due, _)| *due);
        next_late.into_iter().chain(state.announce_at).min()
    }

    fn announce(&self, state: &mut State) {
        let lost = std::mem::take(&mut state.lost);
        let interrupted = match &lost {
            Lost::Nothing => return,
            Lost::Some(channels) => Interrupted::Channels(channels.iter().cloned().collect()),
            Lost::All => Interrupted::All,
        };
        if !self.plan.announces {
            return;
        }
        state.counts.interruptions += 1;
        self.sink.interrupted(interrupted);
        let mut chance = Chance::new(self.plan.seed ^ state.counts.interruptions);
        if chance.hits(self.plan.repeat_per_mille) {
            for publication in state
                .recent
                .iter()
                .filter(|publication| lost.covers(&publication.channel))
            {
                self.sink.publication(publication);
                state.counts.repeated += 1;
            }
        }
    }
}

impl State {
    fn lose(&mut self, delivery: &Delivery, is_outage: bool) {
        self.counts.lost += 1;
        let channel = match delivery {
            Delivery::Publication(publication) => &publication.channel,
            Delivery::Presence(event) => &event.channel,
        };
        match &mut self.lost {
            Lost::All => {}
            lost @ (Lost::Nothing | Lost::Some(_)) if is_outage => *lost = Lost::All,
            Lost::Some(channels) => {
                channels.insert(channel.clone());
            }
            lost @ Lost::Nothing => *lost = Lost::Some(BTreeSet::from([channel.clone()])),
        }
    }
}

impl Lost {
    fn covers(&self, channel: &ChannelName) -> bool {
        match self {
            Self::Nothing => false,
            Self::Some(channels) => channels.contains(channel),
            Self::All => true,
        }
    }
}

async fn hand_on_late(path: Arc<Path>) {
    loop {
        match path.advance() {
            Some(due) => {
                tokio::select! {
                    () = tokio::time::sleep_until(due) => {}
                    () = path.changed.notified() => {}
                }
            }
            None => path.changed.notified().await,
        }
    }
}

//! From the engine to the shards: which shards have subscribers of a channel, and which service streams watch it.
//!
//! This is the node's one [`Sink`]. The engine calls it in each channel's order, under its own lock, so everything here is short.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use switchboard_core::{ChannelName, Frame, PresenceChange, PresenceEvent, Publication};
use switchboard_engine::{Engine, EngineError, Interrupted, Sink};
use switchboard_protocol::broadcast::Broadcast;
use tokio::sync::{Notify, mpsc};

use crate::mailbox::Mailbox;
use crate::metrics::Metrics;
use crate::revoked::Revoked;
use crate::shard::mail::{Delivery, Mail};

/// Stripes of the table: enough that publishers on a few cores rarely meet.
const STRIPES: usize = 64;

/// The most shards a node can have: the bits of a mask.
pub(crate) const SHARDS_MAX: usize = 64;

/// What a service stream hears.
#[derive(Clone, Debug)]
pub(crate) enum WatchEvent {
    Publication(Arc<Publication>),
    Presence(Arc<PresenceEvent>),
}

/// A service stream's end of the table. When its queue is full it has fallen behind and catches up from the engine.
#[derive(Debug)]
pub(crate) struct Watcher {
    events: mpsc::Sender<WatchEvent>,
    behind: AtomicBool,
    fell_behind: Notify,
}

impl Watcher {
    pub(crate) fn new(events: mpsc::Sender<WatchEvent>) -> Self {
        Self {
            events,
            behind: AtomicBool::new(false),
            fell_behind: Notify::new(),
        }
    }

    /// Events are lost to it from here on.
    fn fall_behind(&self) {
        if !self.behind.swap(true, Ordering::AcqRel) {
            self.fell_behind.notify_one();
        }
    }

    /// Whether it has lost events since it last began anew.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind.load(Ordering::Acquire)
    }

    /// Returns at the latest when it is behind; at times earlier.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(crate) async fn fell_behind(&self) {
        self.fell_behind.notified().await;
    }

    /// Begins anew.
    pub(crate) fn begin_anew(&self) {
        self.behind.store(false, Ordering::Release);
    }
}

#[derive(Default)]
struct Entry {
    /// Bit n: shard n has subscribers.
    mask: u64,
    watchers: Vec<Arc<Watcher>>,
    /// The engine delivers it: whoever asked may have given up before it had.
    followed: bool,
}

impl Entry {
    fn is_empty(&self) -> bool {
        self.mask == 0 && self.watchers.is_empty()
    }
}

#[derive(Default)]
struct Stripe {
    channels: RwLock<HashMap<ChannelName, Entry>>,
    /// Held while a channel's following starts or ends, so that the two cannot overtake each other in the engine.
    transition: tokio::sync::Mutex<()>,
}

/// Where goes what is for no shard.
pub(crate) struct Elsewhere {
    /// Other nodes' messages, to who reads them.
    pub(crate) messages: mpsc::Sender<Bytes>,
    /// Told when something may have been lost: a revocation, too.
    pub(crate) revoked: Arc<Revoked>,
}

/// The table, and the shards' mailboxes.
pub(crate) struct Dispatch {
    stripes: Vec<Stripe>,
    pub(crate) mailboxes: Vec<Arc<Mailbox<Mail>>>,
    metrics: Arc<Metrics>,
    deflate_bytes_min: usize,
    elsewhere: Elsewhere,
    hasher: std::hash::RandomState,
}

/// Who follows a channel.
#[derive(Clone)]
pub(crate) enum Follower {
    Shard(u16),
    Watcher(Arc<Watcher>),
}

impl Dispatch {
    pub(crate) fn new(
        mailboxes: Vec<Arc<Mailbox<Mail>>>,
        metrics: Arc<Metrics>,
        deflate_bytes_min: usize,
        elsewhere: Elsewhere,
    ) -> Self {
        assert!(
            mailboxes.len() <= SHARDS_MAX,
            "a mask has {SHARDS_MAX} bits"
        );
        let stripes = (0..STRIPES).map(|_| Stripe::default()).collect();
        Self {
            stripes,
            mailboxes,
            metrics,
            deflate_bytes_min,
            elsewhere,
            hasher: std::hash::RandomState::new(),
        }
    }

    /// Channels that somebody follows.
    #[cfg(test)]
    pub(crate) fn channels(&self) -> usize {
        let stripes = self.stripes.iter();
        let channels = stripes.map(|s| s.channels.read().unwrap_or_else(PoisonError::into_inner));
        channels.map(|channels| channels.len()).sum()
    }

    fn stripe(&self, channel: &ChannelName) -> &Stripe {
        use std::hash::BuildHasher;
        &self.stripes[self.hasher.hash_one(channel) as usize % STRIPES]
    }

    /// Enters a follower; once this has returned the follower hears everything that the engine accepts.
    pub(crate) async fn follow(
        &self,
        engine: &dyn Engine,
        channel: &ChannelName,
        follower: Follower,
    ) -> Result<(), EngineError> {
        let stripe = self.stripe(channel);
        let _one_at_a_time = stripe.transition.lock().await;
        let followed = {
            let mut channels = stripe
                .channels
                .write()
                .unwrap_or_else(PoisonError::into_inner);
            let entry = channels.entry(channel.clone()).or_default();
            match &follower {
                Follower::Shard(shard) => entry.mask |= 1 << shard,
                Follower::Watcher(watcher) => entry.watchers.push(Arc::clone(watcher)),
            }
            entry.followed
        };
        if followed {
            return Ok(());
        }
        if let Err(error) = engine.follow(channel).await {
            if self.remove(channel, &follower) {
                // It may have happened all the same.
                engine.unfollow(channel).await;
            }
            return Err(error);
        }
        let mut channels = stripe
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = channels.get_mut(channel) {
            entry.followed = true;
        }
        Ok(())
    }

    /// Takes a follower out, unless `still_wanted` says by now that it is to stay.
    pub(crate) async fn unfollow(
        &self,
        engine: &dyn Engine,
        channel: &ChannelName,
        follower: Follower,
        still_wanted: impl FnOnce() -> bool,
    ) {
        let _one_at_a_time = self.stripe(channel).transition.lock().await;
        if !still_wanted() && self.remove(channel, &follower) {
            engine.unfollow(channel).await;
        }
    }

    /// Takes a follower out; true when it was the last.
    fn remove(&self, channel: &ChannelName, follower: &Follower) -> bool {
        let mut channels = self
            .stripe(channel)
            .channels
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = channels.get_mut(channel) else {
            return false;
        };
        match follower {
            Follower::Shard(shard) => entry.mask &= !(1 << shard),
            Follower::Watcher(gone) => entry.watchers.retain(|watcher| !Arc::ptr_eq(watcher, gone)),
        }
        let last = entry.is_empty();
        if last {
            channels.remove(channel);
        }
        last
    }

    fn deliver(
        &self,
        channel: &ChannelName,
        frame: impl FnOnce() -> Frame,
        event: impl Fn() -> WatchEvent,
    ) {
        let channels = self
            .stripe(channel)
            .channels
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = channels.get(channel) else {
            return;
        };
        if entry.mask != 0 {
            let broadcast = Arc::new(Broadcast::new(frame(), self.deflate_bytes_min));
            let accepted = Instant::now();
            let mut mask = entry.mask;
            while mask != 0 {
                let shard = mask.trailing_zeros() as usize;
                mask &= mask - 1;
                self.mailboxes[shard].send(Mail::Deliver(Delivery {
                    broadcast: Arc::clone(&broadcast),
                    accepted,
                }));
            }
        }
        for watcher in &entry.watchers {
            if watcher.events.try_send(event()).is_err() {
                watcher.fall_behind();
            }
        }
    }
}

#[async_trait]
impl Sink for Dispatch {
    fn has_room(&self) -> bool {
        self.mailboxes.iter().all(|mailbox| mailbox.has_room())
    }

    async fn room(&self) {
        for mailbox in &self.mailboxes {
            mailbox.room().await;
        }
    }

    fn publication(&self, publication: &Arc<Publication>) {
        self.metrics.publications.inc();
        self.deliver(
            &publication.channel,
            || Frame::Message(Arc::clone(publication)),
            || WatchEvent::Publication(Arc::clone(publication)),
        );
    }

    fn presence(&self, event: &Arc<PresenceEvent>) {
        let (channel, member) = (&event.channel, &event.member);
        let frame = || match event.change {
            PresenceChange::Join => Frame::Join(channel.clone(), Arc::clone(member)),
            PresenceChange::Leave => Frame::Leave(channel.clone(), Arc::clone(member)),
        };
        self.deliver(channel, frame, || WatchEvent::Presence(Arc::clone(event)));
    }

    fn message(&self, message: Bytes) {
        if self.elsewhere.messages.try_send(message).is_err() {
            self.metrics.node_messages_dropped.inc();
        }
    }

    fn interrupted(&self, interrupted: Interrupted) {
        self.elsewhere.revoked.look();
        self.metrics.interruptions.inc();
        let channels: Option<Arc<[ChannelName]>> = match interrupted {
            Interrupted::All => None,
            Interrupted::Channels(channels) => Some(channels.into()),
        };
        for mailbox in &self.mailboxes {
            mailbox.send(Mail::Interrupted(channels.clone()));
        }
        for stripe in &self.stripes {
            let table = stripe
                .channels
                .read()
                .unwrap_or_else(PoisonError::into_inner);
            for (name, entry) in table.iter() {
                if channels.as_ref().is_none_or(|some| some.contains(name)) {
                    entry
                        .watchers
                        .iter()
                        .for_each(|watcher| watcher.fall_behind());
                }
            }
        }
    }
}

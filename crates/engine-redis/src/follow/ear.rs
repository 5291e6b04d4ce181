//! A shard's ear: the connection that subscribes to what the node follows there.
//!
//! A session of it lasts until its first fault: the connection ends, the server refuses what it must not refuse, the canary is not
//! heard. Then a new connection subscribes to everything, what was seen is compared with what Redis has, and the node is told
//! that something may have been lost. If that takes long, the node is told before, too.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use switchboard_core::ChannelName;
use switchboard_engine::Interrupted;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::{info, warn};

use super::canary::{self, Heard};
use super::{Hearing, compare_all};
use crate::connect::{Incoming, Messages, Subscriber};
use crate::reply::CallError;
use crate::shards::{Backoff, Shard};

/// Subscriptions that are written before their answers are awaited.
const BATCH: usize = 512;

/// How long after a fault the node is told, if nothing is heard again by then. With what noticing takes at most this is less than three
/// seconds.
const TOLD_AFTER: Duration = Duration::from_millis(300);

/// How long comparing may hold back the news.
const COMPARE_TIMEOUT: Duration = Duration::from_secs(1);

/// What is to be subscribed, and how well it goes.
pub(crate) struct Ear {
    wishes: Mutex<VecDeque<Wish>>,
    wished: Notify,
    /// When the canary was last heard; nothing while not everything is subscribed.
    hears: watch::Sender<Option<Instant>>,
}

enum Wish {
    /// For the first time.
    Subscribe(ChannelName),
    /// What another shard had until now: something may have been lost on the way.
    TakeOver(ChannelName),
    Unsubscribe(ChannelName),
}

/// Why a session of an ear ended.
#[derive(Debug)]
enum Fault {
    /// The connection ended.
    Closed,
    /// The canary was not heard, though the server answers.
    Deaf,
    /// The canary was not heard, and the server does not answer either.
    Hung,
    /// The server takes no writes any more.
    Demoted,
    /// A command failed. Only shown.
    Call(#[expect(dead_code, reason = "shown in the log by its Debug form")] CallError),
}

impl Default for Ear {
    fn default() -> Self {
        Self {
            wishes: Mutex::default(),
            wished: Notify::new(),
            hears: watch::Sender::new(None),
        }
    }
}

impl Ear {
    pub(crate) fn subscribe(&self, channel: ChannelName) {
        self.wish([Wish::Subscribe(channel)]);
    }

    pub(crate) fn take_over(&self, channels: Vec<ChannelName>) {
        self.wish(channels.into_iter().map(Wish::TakeOver));
    }

    pub(crate) fn unsubscribe(&self, channel: ChannelName) {
        self.wish([Wish::Unsubscribe(channel)]);
    }

    /// Whether everything is subscribed and the canary was heard lately.
    pub(crate) fn hears(&self, interval: Duration) -> bool {
        let last = *self.hears.borrow();
        last.is_some_and(|last| last.elapsed() < canary::deaf_after(interval))
    }

    // Bounded by what is followed: each channel is wished for once until it is forgotten.
    fn wish(&self, wishes: impl IntoIterator<Item = Wish>) {
        self.lock().extend(wishes);
        self.wished.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Wish>> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has a shard's ear listen, in one session after another. `is_first` where nothing can have been lost before.
pub(crate) async fn listen(hearing: Arc<Hearing>, shard: Arc<Shard>, mut is_first: bool) {
    let mut backoff = Backoff::new(hearing.shards.config.reconnect);
    // When the last session ended, until the node has been told.
    let mut lost: Option<Instant> = None;
    loop {
        let hears = watch::Sender::new(false);
        let fault = {
            let session = session(&hearing, &shard, &hears, is_first);
            tokio::pin!(session);
            loop {
                let told = lost.map(|lost| lost + TOLD_AFTER);
                tokio::select! {
                    fault = &mut session => break fault,
                    () = until(told), if told.is_some() && !*hears.borrow() => {
                        tell(&hearing, &shard);
                        lost = None;
                    }
                }
            }
        };
        shard.ear.hears.send_replace(None);
        warn!(engine = "redis", target = ?shard.target, fault = ?fault, "an ear is deaf");
        if *hears.borrow() {
            (lost, is_first) = (Some(Instant::now()), false);
            backoff.reset();
        }
        match fault {
            // Noticing has taken its time already.
            Fault::Deaf | Fault::Hung | Fault::Demoted => {
                tell(&hearing, &shard);
                lost = None;
                hearing.shards.request_refresh();
            }
            Fault::Closed | Fault::Call(_) => {}
        }
        if matches!(fault, Fault::Hung | Fault::Demoted) {
            shard.replace();
        }
        backoff.wait().await;
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Tells the node that something of this shard's channels may have been lost.
fn tell(hearing: &Hearing, shard: &Arc<Shard>) {
    let map = hearing.shards.map();
    if map.shards.len() == 1 {
        hearing.sink.interrupted(Interrupted::All);
        return;
    }
    let is_here = |channel: &ChannelName| {
        let owner = map.shard(hearing.shards.keys.partition(channel.as_str()));
        owner.is_some_and(|owner| Arc::ptr_eq(owner, shard))
    };
    let channels = hearing
        .followed
        .all()
        .into_iter()
        .map(|(channel, _)| channel);
    let channels: Vec<_> = channels.filter(is_here).collect();
    if !channels.is_empty() {
        hearing.sink.interrupted(Interrupted::Channels(channels));
    }
}

/// One session: from connecting to the first fault.
async fn session(
    hearing: &Hearing,
    shard: &Arc<Shard>,
    hears: &watch::Sender<bool>,
    is_first: bool,
) -> Fault {
    let (subscriber, messages) = match hearing.shards.connector.subscriber(&shard.target).await {
        Ok(connected) => connected,
        Err(error) => return Fault::Call(error),
    };
    let interval = hearing.shards.config.canary_interval;
    let canary = hearing.shards.keys.canary(shard.canary, hearing.node);
    let heard = Heard::new(Instant::now());
    let answered = Heard::new(Instant::now());
    let wishes = async {
        if let Err(error) = subscriber.subscribe(Bytes::from(canary.clone())).await {
            return error;
        }
        // What was wished for until now is among what is followed, or was never subscribed here.
        shard.ear.lock().clear();
        let map = hearing.shards.map();
        let all = hearing.followed.lose(|channel| {
            let owner = map.shard(hearing.shards.keys.partition(channel.as_str()));
            owner.is_some_and(|owner| Arc::ptr_eq(owner, shard))
        });
        let mut all: VecDeque<_> = all.into_iter().map(Wish::Subscribe).collect();
        while !all.is_empty() {
            let batch = all.drain(..all.len().min(BATCH)).collect();
            if let Err(error) = grant(hearing, shard, &subscriber, batch).await {
                return error;
            }
        }
        // Everything is subscribed; whether it is heard the canary shows.
        let began = Instant::now();
        let _ = heard.subscribe().wait_for(|&heard| heard > began).await;
        if !is_first {
            let compared = compare_all(hearing, Some(shard));
            let _ = tokio::time::timeout(COMPARE_TIMEOUT, compared).await;
            tell(hearing, shard);
        }
        info!(engine = "redis", target = ?shard.target, "hears");
        hears.send_replace(true);
        shard.ear.hears.send_replace(Some(*heard.borrow()));
        loop {
            let batch: Vec<_> = {
                let mut wishes = shard.ear.lock();
                let len = wishes.len().min(BATCH);
                wishes.drain(..len).collect()
            };
            if batch.is_empty() {
                shard.ear.wished.notified().await;
            } else if let Err(error) = grant(hearing, shard, &subscriber, batch).await {
                return error;
            }
        }
    };
    tokio::select! {
        error = wishes => Fault::Call(error),
        () = subscriber.closed() => Fault::Closed,
        () = take_in(hearing, shard, messages, &canary, &heard) => Fault::Closed,
        () = canary::sing(hearing, shard, &canary, &answered) => Fault::Demoted,
        () = canary::deaf(&heard, interval) => {
            let last = *answered.borrow();
            if last.elapsed() < interval * 2 {
                Fault::Deaf
            } else {
                Fault::Hung
            }
        }
    }
}

/// Takes what comes out of the library at once.
async fn take_in(
    hearing: &Hearing,
    shard: &Shard,
    mut messages: Messages,
    canary: &str,
    heard: &Heard,
) {
    while let Some(incoming) = messages.next().await {
        let kept = match incoming {
            Incoming::Message(channel, payload) => {
                if *channel == *canary {
                    let now = Instant::now();
                    heard.send_replace(now);
                    shard
                        .ear
                        .hears
                        .send_modify(|hears| *hears = hears.map(|_| now));
                    continue;
                }
                let Some(name) = hearing.shards.keys.channel_of(&channel) else {
                    continue;
                };
                hearing.deliveries.push(name.into(), payload)
            }
            Incoming::Overrun => false,
        };
        if !kept {
            warn!(
                engine = "redis",
                "deliveries were dropped: the node has no room"
            );
            hearing.sink.interrupted(Interrupted::All);
        }
    }
}

/// Subscribes and unsubscribes, in that order of their wishing.
async fn grant(
    hearing: &Hearing,
    shard: &Arc<Shard>,
    subscriber: &Subscriber,
    wishes: Vec<Wish>,
) -> Result<(), CallError> {
    let keys = &hearing.shards.keys;
    let mut wishes = wishes.into_iter().peekable();
    let mut taken_over = Vec::new();
    while let Some(wish) = wishes.next() {
        if let Wish::Unsubscribe(channel) = wish {
            subscriber.unsubscribe(&keys.pub_sub(&channel)).await?;
            continue;
        }
        let mut together = vec![wish];
        while let Some(wish) = wishes.next_if(|wish| !matches!(wish, Wish::Unsubscribe(_))) {
            together.push(wish);
        }
        let subscribed = together.iter().map(|wish| {
            let (Wish::Subscribe(channel) | Wish::TakeOver(channel) | Wish::Unsubscribe(channel)) =
                wish;
            subscriber.subscribe(Bytes::from(keys.pub_sub(channel)))
        });
        let answers = join_all(subscribed).await;
        for (wish, answer) in together.into_iter().zip(answers) {
            let (Wish::Subscribe(channel) | Wish::TakeOver(channel) | Wish::Unsubscribe(channel)) =
                &wish;
            match answer {
                Ok(()) => hearing.followed.subscribed(channel),
                Err(error) => {
                    // Its partition may have moved: the next map will give the channel to another ear.
                    hearing.shards.request_refresh();
                    return Err(error);
                }
            }
            if let Wish::TakeOver(channel) = wish {
                taken_over.push(channel);
            }
        }
    }
    if !taken_over.is_empty() {
        let compared = compare_all(hearing, Some(shard));
        let _ = tokio::time::timeout(COMPARE_TIMEOUT, compared).await;
        hearing.sink.interrupted(Interrupted::Channels(taken_over));
    }
    Ok(())
}

//! The queue between what Redis delivers and what the node has room for.
//!
//! Filled at once, so that the client library never has to drop anything; bounded, so that a node that cannot keep up does not
//! grow. What does not fit is dropped, and the node told: at once, and again when the queue takes deliveries again.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use switchboard_core::ChannelName;
use switchboard_engine::Interrupted;
use tokio::sync::Notify;
use tracing::warn;

use super::{Hearing, Seen};
use crate::wire::{self, Decoded, Garbage};

/// What waits to be delivered.
pub(crate) struct Deliveries {
    queue: Mutex<Queue>,
    filled: Notify,
    len_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct Queue {
    waiting: VecDeque<(Box<str>, Bytes)>,
    bytes: usize,
    /// Something was dropped, and nothing is taken until half of the rest is delivered.
    overrun: bool,
}

/// What comes out of the queue.
enum Next {
    Delivery(Box<str>, Bytes),
    /// Deliveries are taken again after some were dropped.
    Resumed,
}

impl Deliveries {
    pub(crate) fn new(len_max: usize, bytes_max: usize) -> Self {
        Self {
            queue: Mutex::default(),
            filled: Notify::new(),
            len_max,
            bytes_max,
        }
    }

    /// Takes a delivery. False when it is the first of those that had to be dropped.
    pub(super) fn push(&self, channel: Box<str>, payload: Bytes) -> bool {
        let mut queue = self.lock();
        if queue.overrun {
            return true;
        }
        if queue.waiting.len() >= self.len_max || queue.bytes + payload.len() > self.bytes_max {
            queue.overrun = true;
            return false;
        }
        queue.bytes += payload.len();
        queue.waiting.push_back((channel, payload));
        drop(queue);
        self.filled.notify_one();
        true
    }

    async fn next(&self) -> Next {
        loop {
            {
                let mut queue = self.lock();
                let emptied =
                    queue.waiting.len() <= self.len_max / 2 && queue.bytes <= self.bytes_max / 2;
                if queue.overrun && emptied {
                    queue.overrun = false;
                    return Next::Resumed;
                }
                if let Some((channel, payload)) = queue.waiting.pop_front() {
                    queue.bytes -= payload.len();
                    return Next::Delivery(channel, payload);
                }
            }
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands deliveries to the node, each when there is room, in their order.
pub(crate) async fn deliver(hearing: Arc<Hearing>) {
    loop {
        match hearing.deliveries.next().await {
            Next::Resumed => hearing.sink.interrupted(Interrupted::All),
            Next::Delivery(channel, payload) => pass_on(&hearing, &channel, payload).await,
        }
    }
}

async fn pass_on(hearing: &Hearing, channel: &str, payload: Bytes) {
    let Some(name) = hearing.followed.wanted(channel) else {
        return;
    };
    if name == hearing.inbox {
        hearing.sink.message(payload);
        return;
    }
    for read in wire::read_all(&name, payload) {
        if !hearing.sink.has_room() {
            hearing.sink.room().await;
        }
        hand_over(hearing, &name, read);
        // Many at once must not keep the thread from its other tasks.
        tokio::task::coop::consume_budget().await;
    }
}

fn hand_over(hearing: &Hearing, name: &ChannelName, read: Result<Decoded, Garbage>) {
    match read {
        Ok(Decoded::Publication(publication)) => {
            // One that is not for history has no place.
            if publication.offset > 0 {
                let seen = Seen {
                    position: publication.position(),
                    time_ms: publication.time_ms,
                };
                hearing.followed.see(name, seen);
            }
            hearing.sink.publication(&Arc::new(publication));
        }
        Ok(Decoded::Presence(event)) => hearing.sink.presence(&Arc::new(event)),
        Err(garbage) => {
            hearing.garbage.fetch_add(1, Ordering::Relaxed);
            warn!(engine = "redis", channel = %name, error = %garbage, "dropped a delivery");
            hearing
                .sink
                .interrupted(Interrupted::Channels(vec![name.clone()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn names(deliveries: &Deliveries, count: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..count {
            names.push(match deliveries.next().await {
                Next::Delivery(channel, _) => channel.into(),
                Next::Resumed => "resumed".to_owned(),
            });
        }
        names
    }

    #[tokio::test]
    async fn an_overrun_is_told_once_and_ends_when_half_is_delivered() {
        let deliveries = Deliveries::new(4, 1000);
        let push = |name: &str| deliveries.push(name.into(), Bytes::from_static(b"x"));
        for name in ["a", "b", "c", "d"] {
            assert!(push(name));
        }
        assert!(!push("e"), "the first one dropped is told");
        assert!(push("f"), "the second one is not");
        assert_eq!(names(&deliveries, 3).await, ["a", "b", "resumed"]);
        assert!(push("g"));
        assert_eq!(names(&deliveries, 3).await, ["c", "d", "g"]);
    }

    #[tokio::test]
    async fn bytes_are_bounded_too() {
        let deliveries = Deliveries::new(100, 10);
        assert!(deliveries.push("a".into(), Bytes::from_static(b"12345")));
        assert!(deliveries.push("b".into(), Bytes::from_static(b"12345")));
        assert!(!deliveries.push("c".into(), Bytes::from_static(b"1")));
        assert_eq!(names(&deliveries, 2).await, ["a", "resumed"]);
    }
}

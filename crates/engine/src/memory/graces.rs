//! Members that are gone but may come back, ordered by when their grace is out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use switchboard_core::ChannelName;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Names a grace: when it is out, and a number that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct GraceKey {
    deadline: Instant,
    number: u64,
}

/// All graces that run. Locked inside a stripe's lock, never the other way round.
#[derive(Default)]
pub(super) struct Graces {
    running: Mutex<BTreeMap<GraceKey, (ChannelName, u64)>>,
    numbers: AtomicU64,
    /// Rung when the earliest deadline has moved forward.
    earlier: Notify,
}

impl Graces {
    pub(super) fn key(&self, deadline: Instant) -> GraceKey {
        GraceKey {
            deadline,
            number: self.numbers.fetch_add(1, Ordering::Relaxed),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    /// Starts a grace of the channel's member with that number.
    pub(super) fn insert(&self, key: GraceKey, channel: ChannelName, member: u64) {
        let mut running = self.lock();
        running.insert(key, (channel, member));
        if running
            .first_key_value()
            .is_some_and(|(first, _)| *first == key)
        {
            self.earlier.notify_one();
        }
    }

    pub(super) fn remove(&self, key: GraceKey) {
        self.lock().remove(&key);
    }

    /// Waits for the next grace that is out, and takes it.
    ///
    /// # Cancel safety
    /// A grace is taken only when it is returned.
    pub(super) async fn next(&self) -> (GraceKey, ChannelName, u64) {
        loop {
            let deadline = {
                let mut running = self.lock();
                let first = running.first_entry();
                match first {
                    Some(first) if first.key().deadline <= Instant::now() => {
                        let (key, (channel, member)) = first.remove_entry();
                        return (key, channel, member);
                    }
                    Some(first) => Some(first.key().deadline),
                    None => None,
                }
            };
            let Some(deadline) = deadline else {
                self.earlier.notified().await;
                continue;
            };
            tokio::select! {
                () = self.earlier.notified() => {}
                () = tokio::time::sleep_until(deadline) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<GraceKey, (ChannelName, u64)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

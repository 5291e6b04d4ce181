//! Members that are still to leave, ordered by when: those within a grace, who may come back, and those whose leaving
//! did not reach Redis. Each node sees to those that left through it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use switchboard_core::{ChannelName, SessionId};
use switchboard_engine::Leaving;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Presence;
use crate::scripts::{self, number};

/// Members seen out at once.
const BATCH: usize = 256;

/// When what could not be done is tried again.
pub(super) const AGAIN_AFTER: Duration = Duration::from_millis(500);

/// A member that is still to leave.
#[derive(Clone, Debug)]
pub(super) enum Due {
    /// When its grace is out.
    Grace {
        channel: ChannelName,
        place: Bytes,
        /// Which of the channel's graces: a member that came back and went again is in another.
        number: u64,
    },
    /// When Redis is there again.
    Leave {
        channel: ChannelName,
        session: SessionId,
        leaving: Leaving,
    },
}

/// All who are still to leave. Bounded by the sessions that have left this node.
#[derive(Default)]
pub(super) struct Leavers {
    running: Mutex<BTreeMap<(Instant, u64), Due>>,
    count: AtomicU64,
    /// Rung when the earliest deadline has moved forward.
    earlier: Notify,
}

impl Leavers {
    pub(super) fn insert(&self, deadline: Instant, due: Due) {
        let key = (deadline, self.count.fetch_add(1, Ordering::Relaxed));
        let mut running = self.lock();
        running.insert(key, due);
        if running
            .first_key_value()
            .is_some_and(|(first, _)| *first == key)
        {
            self.earlier.notify_one();
        }
    }

    /// Waits for those whose time it is, and takes them.
    async fn next(&self) -> Vec<Due> {
        loop {
            let mut due = Vec::new();
            let deadline = {
                let mut running = self.lock();
                let now = Instant::now();
                loop {
                    match running.first_entry() {
                        Some(first) if first.key().0 <= now && due.len() < BATCH => {
                            due.push(first.remove());
                        }
                        first => break first.map(|first| first.key().0),
                    }
                }
            };
            if !due.is_empty() {
                return due;
            }
            match deadline {
                None => self.earlier.notified().await,
                Some(deadline) => tokio::select! {
                    () = self.earlier.notified() => {}
                    () = tokio::time::sleep_until(deadline) => {}
                },
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Instant, u64), Due>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Has members leave, each on time, until it is dropped.
pub(crate) async fn see_out(presence: Arc<Presence>) {
    loop {
        let due = presence.due.next().await;
        let leaving = due.into_iter().map(|due| async {
            let left = match &due {
                Due::Grace {
                    channel,
                    place,
                    number: of,
                } => {
                    let arguments = [place.clone(), number(*of)];
                    let ended = presence.run(&scripts::GRACE, channel, &[], &arguments);
                    // Ending it twice does nothing the second time.
                    ended.await.is_ok()
                }
                Due::Leave {
                    channel,
                    session,
                    leaving,
                } => {
                    // It may have come back, and then does not leave any more.
                    let is_back = presence.own().contains_key(&(channel.clone(), *session));
                    is_back
                        || presence
                            .leave_once(channel, *session, *leaving)
                            .await
                            .is_ok()
                }
            };
            if left { None } else { Some(due) }
        });
        for failed in join_all(leaving).await.into_iter().flatten() {
            presence.due.insert(Instant::now() + AGAIN_AFTER, failed);
        }
    }
}

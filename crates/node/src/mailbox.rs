//! A shard's mailbox: many senders, one reader that takes everything at once.
//!
//! Sending never blocks, so it may happen under an engine's lock; senders of publications ask for room first. One lock
//! a batch on the reading side, and a wake-up only when the reader sleeps.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A bounded queue whose bound is asked for beforehand.
#[derive(Debug)]
pub(crate) struct Mailbox<T> {
    items: Mutex<Vec<T>>,
    /// The reader has gone: what is sent is dropped, so whoever waits for an answer hears that none will come.
    closed: AtomicBool,
    len: AtomicUsize,
    len_max: usize,
    filled: Notify,
    emptied: Notify,
}

impl<T> Mailbox<T> {
    pub(crate) fn new(len_max: usize) -> Self {
        Self {
            items: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
            len: AtomicUsize::new(0),
            len_max,
            filled: Notify::new(),
            emptied: Notify::new(),
        }
    }

    /// Whether there is room now.
    pub(crate) fn has_room(&self) -> bool {
        self.len.load(Ordering::Relaxed) < self.len_max
    }

    /// Waits for room. Senders that were let through together may overshoot the bound by their number.
    pub(crate) async fn room(&self) {
        while !self.has_room() {
            let emptied = self.emptied.notified();
            if self.has_room() {
                return;
            }
            emptied.await;
        }
    }

    /// Puts one in.
    pub(crate) fn send(&self, item: T) {
        let mut items = self.lock();
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        items.push(item);
        let len = items.len();
        self.len.store(len, Ordering::Relaxed);
        drop(items);
        if len == 1 {
            self.filled.notify_one();
        }
    }

    /// Takes all there is into `batch`, which must be empty: the two change places, so neither allocates again.
    pub(crate) fn take(&self, batch: &mut Vec<T>) {
        debug_assert!(
            batch.is_empty(),
            "a batch is worked off before the next is taken"
        );
        let mut items = self.lock();
        std::mem::swap(&mut *items, batch);
        self.len.store(0, Ordering::Relaxed);
        drop(items);
        if batch.len() >= self.len_max {
            self.emptied.notify_waiters();
        }
    }

    /// Drops what is in it and whatever comes from now on: the reader goes.
    pub(crate) fn close(&self) {
        let mut items = self.lock();
        self.closed.store(true, Ordering::Relaxed);
        items.clear();
        self.len.store(0, Ordering::Relaxed);
        drop(items);
        self.emptied.notify_waiters();
    }

    /// Waits until there is something.
    pub(crate) async fn filled(&self) {
        while self.len.load(Ordering::Relaxed) == 0 {
            self.filled.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // A panic elsewhere leaves a whole vector behind.
        self.items.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn order_is_kept_nothing_is_lost_and_senders_wait_for_room() {
        let mailbox = Arc::new(Mailbox::new(8));
        let senders: Vec<_> = (0..4u32)
            .map(|sender| {
                let mailbox = Arc::clone(&mailbox);
                tokio::spawn(async move {
                    for number in 0..5000u32 {
                        mailbox.room().await;
                        mailbox.send((sender, number));
                    }
                })
            })
            .collect();
        let (mut next, mut batch, mut total) = ([0u32; 4], Vec::new(), 0);
        while total < 20_000 {
            mailbox.filled().await;
            mailbox.take(&mut batch);
            assert!(
                batch.len() <= 8 + 4,
                "{} waited where 8 and one a sender may",
                batch.len()
            );
            for (sender, number) in batch.drain(..) {
                assert_eq!(number, next[sender as usize]);
                next[sender as usize] += 1;
                total += 1;
            }
        }
        for sender in senders {
            sender.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_closed_mailbox_keeps_nobody_waiting() {
        let mailbox = Mailbox::new(1);
        let (before, answer_before) = tokio::sync::oneshot::channel::<()>();
        mailbox.send(before);
        mailbox.close();
        let (after, answer_after) = tokio::sync::oneshot::channel::<()>();
        mailbox.send(after);
        mailbox.room().await;
        assert!(answer_before.await.is_err() && answer_after.await.is_err());
    }
}

//! The publication ids that a channel remembers.

use std::collections::VecDeque;
use std::sync::Arc;

use hashbrown::HashMap;

use super::clock::Now;

/// Ids, each with the offset it got and how long that is remembered.
#[derive(Default)]
pub(super) struct Ids {
    known: HashMap<Arc<str>, Known>,
    /// In the order of their publication, which is that of their expiry unless windows were changed meanwhile. An id
    /// published again after its window stands here twice; only the live one has the `until` that is known.
    order: VecDeque<(Arc<str>, Now)>,
}

struct Known {
    offset: u64,
    until: Now,
}

impl Ids {
    /// The offset that `id` got within its window.
    pub(super) fn find(&self, id: &str, now: Now) -> Option<u64> {
        self.known
            .get(id)
            .filter(|known| now < known.until)
            .map(|known| known.offset)
    }

    /// Remembers an id. Tells how many had to be forgotten before their time, to stay within `max`.
    pub(super) fn insert(
        &mut self,
        id: &str,
        offset: u64,
        now: Now,
        until: Now,
        max: usize,
    ) -> u64 {
        // Two out for one in: the backlog of expired ones shrinks while ids keep coming.
        self.expire(now, 2);
        let id: Arc<str> = Arc::from(id);
        self.known.insert(Arc::clone(&id), Known { offset, until });
        self.order.push_back((id, until));
        let mut forgotten = 0;
        while self.order.len() > max {
            forgotten += u64::from(self.forget_oldest(now));
        }
        forgotten
    }

    /// Forgets ids whose window is out, at most `max` of them.
    pub(super) fn expire(&mut self, now: Now, max: usize) {
        for _ in 0..max {
            let Some((id, until)) = self.order.front() else {
                return;
            };
            let known = self.known.get(id).filter(|known| known.until == *until);
            if known.is_some_and(|known| now < known.until) {
                return;
            }
            self.forget_oldest(now);
        }
    }

    /// Whether every window is out.
    pub(super) fn have_expired(&self, now: Now) -> bool {
        // The newest first: it is most often the one that has not.
        let live =
            |(id, _): &(Arc<str>, Now)| self.known.get(id).is_some_and(|known| now < known.until);
        !self.order.back().is_some_and(live) && !self.known.values().any(|known| now < known.until)
    }

    /// Whether the one forgotten was still within its window.
    fn forget_oldest(&mut self, now: Now) -> bool {
        let Some((id, until)) = self.order.pop_front() else {
            return false;
        };
        if self
            .known
            .get(&id)
            .is_some_and(|known| known.until == until)
        {
            return self
                .known
                .remove(&id)
                .is_some_and(|known| now < known.until);
        }
        false
    }
}

//! A channel's retained publications.

use std::collections::VecDeque;
use std::sync::Arc;

use switchboard_core::{Position, Publication, Retention};

use super::budget::Budget;
use super::clock::Now;
use crate::request::{History, Read, ReadFrom};

/// What a retained publication costs beside its texts, roughly, for the bound on all histories.
const PUBLICATION_BYTES: usize = 256;

/// What a tag costs beside its texts: two pointers with their lengths, and what the allocator rounds up.
const TAG_BYTES: usize = 64;

/// The newest publications of a channel, ascending. Offsets may be missing where a publication skipped history.
#[derive(Default)]
pub(super) struct Log {
    entries: VecDeque<Entry>,
    payload_bytes: usize,
    /// What all entries take of the bound on all histories, in bytes.
    cost: usize,
    /// The newest publication's `age_max`.
    age_max_ms: u64,
}

struct Entry {
    at: Now,
    publication: Arc<Publication>,
}

impl Log {
    /// Appends, and trims to `retention`: the newest stay. One that is larger than the bound on bytes is not kept.
    pub(super) fn append(
        &mut self,
        publication: Arc<Publication>,
        now: Now,
        retention: Retention,
        budget: &Budget,
    ) {
        let cost = cost(&publication);
        budget.add(cost);
        self.cost += cost;
        self.payload_bytes += publication.payload.bytes().len();
        self.entries.push_back(Entry {
            at: now,
            publication,
        });
        self.age_max_ms = Now(0).plus(retention.age_max).0;
        self.expire(now, usize::MAX, budget);
        while self.entries.len() > retention.count_max as usize
            || self.payload_bytes > retention.bytes_max
            || (budget.is_exceeded() && !self.entries.is_empty())
        {
            self.drop_oldest(budget);
        }
    }

    /// Drops what is too old, at most `max` of it.
    pub(super) fn expire(&mut self, now: Now, max: usize, budget: &Budget) {
        let mut left = max;
        while left > 0
            && self
                .entries
                .front()
                .is_some_and(|oldest| self.is_expired(oldest, now))
        {
            self.drop_oldest(budget);
            left -= 1;
        }
    }

    /// Whether all of it is too old.
    pub(super) fn has_expired(&self, now: Now) -> bool {
        self.entries
            .back()
            .is_none_or(|newest| self.is_expired(newest, now))
    }

    /// Gives its bytes back; the log is not to be used any more.
    pub(super) fn release(&self, budget: &Budget) {
        budget.release(self.cost);
    }

    /// Reads, for a channel that stands at `top`.
    pub(super) fn read(&self, top: Position, read: Read) -> History {
        let len = self.entries.len();
        let ascending = |from: usize| self.publications(from, read.limit);
        let (publications, complete) = match read.from {
            ReadFrom::After(position)
                if position.epoch == top.epoch && position.offset <= top.offset =>
            {
                let found = ascending(self.index_after(position.offset));
                let complete = follows(position.offset, top.offset, &found, read.limit);
                // A limit of nothing asks only whether the next one is there.
                let next = self.entries.get(self.index_after(position.offset));
                let next_is_there =
                    next.is_some_and(|next| next.publication.offset == position.offset + 1);
                (
                    found,
                    complete && (position.offset == top.offset || next_is_there),
                )
            }
            ReadFrom::After(_) => (Vec::new(), false),
            ReadFrom::Newest => (ascending(len.saturating_sub(read.limit)), true),
            ReadFrom::Oldest => (ascending(0), true),
            ReadFrom::Before(offset) => {
                let end = self.index_after(offset.saturating_sub(1));
                let end = if offset == 0 { 0 } else { end };
                let newest_first = self.entries.range(..end).rev().take(read.limit);
                (
                    newest_first
                        .map(|entry| Arc::clone(&entry.publication))
                        .collect(),
                    true,
                )
            }
        };
        History {
            publications,
            top,
            complete,
        }
    }

    fn publications(&self, from: usize, limit: usize) -> Vec<Arc<Publication>> {
        self.entries
            .range(from..)
            .take(limit)
            .map(|entry| Arc::clone(&entry.publication))
            .collect()
    }

    /// The index of the first entry beyond `offset`.
    fn index_after(&self, offset: u64) -> usize {
        self.entries
            .partition_point(|entry| entry.publication.offset <= offset)
    }

    fn is_expired(&self, entry: &Entry, now: Now) -> bool {
        entry.at.0.saturating_add(self.age_max_ms) <= now.0
    }

    fn drop_oldest(&mut self, budget: &Budget) {
        if let Some(entry) = self.entries.pop_front() {
            let cost = cost(&entry.publication);
            budget.release(cost);
            self.cost -= cost;
            self.payload_bytes -= entry.publication.payload.bytes().len();
        }
    }
}

/// What keeping a publication takes, in bytes. A client may send a payload of a byte with kilobytes of tags.
fn cost(publication: &Publication) -> usize {
    let tags = publication.tags.iter();
    let tags: usize = tags
        .map(|(name, value)| name.len() + value.len() + TAG_BYTES)
        .sum();
    let id = publication.id.as_deref().map_or(0, str::len);
    PUBLICATION_BYTES + publication.payload.bytes().len() + id + tags
}

/// Reads a channel that retains nothing.
pub(super) fn read_empty(top: Position, read: Read) -> History {
    let complete = match read.from {
        ReadFrom::After(position) => position == top,
        ReadFrom::Newest | ReadFrom::Before(_) | ReadFrom::Oldest => true,
    };
    History {
        publications: Vec::new(),
        top,
        complete,
    }
}

/// Whether `found` is what followed `after`, without a hole, up to `top` or to where `limit` cut it off.
fn follows(after: u64, top: u64, found: &[Arc<Publication>], limit: usize) -> bool {
    let contiguous = found
        .iter()
        .zip(after + 1..)
        .all(|(publication, offset)| publication.offset == offset);
    contiguous && (found.len() == limit || after + found.len() as u64 == top)
}

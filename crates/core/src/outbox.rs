//! What a session is still owed: a queue bounded by bytes and age, with the slow-consumer policies.
//!
//! A socket has one only while it would block; a poll session keeps one until each frame is acknowledged. Whatever a policy
//! drops is remembered as a gap of its channel, and the gap is told where it was: after what came before it, before what is left.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, VecDeque};
use std::ops::Range;

use bytes::Bytes;

use crate::{Position, SlowConsumer};

/// Names a channel to the outbox: the owner's own index.
pub type Lane = u32;

/// A publication's place in the outbox: what may be dropped, and what is then announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Droppable {
    /// The channel.
    pub lane: Lane,
    /// The publication's position there.
    pub position: Position,
    /// The channel's policy.
    pub policy: SlowConsumer,
}

/// The bound was reached and the policy says to end the session (or nothing is left that may be dropped).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// A hole that a policy has made in a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The channel.
    pub lane: Lane,
    /// The position of the last thing lost.
    pub position: Position,
    /// The number of the last thing lost: the gap's frame takes its place.
    sequence: u64,
}

/// What an entry is to the policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A reply, or whatever else is owed in any case.
    Owed,
    Publication(Droppable),
    /// The announcement of a gap. A wider gap of the channel takes it in.
    Announced(Gap),
}

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    kind: Kind,
    queued_ms: u64,
    /// Ascending from entry to entry; nothing else has it.
    sequence: u64,
}

/// The largest number that a client can have counting go on from. No session sends so many frames, and from here as
/// many again do not overflow.
const FIRST_SEQUENCE_MAX: u64 = 1 << 53;

/// The queue of what a session is owed.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    /// Channels that lost something and have not been told.
    gaps: Vec<Gap>,
    bytes: usize,
    /// How much of the first entry is on the socket already. Such an entry can no longer be dropped.
    head_written: usize,
    /// Number of the newest entry; the first is 1.
    sequence: u64,
    dropped: u64,
}

impl Outbox {
    /// Makes an outbox whose first entry will follow `sequence`. That number is a client's word: beyond what any session
    /// reaches it is taken for less, so that counting on never overflows.
    pub fn new(sequence: u64) -> Self {
        let sequence = sequence.min(FIRST_SEQUENCE_MAX);
        Self {
            sequence,
            ..Self::default()
        }
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.gaps.is_empty()
    }

    /// Bytes owed.
    pub fn bytes(&self) -> usize {
        self.bytes - self.head_written
    }

    /// The number of the newest entry.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Publications dropped since the last call.
    pub fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Makes room for so many more frames in one go.
    pub fn reserve(&mut self, frames: usize) {
        self.entries.reserve(frames);
    }

    /// Appends bytes: a whole frame, so that dropping it leaves whole frames. Replies and other things that no policy may
    /// drop have no `droppable`.
    ///
    /// # Errors
    /// [`Overflow`] when they do not fit and nothing may be dropped.
    pub fn push(
        &mut self,
        now_ms: u64,
        bytes: Bytes,
        droppable: Option<Droppable>,
        bytes_max: usize,
    ) -> Result<(), Overflow> {
        self.sequence += 1;
        self.bytes += bytes.len();
        self.entries.push_back(Entry {
            bytes,
            kind: droppable.map_or(Kind::Owed, Kind::Publication),
            queued_ms: now_ms,
            sequence: self.sequence,
        });
        if self.bytes() > bytes_max {
            self.shed(bytes_max)
        } else {
            Ok(())
        }
    }

    /// Appends a frame of which `written` bytes are on the socket already.
    ///
    /// # Panics
    /// When the outbox is not empty: only the first entry can be half written.
    pub fn start(
        &mut self,
        now_ms: u64,
        bytes: Bytes,
        written: usize,
        droppable: Option<Droppable>,
    ) {
        assert!(
            self.entries.is_empty(),
            "only the first entry can be half written"
        );
        self.sequence += 1;
        self.bytes = bytes.len();
        self.head_written = written;
        self.entries.push_back(Entry {
            bytes,
            kind: droppable.map_or(Kind::Owed, Kind::Publication),
            queued_ms: now_ms,
            sequence: self.sequence,
        });
    }

    /// Applies the bound on age: what has waited longer than `age_max_ms` is dropped where the policy drops. A frame that
    /// is half written stays, but is no reason to give a reader up whom the policy lets wait.
    ///
    /// # Errors
    /// [`Overflow`] when something else has waited that long.
    pub fn expire(&mut self, now_ms: u64, age_max_ms: u64) -> Result<(), Overflow> {
        let old = |entry: &&Entry| now_ms.saturating_sub(entry.queued_ms) > age_max_ms;
        let count = self.entries.iter().take_while(old).count();
        if self.entries.iter().take(count).any(|e| !may_drop(e)) {
            return Err(Overflow);
        }
        if count == 0 {
            return Ok(());
        }
        let newest = self.newest_kept();
        let newest = |entry: &Entry| {
            kept_latest(entry).is_some_and(|d| newest.get(&d.lane) == Some(&entry.sequence))
        };
        self.drop_among(self.half_written()..count, |entry| !newest(entry));
        Ok(())
    }

    /// Lets go of everything that is not half written, and of the gaps: the session ends. What publications are among it
    /// count as dropped.
    pub fn forget(&mut self) {
        let rest = self.entries.drain(self.half_written()..);
        self.dropped += rest
            .filter(|entry| matches!(entry.kind, Kind::Publication(_)))
            .count() as u64;
        self.bytes = self.entries.iter().map(|entry| entry.bytes.len()).sum();
        self.gaps.clear();
    }

    /// Tells which channels lost something. The caller announces each with [`Outbox::announce`] before it takes anything
    /// more: all that is left of those channels came later.
    pub fn take_gaps(&mut self) -> Vec<Gap> {
        std::mem::take(&mut self.gaps)
    }

    /// Puts a gap's frame where the gap is. It takes in what was announced of the channel before it, if that still waits.
    pub fn announce(&mut self, now_ms: u64, bytes: Bytes, gap: Gap) {
        let first = self.half_written();
        let earlier =
            |entry: &Entry| matches!(entry.kind, Kind::Announced(g) if g.lane == gap.lane);
        if let Some(index) = self.entries.iter().skip(first).position(earlier) {
            let entry = self.entries.remove(first + index);
            self.bytes -= entry.map_or(0, |entry| entry.bytes.len());
        }
        self.bytes += bytes.len();
        let at = self
            .entries
            .partition_point(|entry| entry.sequence < gap.sequence);
        let entry = Entry {
            bytes,
            kind: Kind::Announced(gap),
            queued_ms: now_ms,
            sequence: gap.sequence,
        };
        self.entries.insert(at.max(first), entry);
    }

    /// Lets go of a channel's name, which may come to mean another: what is queued of it is owed in any case from now on.
    /// Its gaps have been announced.
    pub fn release(&mut self, lane: Lane) {
        for entry in &mut self.entries {
            let own = match entry.kind {
                Kind::Owed => false,
                Kind::Publication(droppable) => droppable.lane == lane,
                Kind::Announced(gap) => gap.lane == lane,
            };
            if own {
                entry.kind = Kind::Owed;
            }
        }
    }

    /// What is owed, oldest first.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        let head = self.head_written;
        self.entries.iter().enumerate().map(move |(at, e)| {
            if at == 0 {
                &e.bytes[head..]
            } else {
                &e.bytes[..]
            }
        })
    }

    /// Takes note that the first `written` bytes of [`Outbox::chunks`] are on the socket.
    pub fn advance(&mut self, written: usize) {
        self.head_written += written;
        while let Some(head) = self.entries.front() {
            if self.head_written < head.bytes.len() {
                break;
            }
            self.head_written -= head.bytes.len();
            self.bytes -= head.bytes.len();
            self.entries.pop_front();
        }
    }

    /// Takes note that everything up to and with `sequence` has arrived.
    pub fn acknowledge(&mut self, sequence: u64) {
        let bytes = &mut self.bytes;
        let is_old = |entry: &mut Entry| entry.sequence <= sequence;
        while let Some(entry) = self.entries.pop_front_if(is_old) {
            *bytes -= entry.bytes.len();
        }
        // What was dropped since the answer that is acknowledged now was in it.
        self.gaps.retain(|gap| gap.sequence > sequence);
        if self.entries.is_empty() {
            // Polls are quiet most of the time, and there are many: neither a burst's memory is kept nor a message's.
            self.entries = VecDeque::new();
        }
    }

    /// Drops what the policies let it until three quarters of the bound are free of excess, so that a stuck reader does
    /// not cost a search with every publication.
    fn shed(&mut self, bytes_max: usize) -> Result<(), Overflow> {
        self.conflate();
        let target = if self.bytes() > bytes_max {
            bytes_max / 4 * 3
        } else {
            bytes_max
        };
        // The newest entry stays: a reader that wakes up is to see the present.
        let older = self.half_written()..self.entries.len().saturating_sub(1);
        let mut excess = self.bytes().saturating_sub(target);
        self.drop_among(older, |entry| {
            let goes = excess > 0
                && matches!(entry.kind, Kind::Publication(d) if d.policy == SlowConsumer::DropOldest);
            if goes {
                excess = excess.saturating_sub(entry.bytes.len());
            }
            goes
        });
        if self.bytes() > bytes_max {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// Keeps only the newest publication of each channel that says so.
    fn conflate(&mut self) {
        let newest = self.newest_kept();
        if newest.is_empty() {
            return;
        }
        self.drop_among(self.half_written()..self.entries.len(), |entry| {
            kept_latest(entry)
                .and_then(|d| newest.get(&d.lane))
                .is_some_and(|&newest| newest > entry.sequence)
        });
    }

    /// The number of the newest publication of each channel that keeps it.
    fn newest_kept(&self) -> HashMap<Lane, u64> {
        let kept = self.entries.iter().filter_map(|entry| {
            let droppable = kept_latest(entry)?;
            Some((droppable.lane, entry.sequence))
        });
        kept.collect()
    }

    /// How many entries at the front are half written, and so cannot be dropped any more.
    fn half_written(&self) -> usize {
        usize::from(self.head_written > 0)
    }

    /// Drops what `goes` says of the entries in `range`: publications, and announcements, which are made anew. One pass
    /// over all entries, however many go: the queue of a reader that stands still is long, and its shard serves others.
    fn drop_among(&mut self, range: Range<usize>, mut goes: impl FnMut(&Entry) -> bool) {
        let Self {
            entries,
            gaps,
            bytes,
            dropped,
            ..
        } = self;
        let mut at = 0;
        entries.retain(|entry| {
            let keeps = !range.contains(&at) || !goes(entry);
            at += 1;
            if keeps {
                return true;
            }
            *bytes -= entry.bytes.len();
            let gap = match entry.kind {
                Kind::Owed => unreachable!("what is owed in any case is not dropped"),
                Kind::Publication(d) => {
                    *dropped += 1;
                    Gap {
                        lane: d.lane,
                        position: d.position,
                        sequence: entry.sequence,
                    }
                }
                Kind::Announced(gap) => gap,
            };
            match gaps.iter_mut().find(|other| other.lane == gap.lane) {
                Some(other) if other.sequence < gap.sequence => *other = gap,
                Some(_) => {}
                None => gaps.push(gap),
            }
            false
        });
    }
}

fn may_drop(entry: &Entry) -> bool {
    match entry.kind {
        Kind::Owed => false,
        Kind::Publication(d) => d.policy != SlowConsumer::Close,
        Kind::Announced(_) => true,
    }
}

fn kept_latest(entry: &Entry) -> Option<Droppable> {
    match entry.kind {
        Kind::Publication(d) if d.policy == SlowConsumer::KeepLatest => Some(d),
        _ => None,
    }
}

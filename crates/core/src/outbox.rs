//! What a session is still owed: a queue bounded by bytes and age, with the slow-consumer policies.
//!
//! A socket has one only while it would block; a poll session keeps one until each frame is acknowledged. Whatever a policy
//! drops is remembered as a gap of its channel, to be told before the channel's next message.

use std::collections::VecDeque;

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

#[derive(Debug)]
struct Entry {
    bytes: Bytes,
    droppable: Option<Droppable>,
    queued_ms: u64,
    sequence: u64,
}

/// The largest number that a client can have counting go on from. No session sends so many frames, and from here as
/// many again do not overflow.
const FIRST_SEQUENCE_MAX: u64 = 1 << 53;

/// The queue of what a session is owed.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: VecDeque<Entry>,
    /// Channels that lost something, and the position of the last thing lost.
    gaps: Vec<(Lane, Position)>,
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

    /// Appends bytes. Replies and other things that no policy may drop have no `droppable`.
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
            droppable,
            queued_ms: now_ms,
            sequence: self.sequence,
        });
        if self.bytes() > bytes_max {
            self.shed(bytes_max)
        } else {
            Ok(())
        }
    }

    /// Appends bytes of which `written` are on the socket already.
    ///
    /// # Panics
    /// When the outbox is not empty: only the first entry can be half written.
    pub fn start(&mut self, now_ms: u64, bytes: Bytes, written: usize) {
        assert!(
            self.entries.is_empty(),
            "only the first entry can be half written"
        );
        self.sequence += 1;
        self.bytes = bytes.len();
        self.head_written = written;
        self.entries.push_back(Entry {
            bytes,
            droppable: None,
            queued_ms: now_ms,
            sequence: self.sequence,
        });
    }

    /// Applies the bound on age: what has waited longer than `age_max_ms` is dropped where the policy drops.
    ///
    /// # Errors
    /// [`Overflow`] when something else has waited that long.
    pub fn expire(&mut self, now_ms: u64, age_max_ms: u64) -> Result<(), Overflow> {
        let old = |entry: &Entry| now_ms.saturating_sub(entry.queued_ms) > age_max_ms;
        if !self.entries.front().is_some_and(old) {
            return Ok(());
        }
        if self.head_written > 0
            || self
                .entries
                .iter()
                .take_while(|e| old(e))
                .any(|e| !may_drop(e))
        {
            return Err(Overflow);
        }
        let count = self.entries.iter().take_while(|e| old(e)).count();
        let mut at = 0;
        for _ in 0..count {
            if self.is_newest_kept(at) {
                at += 1;
            } else {
                self.drop_entry(at);
            }
        }
        Ok(())
    }

    /// Lets go of everything that is not half written, and of the gaps: the session ends.
    pub fn forget(&mut self) {
        self.entries.truncate(usize::from(self.head_written > 0));
        self.bytes = self.entries.iter().map(|entry| entry.bytes.len()).sum();
        self.gaps.clear();
    }

    /// Tells which channels lost something, each with the position of the last thing lost. The caller announces them
    /// with [`Outbox::announce`] before it takes anything more: all that is left of those channels came later.
    pub fn take_gaps(&mut self) -> Vec<(Lane, Position)> {
        std::mem::take(&mut self.gaps)
    }

    /// Puts a gap's frame before everything that is not half written.
    pub fn announce(&mut self, now_ms: u64, bytes: Bytes) {
        self.sequence += 1;
        self.bytes += bytes.len();
        let at = usize::from(self.head_written > 0);
        self.entries.insert(
            at,
            Entry {
                bytes,
                droppable: None,
                queued_ms: now_ms,
                sequence: self.sequence,
            },
        );
    }

    /// What is owed, oldest first.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
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
        self.entries.retain(|entry| {
            let keep = entry.sequence > sequence;
            if !keep {
                *bytes -= entry.bytes.len();
            }
            keep
        });
        if self.entries.is_empty() {
            // A burst's memory is not kept for ever.
            self.entries.shrink_to(16);
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
        let mut at = usize::from(self.head_written > 0);
        // The newest entry stays: a reader that wakes up is to see the present.
        while self.bytes() > target && at + 1 < self.entries.len() {
            match self.entries[at].droppable {
                Some(d) if d.policy == SlowConsumer::DropOldest => self.drop_entry(at),
                _ => at += 1,
            }
        }
        if self.bytes() > bytes_max {
            Err(Overflow)
        } else {
            Ok(())
        }
    }

    /// Keeps only the newest publication of each channel that says so.
    fn conflate(&mut self) {
        let mut newest = std::collections::HashMap::new();
        for entry in &self.entries {
            if let Some(d) = entry
                .droppable
                .filter(|d| d.policy == SlowConsumer::KeepLatest)
            {
                newest.insert(d.lane, entry.sequence);
            }
        }
        if newest.is_empty() {
            return;
        }
        let mut at = usize::from(self.head_written > 0);
        while at < self.entries.len() {
            let superseded = self.entries[at].droppable.is_some_and(|d| {
                d.policy == SlowConsumer::KeepLatest
                    && newest
                        .get(&d.lane)
                        .is_some_and(|&n| n > self.entries[at].sequence)
            });
            if superseded {
                self.drop_entry(at);
            } else {
                at += 1;
            }
        }
    }

    fn is_newest_kept(&self, at: usize) -> bool {
        let Some(d) = self.entries[at]
            .droppable
            .filter(|d| d.policy == SlowConsumer::KeepLatest)
        else {
            return false;
        };
        !self
            .entries
            .iter()
            .skip(at + 1)
            .any(|e| e.droppable.is_some_and(|other| other.lane == d.lane))
    }

    fn drop_entry(&mut self, at: usize) {
        let entry = self.entries.remove(at).expect("the caller found it there");
        let d = entry.droppable.expect("only publications are dropped");
        self.bytes -= entry.bytes.len();
        self.dropped += 1;
        match self.gaps.iter_mut().find(|(lane, _)| *lane == d.lane) {
            Some(gap) => gap.1 = d.position,
            None => self.gaps.push((d.lane, d.position)),
        }
    }
}

fn may_drop(entry: &Entry) -> bool {
    entry
        .droppable
        .is_some_and(|d| d.policy != SlowConsumer::Close)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    #[allow(clippy::unnecessary_wraps, reason = "as `push` takes it")]
    fn publication(lane: Lane, offset: u64, policy: SlowConsumer) -> Option<Droppable> {
        Some(Droppable {
            lane,
            position: Position {
                epoch: Epoch(1),
                offset,
            },
            policy,
        })
    }

    fn text(outbox: &Outbox) -> String {
        outbox
            .chunks()
            .map(|c| String::from_utf8_lossy(c).into_owned())
            .collect()
    }

    fn gaps(outbox: &mut Outbox) -> Vec<(Lane, u64)> {
        outbox
            .take_gaps()
            .into_iter()
            .map(|(lane, p)| (lane, p.offset))
            .collect()
    }

    #[test]
    fn close_overflows_at_the_bound() {
        let mut outbox = Outbox::default();
        for offset in 1..=2 {
            assert_eq!(
                outbox.push(
                    0,
                    "aaaa".into(),
                    publication(1, offset, SlowConsumer::Close),
                    8
                ),
                Ok(())
            );
        }
        assert_eq!(
            outbox.push(0, "a".into(), publication(1, 3, SlowConsumer::Close), 8),
            Err(Overflow)
        );
        assert_eq!(gaps(&mut outbox), []);
    }

    #[test]
    fn drop_oldest_loses_the_oldest_of_its_channel_and_says_so() {
        let mut outbox = Outbox::default();
        outbox.push(0, "R".into(), None, 8).unwrap();
        for (offset, c) in "abcdefgh".chars().enumerate() {
            let droppable = publication(7, offset as u64 + 1, SlowConsumer::DropOldest);
            outbox.push(0, c.to_string().into(), droppable, 8).unwrap();
        }
        assert_eq!(text(&outbox), "Rdefgh");
        assert_eq!(gaps(&mut outbox), [(7, 3)]);
        assert_eq!(outbox.take_dropped(), 3);
        outbox.announce(0, "G".into());
        assert_eq!(text(&outbox), "GRdefgh");
    }

    #[test]
    fn keep_latest_conflates_each_channel_on_its_own() {
        let mut outbox = Outbox::default();
        for (offset, c) in "abcd".chars().enumerate() {
            let lane = u32::from(offset % 2 == 1);
            outbox
                .push(
                    0,
                    c.to_string().into(),
                    publication(lane, offset as u64, SlowConsumer::KeepLatest),
                    3,
                )
                .unwrap();
        }
        assert_eq!(text(&outbox), "cd");
        assert_eq!(gaps(&mut outbox), [(0, 0), (1, 1)]);
    }

    #[test]
    fn a_half_written_head_is_finished_and_gaps_come_after_it() {
        let mut outbox = Outbox::default();
        outbox.start(0, "half".into(), 2);
        for offset in 1..=9 {
            let droppable = publication(1, offset, SlowConsumer::DropOldest);
            outbox
                .push(0, offset.to_string().into(), droppable, 6)
                .unwrap();
        }
        assert!(text(&outbox).starts_with("lf"));
        assert!(text(&outbox).ends_with('9'));
        let lost = gaps(&mut outbox);
        outbox.announce(0, "G".into());
        let first_left: u64 = text(&outbox)[3..4].parse().unwrap();
        assert_eq!(lost, [(1, first_left - 1)]);
        assert!(text(&outbox).starts_with("lfG"));
        outbox.advance(2);
        assert!(text(&outbox).starts_with('G'));
    }

    #[test]
    fn advance_counts_across_entries() {
        let mut outbox = Outbox::default();
        for part in ["ab", "cd", "ef"] {
            outbox.push(0, part.into(), None, 100).unwrap();
        }
        outbox.advance(3);
        assert_eq!((text(&outbox).as_str(), outbox.bytes()), ("def", 3));
        outbox.advance(3);
        assert!(outbox.is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn unacknowledged_entries_stay_until_their_number_is_acknowledged() {
        let mut outbox = Outbox::new(10);
        outbox.push(0, "a".into(), None, 100).unwrap();
        outbox.push(0, "b".into(), None, 100).unwrap();
        assert_eq!(outbox.sequence(), 12);
        outbox.acknowledge(10);
        assert_eq!(text(&outbox), "ab");
        outbox.acknowledge(11);
        assert_eq!(text(&outbox), "b");
        outbox.acknowledge(99);
        assert!(outbox.is_empty());
    }

    #[test]
    fn age_drops_where_the_policy_drops_and_overflows_elsewhere() {
        let mut outbox = Outbox::default();
        for (at, offset) in [(0, 1), (10, 2), (20, 3)] {
            outbox
                .push(
                    at,
                    offset.to_string().into(),
                    publication(1, offset, SlowConsumer::DropOldest),
                    100,
                )
                .unwrap();
        }
        assert_eq!(outbox.expire(15, 10), Ok(()));
        assert_eq!(text(&outbox), "23");
        assert_eq!(gaps(&mut outbox), [(1, 1)]);
        outbox.push(20, "R".into(), None, 100).unwrap();
        assert_eq!(outbox.expire(31, 10), Err(Overflow));
        let mut latest = Outbox::default();
        latest
            .push(
                0,
                "1".into(),
                publication(1, 1, SlowConsumer::KeepLatest),
                100,
            )
            .unwrap();
        latest
            .push(
                0,
                "2".into(),
                publication(1, 2, SlowConsumer::KeepLatest),
                100,
            )
            .unwrap();
        assert_eq!(latest.expire(99, 10), Ok(()));
        assert_eq!(text(&latest), "2");
    }
}

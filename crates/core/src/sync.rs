//! How a subscription catches up: history is read page by page while live publications are parked, then the two are
//! merged without loss, duplicate or reordering. A channel refills after an interruption in the same way.

use std::collections::VecDeque;

use crate::{GapReason, Position, Start};

/// Something with a place in a channel: a publication, in whatever wrapping its owner keeps it.
pub trait Placed {
    /// Its place.
    fn position(&self) -> Position;
}

/// What to read next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Only where the channel stands.
    Top,
    /// The newest publications, at most so many.
    Newest(u32),
    /// What follows the position.
    After(Position),
}

/// What a read found.
#[derive(Clone, Debug)]
pub struct Found<T> {
    /// The publications, ascending.
    pub publications: Vec<T>,
    /// Where the channel stands.
    pub top: Position,
    /// For [`Query::After`]: nothing is missing between the position and the first publication.
    pub complete: bool,
}

/// How a subscription opens: told once, before its first message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Publications after it follow.
    pub position: Position,
    /// It was recovering, and all that was missed follows.
    pub recovered: bool,
}

/// What to do after a read, in the order of the fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Step<T> {
    /// Tell this first.
    pub opening: Option<Opening>,
    /// Announce that what lay before the position may have been missed.
    pub gap: Option<(Position, GapReason)>,
    /// Deliver these.
    pub deliver: Vec<T>,
    /// Where the subscription stands now; nothing while there is more to read.
    pub done: Option<Position>,
}

/// A subscription, or a whole channel, that is catching up.
#[derive(Debug)]
pub struct CatchUp<T> {
    start: Start,
    /// Where it stands: what came before it has been delivered or announced as missing.
    at: Option<Position>,
    parked: VecDeque<T>,
    parked_max: usize,
    /// A whole channel refills: what it lost, it lost to an interruption.
    refill: bool,
    /// Reads since the last progress: history that cannot explain a hole is not asked for ever.
    stalled: u8,
}

/// Reads without progress before a hole is announced instead.
const STALLED_MAX: u8 = 3;

impl<T: Placed> CatchUp<T> {
    /// Starts a subscription's catching up.
    pub fn new(start: Start, parked_max: usize) -> Self {
        Self {
            start,
            at: None,
            parked: VecDeque::new(),
            parked_max,
            refill: false,
            stalled: 0,
        }
    }

    /// Starts a whole channel's catching up from where it stands: its losses count as interruptions.
    pub fn refill(at: Position, parked_max: usize) -> Self {
        Self {
            refill: true,
            ..Self::new(Start::After(at), parked_max)
        }
    }

    /// Starts after a position after all: what was found out between the making of the machine and its first read.
    pub fn begin_after(&mut self, position: Position) {
        debug_assert!(self.at.is_none(), "it has begun");
        self.start = Start::After(position);
    }

    /// Where it stands since the last read.
    pub fn position(&self) -> Option<Position> {
        self.at
    }

    /// What to read next.
    pub fn query(&self) -> Query {
        match (self.at, self.start) {
            (Some(at), _) | (None, Start::After(at)) => Query::After(at),
            (None, Start::Live | Start::Rewind(0)) => Query::Top,
            (None, Start::Rewind(count)) => Query::Newest(count),
        }
    }

    /// Keeps a live publication until the read is done. Comes in the channel's order.
    pub fn park(&mut self, publication: T) {
        if self.parked.len() >= self.parked_max {
            // The hole that this leaves sends the merge back to history.
            self.parked.clear();
        }
        self.parked.push_back(publication);
    }

    /// Takes what a read of [`CatchUp::query`] found.
    pub fn read(&mut self, found: Found<T>) -> Step<T> {
        let mut step = Step {
            opening: None,
            gap: None,
            deliver: Vec::new(),
            done: None,
        };
        let first = self.at.is_none();
        let before = self.place(&found, &mut step);
        let mut at = before;
        if step.gap.is_none() {
            for publication in found.publications {
                at = publication.position();
                step.deliver.push(publication);
            }
        }
        self.at = Some(at);
        if at != found.top && at.epoch == found.top.epoch && !step.deliver.is_empty() {
            return step; // A page was full: there is more.
        }
        let progress = first || !step.deliver.is_empty();
        self.merge(&mut step, progress);
        step
    }

    /// Decides where the deliveries of this read start, and what is told before them.
    fn place(&mut self, found: &Found<T>, step: &mut Step<T>) -> Position {
        let before_first = |fallback: Position| {
            found.publications.first().map_or(fallback, |p| Position {
                offset: p.position().offset - 1,
                ..p.position()
            })
        };
        match (self.at, self.start) {
            (None, Start::Live | Start::Rewind(_)) => {
                let position = before_first(found.top);
                step.opening = Some(Opening {
                    position,
                    recovered: false,
                });
                position
            }
            (None, Start::After(asked)) if found.complete => {
                step.opening = Some(Opening {
                    position: asked,
                    recovered: true,
                });
                asked
            }
            (Some(at), _) if found.complete => at,
            (at, start) => {
                // All or nothing: what is left of history is not replayed after a hole.
                if let (None, Start::After(_)) = (at, start) {
                    step.opening = Some(Opening {
                        position: found.top,
                        recovered: false,
                    });
                }
                let asked = match (at, start) {
                    (Some(at), _) | (None, Start::After(at)) => at,
                    (None, _) => found.top,
                };
                let reason = if asked.epoch != found.top.epoch {
                    GapReason::EpochChanged
                } else if self.refill {
                    GapReason::Interrupted
                } else {
                    GapReason::Trimmed
                };
                step.gap = Some((found.top, reason));
                found.top
            }
        }
    }

    /// Joins what was parked; asks for another read when there is a hole between the two.
    fn merge(&mut self, step: &mut Step<T>, progress: bool) {
        let mut at = self.at.expect("a read has set it");
        self.stalled = if progress { 0 } else { self.stalled + 1 };
        while let Some(next) = self.parked.front().map(Placed::position) {
            let same = next.epoch == at.epoch;
            if same && next.offset <= at.offset {
                self.parked.pop_front();
                continue;
            }
            if !same || next.offset != at.offset + 1 {
                // A hole. History may have it by now; if it still does not explain it, say so.
                if self.stalled < STALLED_MAX && step.gap.is_none() {
                    self.at = Some(at);
                    return;
                }
                if !step.deliver.is_empty() {
                    // The gap is told before the deliveries of a step, so these must be out first.
                    self.at = Some(at);
                    return;
                }
                let reason = if same {
                    GapReason::Interrupted
                } else {
                    GapReason::EpochChanged
                };
                step.gap = Some((
                    Position {
                        offset: next.offset - 1,
                        ..next
                    },
                    reason,
                ));
            }
            at = next;
            step.deliver.extend(self.parked.pop_front());
        }
        self.at = Some(at);
        step.done = Some(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    impl Placed for Position {
        fn position(&self) -> Position {
            *self
        }
    }

    fn at(offset: u64) -> Position {
        Position {
            epoch: Epoch(1),
            offset,
        }
    }

    fn range(offsets: std::ops::RangeInclusive<u64>) -> Vec<Position> {
        offsets.map(at).collect()
    }

    fn found(offsets: std::ops::RangeInclusive<u64>, top: u64, complete: bool) -> Found<Position> {
        Found {
            publications: range(offsets),
            top: at(top),
            complete,
        }
    }

    #[test]
    fn live_starts_at_the_top_and_parked_duplicates_are_left_out() {
        let mut sync = CatchUp::new(Start::Live, 10);
        assert_eq!(sync.query(), Query::Top);
        (4..=7).for_each(|offset| sync.park(at(offset)));
        let step = sync.read(Found {
            publications: vec![],
            top: at(5),
            complete: true,
        });
        assert_eq!(
            step.opening,
            Some(Opening {
                position: at(5),
                recovered: false
            })
        );
        assert_eq!(
            (step.deliver, step.done, step.gap),
            (range(6..=7), Some(at(7)), None)
        );
    }

    #[test]
    fn rewind_opens_before_the_first_it_replays() {
        let mut sync = CatchUp::new(Start::Rewind(3), 10);
        assert_eq!(sync.query(), Query::Newest(3));
        let step = sync.read(found(8..=10, 10, true));
        assert_eq!(
            step.opening,
            Some(Opening {
                position: at(7),
                recovered: false
            })
        );
        assert_eq!((step.deliver, step.done), (range(8..=10), Some(at(10))));
    }

    #[test]
    fn recovery_reads_page_by_page_and_then_merges() {
        let mut sync = CatchUp::new(Start::After(at(2)), 10);
        let step = sync.read(found(3..=4, 6, true));
        assert_eq!(
            step.opening,
            Some(Opening {
                position: at(2),
                recovered: true
            })
        );
        assert_eq!((step.deliver, step.done), (range(3..=4), None));
        assert_eq!(sync.query(), Query::After(at(4)));
        (6..=8).for_each(|offset| sync.park(at(offset)));
        let step = sync.read(found(5..=6, 6, true));
        assert_eq!(
            (step.opening, step.deliver, step.done),
            (None, range(5..=8), Some(at(8)))
        );
    }

    #[test]
    fn recovery_is_all_or_nothing() {
        let mut sync = CatchUp::new(Start::After(at(2)), 10);
        sync.park(at(10));
        let step = sync.read(found(7..=9, 9, false));
        assert_eq!(
            step.opening,
            Some(Opening {
                position: at(9),
                recovered: false
            })
        );
        assert_eq!(step.gap, Some((at(9), GapReason::Trimmed)));
        assert_eq!((step.deliver, step.done), (range(10..=10), Some(at(10))));
        let foreign = Position {
            epoch: Epoch(2),
            offset: 2,
        };
        let step = CatchUp::new(Start::After(foreign), 10).read(found(1..=3, 3, false));
        assert_eq!(step.gap, Some((at(3), GapReason::EpochChanged)));
    }

    #[test]
    fn a_hole_between_history_and_live_is_read_again_and_then_announced() {
        let mut sync = CatchUp::new(Start::Live, 10);
        sync.park(at(9));
        let empty = || Found {
            publications: vec![],
            top: at(5),
            complete: true,
        };
        assert_eq!(sync.read(empty()).done, None);
        assert_eq!(sync.query(), Query::After(at(5)));
        let step = sync.read(found(6..=8, 8, true));
        assert_eq!(
            (step.deliver, step.gap, step.done),
            (range(6..=9), None, Some(at(9)))
        );

        let mut sync = CatchUp::new(Start::Live, 10);
        sync.park(at(9));
        let last = (0..=STALLED_MAX)
            .map(|_| sync.read(empty()))
            .last()
            .unwrap();
        assert_eq!(last.gap, Some((at(8), GapReason::Interrupted)));
        assert_eq!((last.deliver, last.done), (range(9..=9), Some(at(9))));
    }

    /// A random script of publishing, trimming, losing live publications and reading: whatever happens, what comes out is
    /// ascending, without duplicates, and every hole has its gap.
    #[test]
    fn whatever_happens_holes_are_announced_and_nothing_comes_twice() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let mut random = move |below: u64| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            seed % below
        };
        for round in 0..20_000 {
            let mut top = random(20);
            let mut oldest = random(top + 1);
            let asked = random(25);
            let start = [
                Start::Live,
                Start::Rewind(asked as u32),
                Start::After(at(asked)),
            ][random(3) as usize];
            let mut sync = CatchUp::new(start, 1 + random(5) as usize);
            let (mut stands, mut done) = (None, false);
            for _ in 0..200 {
                for _ in 0..random(4) {
                    top += 1;
                    if random(8) > 0 {
                        sync.park(at(top));
                    }
                }
                oldest = oldest.max(random(top + 1).min(oldest + random(6)));
                let page = 1 + random(4);
                let found = match sync.query() {
                    Query::Top => Found {
                        publications: vec![],
                        top: at(top),
                        complete: true,
                    },
                    Query::Newest(count) => {
                        let from = (top + 1).saturating_sub(u64::from(count)).max(oldest + 1);
                        Found {
                            publications: range(from..=top),
                            top: at(top),
                            complete: true,
                        }
                    }
                    Query::After(from) => {
                        let complete = from.offset >= oldest && from.offset <= top;
                        let first = from.offset.max(oldest) + 1;
                        let publications =
                            range(first..=top).into_iter().take(page as usize).collect();
                        Found {
                            publications,
                            top: at(top),
                            complete,
                        }
                    }
                };
                let step = sync.read(found);
                if let Some(opening) = step.opening {
                    assert_eq!(stands, None);
                    stands = Some(opening.position.offset);
                }
                if let Some((position, _)) = step.gap {
                    stands = Some(position.offset);
                }
                for publication in step.deliver {
                    let expected = stands.expect("opening comes first") + 1;
                    assert_eq!(publication.offset, expected, "round {round}");
                    stands = Some(expected);
                }
                if let Some(position) = step.done {
                    assert_eq!(Some(position.offset), stands, "round {round}");
                    done = true;
                    break;
                }
            }
            assert!(done, "round {round} never ended");
        }
    }
}

//! A durable subscription's acknowledgements on their way to the engine: of many only the newest is written, one write is
//! under way at a time, and nobody who waits is told that the engine has it before it has.

use crate::Position;

/// The offset was never sent to the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription stands at offset {stands}")]
pub struct NeverSent {
    /// Where the subscription stands.
    pub stands: u64,
}

/// What became of an acknowledgement; `W` is who waits for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken<W> {
    /// The engine has it already, or a later one: whoever waits can be told.
    Kept(Option<W>),
    /// It is to be written: see [`Acks::write`].
    Owed,
}

/// The acknowledgements of one subscription.
#[derive(Debug)]
pub struct Acks<W> {
    /// The mark that the engine is known to have. Another session of the user may have moved it on.
    kept: Position,
    /// The newest acknowledgement.
    newest: Position,
    writing: Option<Position>,
    /// Who waits, and for what.
    waiting: Vec<(Position, W)>,
}

impl<W> Acks<W> {
    /// Begins at the mark that the engine has.
    pub fn new(kept: Position) -> Self {
        Self {
            kept,
            newest: kept,
            writing: None,
            waiting: Vec::new(),
        }
    }

    /// Takes an acknowledgement of everything up to `offset`, of a subscription that stands at `stands`. It never moves
    /// back: a late one is taken and changes nothing.
    ///
    /// # Errors
    /// [`NeverSent`] for what is beyond where the subscription stands.
    pub fn take(
        &mut self,
        offset: u64,
        stands: Position,
        waiter: Option<W>,
    ) -> Result<Taken<W>, NeverSent> {
        if offset > stands.offset {
            let stands = stands.offset;
            return Err(NeverSent { stands });
        }
        let position = Position { offset, ..stands };
        if !covers(self.newest, position) {
            self.newest = position;
        }
        if covers(self.kept, position) {
            return Ok(Taken::Kept(waiter));
        }
        self.waiting.extend(waiter.map(|waiter| (position, waiter)));
        Ok(Taken::Owed)
    }

    /// The mark that the engine is known to have.
    pub fn kept(&self) -> Position {
        self.kept
    }

    /// What to write now, if anything. Its end is to be told to [`Acks::written`].
    pub fn write(&mut self) -> Option<Position> {
        if self.writing.is_some() || !self.is_owed() {
            return None;
        }
        self.writing = Some(self.newest);
        self.writing
    }

    /// Takes the end of a write. Gives those whose acknowledgement it was: they are to be told how it went.
    pub fn written(&mut self, done: bool) -> Vec<W> {
        let Some(written) = self.writing.take() else {
            return Vec::new();
        };
        if done {
            self.kept = written;
        }
        let still = |(position, _): &mut (Position, W)| !later(*position, written);
        self.waiting
            .extract_if(.., still)
            .map(|(_, waiter)| waiter)
            .collect()
    }

    /// Whether something is acknowledged that the engine is not known to have.
    pub fn is_owed(&self) -> bool {
        self.newest != self.kept
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// Whether who has acknowledged `mark` has acknowledged `position`. In another epoch it has acknowledged nothing.
fn covers(mark: Position, position: Position) -> bool {
    mark.epoch == position.epoch && mark.offset >= position.offset
}

/// Whether `position` is not settled by a write of `written`. What was acknowledged in an epoch that is over is settled by
/// any: its offsets mean nothing any more.
fn later(position: Position, written: Position) -> bool {
    position.epoch == written.epoch && position.offset > written.offset
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Epoch;

    fn at(offset: u64) -> Position {
        Position {
            epoch: Epoch(1),
            offset,
        }
    }

    fn owed(acks: &mut Acks<u32>, offset: u64, waiter: Option<u32>) {
        assert_eq!(acks.take(offset, at(100), waiter), Ok(Taken::Owed));
    }

    #[test]
    fn of_many_only_the_newest_is_written_and_one_at_a_time() {
        let mut acks = Acks::new(at(3));
        assert_eq!(acks.write(), None);
        owed(&mut acks, 5, None);
        assert_eq!(acks.write(), Some(at(5)));
        for offset in 6..=20 {
            owed(&mut acks, offset, None);
            assert_eq!(acks.write(), None, "two writes under way");
        }
        acks.written(true);
        assert_eq!(acks.write(), Some(at(20)));
        acks.written(true);
        assert_eq!((acks.write(), acks.is_owed()), (None, false));
    }

    #[test]
    fn late_and_doubled_ones_change_nothing() {
        let mut acks = Acks::new(at(10));
        for offset in [10, 3, 0] {
            assert_eq!(
                acks.take(offset, at(100), Some(7)),
                Ok(Taken::Kept(Some(7)))
            );
        }
        owed(&mut acks, 20, None);
        owed(&mut acks, 15, Some(1));
        assert_eq!(acks.write(), Some(at(20)));
        assert_eq!(acks.written(true), [1]);
        assert_eq!(acks.write(), None);
    }

    #[test]
    fn what_was_never_sent_is_refused() {
        let mut acks = Acks::<()>::new(at(3));
        assert_eq!(acks.take(8, at(7), None), Err(NeverSent { stands: 7 }));
        assert_eq!(acks.write(), None);
        assert_eq!(acks.take(7, at(7), None), Ok(Taken::Owed));
    }

    #[test]
    fn who_waits_is_told_by_the_write_that_has_it_and_by_none_before() {
        let mut acks = Acks::new(at(0));
        owed(&mut acks, 5, Some(5));
        assert_eq!(acks.write(), Some(at(5)));
        owed(&mut acks, 4, Some(4));
        owed(&mut acks, 6, Some(6));
        assert_eq!(acks.written(true), [5, 4]);
        assert_eq!(acks.waiting(), 1);
        assert_eq!(acks.write(), Some(at(6)));
        assert_eq!(acks.written(false), [6], "it hears of the failure");
        // The engine still lacks it, so it is not dropped.
        assert!(acks.is_owed());
        assert_eq!(acks.write(), Some(at(6)));
        assert!(acks.written(true).is_empty());
        assert!(!acks.is_owed());
    }

    #[test]
    fn a_new_epoch_begins_anew_and_settles_the_old() {
        let mut acks = Acks::new(at(50));
        owed(&mut acks, 60, Some(1));
        let stands = Position {
            epoch: Epoch(2),
            offset: 4,
        };
        assert_eq!(acks.take(2, stands, Some(2)), Ok(Taken::Owed));
        let new = Position {
            offset: 2,
            ..stands
        };
        assert_eq!(acks.write(), Some(new));
        assert_eq!(acks.written(true), [1, 2]);
        assert!(!acks.is_owed());
    }
}

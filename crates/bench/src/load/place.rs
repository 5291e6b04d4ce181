//! What a client has seen of a channel, so that a number that is missing, late or there again is told from the rest.

/// Holes that are remembered a channel and client: beyond them the oldest stays lost, even if it is filled later.
const HOLES_MAX: usize = 64;

/// A client's place in a channel.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) channel: u32,
    /// The highest number seen.
    last: u64,
    /// Numbers below it that were passed over, first and last of each stretch.
    holes: Vec<(u64, u64)>,
}

/// What a number is to a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The one that follows.
    Next,
    /// So many before it have not come.
    Passing(u64),
    /// One that had been passed over.
    Late,
    /// One that had come already.
    Again,
}

impl Place {
    /// The first number that is seen sets the mark; totals say whether some came before it.
    pub(crate) fn starting(channel: u32, number: u64) -> Self {
        Self {
            channel,
            last: number,
            holes: Vec::new(),
        }
    }

    /// Takes note of a number.
    pub(crate) fn take(&mut self, number: u64) -> Arrival {
        if number <= self.last {
            return if self.fill(number) {
                Arrival::Late
            } else {
                Arrival::Again
            };
        }
        let passed = number - self.last - 1;
        if passed > 0 {
            if self.holes.len() == HOLES_MAX {
                self.holes.remove(0);
            }
            self.holes.push((self.last + 1, number - 1));
        }
        self.last = number;
        match passed {
            0 => Arrival::Next,
            passed => Arrival::Passing(passed),
        }
    }

    /// Fills a hole's number; false where there is no such hole.
    fn fill(&mut self, number: u64) -> bool {
        let within = |(first, last): &(u64, u64)| (*first..=*last).contains(&number);
        let Some(at) = self.holes.iter().position(within) else {
            return false;
        };
        let (first, last) = self.holes.swap_remove(at);
        for part in [(first, number - 1), (number + 1, last)] {
            if part.0 <= part.1 {
                self.holes.push(part);
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_passed_over_is_late_once_and_doubled_from_then_on() {
        let mut place = Place::starting(0, 5);
        let taken: Vec<_> = [6, 10, 8, 8, 7, 9, 10, 3, 11]
            .into_iter()
            .map(|number| place.take(number))
            .collect();
        let expected = [
            Arrival::Next,
            Arrival::Passing(3),
            Arrival::Late,
            Arrival::Again,
            Arrival::Late,
            Arrival::Late,
            Arrival::Again,
            Arrival::Again,
            Arrival::Next,
        ];
        assert_eq!(taken, expected);
        assert!(place.holes.is_empty());
    }

    #[test]
    fn holes_are_bounded() {
        let mut place = Place::starting(0, 0);
        let holes = HOLES_MAX as u64 + 10;
        for hole in 1..=holes {
            assert_eq!(place.take(hole * 2), Arrival::Passing(1));
        }
        assert_eq!(place.holes.len(), HOLES_MAX);
        assert_eq!(place.take(1), Arrival::Again, "the oldest is forgotten");
        assert_eq!(place.take(holes * 2 - 1), Arrival::Late);
    }
}

//! One channel's place in its order of publications, across connections: what to ask, and what a frame means.

use crate::commands::Subscribe;
use crate::events::{Begun, Gap, GapReason, Position};

/// Where a subscription stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriptionState {
    /// The hub is being asked, at first or after a loss of the connection.
    Subscribing,
    /// The hub has it.
    Subscribed,
    /// It has ended.
    Unsubscribed,
}

/// Where a subscription begins. `Start::default()`: with what is published from now on, or in a durable channel after what was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Start {
    /// Begins with the last so many publications.
    pub rewind: Option<u32>,
    /// Begins after a place that was kept from an earlier visit; counts for more than `rewind`.
    pub position: Option<Position>,
    /// Grants this one channel.
    pub token: Option<String>,
}

/// What to do with a publication.
#[derive(Debug, PartialEq)]
pub(crate) enum Fate {
    /// It is of no session that stands, or came before.
    Drop,
    /// It is next, or of no order.
    Deliver,
    /// It comes after a hole that nobody announced.
    After(Gap),
}

#[derive(Debug)]
pub(crate) struct Place {
    channel: String,
    start: Start,
    /// Whether the present session has the channel.
    pub(crate) stands: bool,
    /// The last place received: the next connection goes on after it.
    pub(crate) position: Option<Position>,
}

impl Place {
    pub(crate) fn new(channel: &str, start: Start) -> Self {
        Self {
            channel: channel.to_owned(),
            position: start.position.clone(),
            start,
            stands: false,
        }
    }

    /// What to ask a session that does not have the channel yet.
    pub(crate) fn ask(&mut self) -> Subscribe {
        self.stands = false;
        Subscribe {
            channel: self.channel.clone(),
            position: self.position.clone(),
            rewind: self
                .start
                .rewind
                .filter(|rewind| *rewind > 0 && self.position.is_none()),
            token: self.start.token.clone(),
        }
    }

    /// The session has the channel, by the reply or by `subscribed`, whichever came first; whether that is news.
    pub(crate) fn begin(&mut self, begun: &Begun) -> bool {
        if self.stands {
            return false;
        }
        self.stands = true;
        let mut begins = begun.position.clone();
        // A session may begin before what was received: what comes twice is told by its offset.
        if let Some(mine) = self.position.take()
            && begun.recovered
            && mine.epoch == begins.epoch
        {
            begins.offset = begins.offset.max(mine.offset);
        }
        self.position = Some(begins);
        true
    }

    /// Whether the server's hand began elsewhere than this subscription has to go on.
    pub(crate) fn must_ask_anew(&self, begun: &Begun) -> bool {
        let begins = &begun.position;
        let misses = |mine: &Position| mine.epoch != begins.epoch || mine.offset < begins.offset;
        !self.stands && !begun.recovered && self.position.as_ref().is_some_and(misses)
    }

    /// A publication came, with its offset where it has one.
    pub(crate) fn message(&mut self, offset: Option<u64>) -> Fate {
        if !self.stands {
            return Fate::Drop;
        }
        let (Some(offset), Some(position)) = (offset, &mut self.position) else {
            return Fate::Deliver;
        };
        if offset <= position.offset {
            return Fate::Drop;
        }
        let is_next = offset == position.offset + 1;
        position.offset = offset;
        if is_next {
            return Fate::Deliver;
        }
        // The hub announces its holes; one that comes unannounced is told all the same, and never passed over in silence.
        Fate::After(Gap {
            position: Position {
                epoch: position.epoch.clone(),
                offset: offset - 1,
            },
            reason: GapReason::Interrupted,
        })
    }

    /// The hub announced a hole, after which the channel goes on; whether it is of the present session.
    pub(crate) fn gap(&mut self, gap: &Gap) -> bool {
        if self.stands {
            self.position = Some(gap.position.clone());
        }
        self.stands
    }

    /// The session is gone, or no longer has the channel.
    pub(crate) fn lost(&mut self) {
        self.stands = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Policy;

    fn at(epoch: &str, offset: u64) -> Position {
        Position {
            epoch: epoch.to_owned(),
            offset,
        }
    }

    fn begun(epoch: &str, offset: u64, recovered: bool) -> Begun {
        Begun {
            position: at(epoch, offset),
            recovered,
            policy: Policy::default(),
        }
    }

    #[test]
    fn each_offset_is_delivered_once_and_holes_are_told() {
        let mut place = Place::new("a", Start::default());
        assert_eq!(place.message(Some(1)), Fate::Drop, "nothing stands yet");
        assert!(place.begin(&begun("e", 4, false)));
        assert!(!place.begin(&begun("e", 9, false)), "it begins once");
        assert_eq!(place.message(Some(4)), Fate::Drop);
        assert_eq!(place.message(Some(5)), Fate::Deliver);
        assert_eq!(place.message(Some(5)), Fate::Drop);
        assert_eq!(place.message(Some(6)), Fate::Deliver);
        let hole = Gap {
            position: at("e", 8),
            reason: GapReason::Interrupted,
        };
        assert_eq!(place.message(Some(9)), Fate::After(hole));
        assert_eq!(place.message(None), Fate::Deliver);
        assert_eq!(place.position, Some(at("e", 9)));
    }

    #[test]
    fn the_next_session_goes_on_from_the_position() {
        let start = Start {
            rewind: Some(3),
            token: Some("t".to_owned()),
            ..Start::default()
        };
        let mut place = Place::new("a", start);
        let asked = place.ask();
        assert_eq!((asked.rewind, asked.position), (Some(3), None));
        assert_eq!(asked.token.as_deref(), Some("t"));
        place.begin(&begun("e", 4, false));
        place.message(Some(5));
        place.lost();
        assert_eq!(place.message(Some(6)), Fate::Drop);
        let asked = place.ask();
        assert_eq!((asked.rewind, asked.position), (None, Some(at("e", 5))));
        place.begin(&begun("e", 3, true));
        assert_eq!(place.message(Some(5)), Fate::Drop);
        assert_eq!(place.message(Some(6)), Fate::Deliver);
    }

    #[test]
    fn another_begin_than_the_own_is_asked_anew_and_a_gap_moves_the_place() {
        let start = Start {
            position: Some(at("e", 5)),
            ..Start::default()
        };
        let mut place = Place::new("a", start);
        for (wanted, told) in [
            (true, begun("e", 6, false)),
            (true, begun("f", 1, false)),
            (false, begun("e", 5, false)),
            (false, begun("e", 9, true)),
        ] {
            assert_eq!(place.must_ask_anew(&told), wanted, "{told:?}");
        }
        let gap = Gap {
            position: at("f", 2),
            reason: GapReason::EpochChanged,
        };
        assert!(!place.gap(&gap), "nothing stands yet");
        place.begin(&begun("f", 1, false));
        assert!(place.gap(&gap));
        assert_eq!(place.message(Some(3)), Fate::Deliver);
    }
}

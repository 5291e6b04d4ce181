//! The events that wait for a subscription's reader: what the client's task and a handle share.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

use crate::Error;
use crate::events::{Event, Gap, GapReason, Position};
use crate::place::SubscriptionState;

/// A subscription's inbox. Where more events wait than it holds the oldest are dropped, and a gap is told in their place.
#[derive(Debug)]
pub(crate) struct Inbox {
    pub(crate) channel: String,
    max: usize,
    /// Tells the client's task that a handle has gone.
    left: Arc<Notify>,
    state: Mutex<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    events: VecDeque<(Event, Option<Position>)>,
    /// The place of the last event that was read.
    read: Option<Position>,
    /// The place of the last event that was dropped since.
    dropped: Option<Position>,
    standing: SubscriptionState,
    /// What is told last, once everything else was read.
    end: Option<Event>,
    holder: Holder,
    waker: Option<Waker>,
}

/// Who has the handle of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Holder {
    /// Nobody yet: the server began it.
    Nobody,
    /// The application.
    Application,
    /// It was dropped: the subscription is to end.
    Left,
}

impl Inbox {
    pub(crate) fn new(channel: &str, max: usize, holder: Holder, left: Arc<Notify>) -> Self {
        Self {
            channel: channel.to_owned(),
            max: max.max(1),
            left,
            state: Mutex::new(Waiting {
                events: VecDeque::new(),
                read: None,
                dropped: None,
                standing: SubscriptionState::Subscribing,
                end: None,
                holder,
                waker: None,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, Waiting> {
        // A panic while it was held can only have come from a waker, and then the state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(mut state: MutexGuard<'_, Waiting>) {
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The session has the channel, from `position` on.
    pub(crate) fn begin(&self, event: Event, position: Option<&Position>) {
        let mut state = self.state();
        state.standing = SubscriptionState::Subscribed;
        if state.read.is_none() {
            state.read = position.cloned();
        }
        drop(state);
        self.put(event, None);
    }

    /// The session is gone.
    pub(crate) fn lose(&self) {
        let mut state = self.state();
        if state.standing == SubscriptionState::Subscribed {
            state.standing = SubscriptionState::Subscribing;
        }
    }

    /// An event waits for its reader, with the place that is reached by reading it.
    pub(crate) fn put(&self, event: Event, position: Option<Position>) {
        let mut state = self.state();
        if state.events.len() >= self.max {
            let place = state.events.pop_front().and_then(|(_, place)| place);
            let before = state.dropped.take().or_else(|| state.read.clone());
            state.dropped = Some(place.or(before).unwrap_or_default());
        }
        state.events.push_back((event, position));
        Self::wake(state);
    }

    /// It has ended; what waits can still be read.
    pub(crate) fn end(&self, why: Option<Error>) {
        let mut state = self.state();
        if state.standing != SubscriptionState::Unsubscribed {
            state.standing = SubscriptionState::Unsubscribed;
            state.end = Some(Event::Unsubscribed(why));
        }
        Self::wake(state);
    }

    /// The next event; nothing once the end was told.
    pub(crate) fn poll(&self, context: &mut Context<'_>) -> Poll<Option<Event>> {
        let mut state = self.state();
        if let Some(position) = state.dropped.take() {
            state.read = Some(position.clone());
            let reason = GapReason::SlowConsumer;
            return Poll::Ready(Some(Event::Gap(Gap { position, reason })));
        }
        if let Some((event, position)) = state.events.pop_front() {
            if position.is_some() {
                state.read = position;
            }
            return Poll::Ready(Some(event));
        }
        if state.standing == SubscriptionState::Unsubscribed {
            return Poll::Ready(state.end.take());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    pub(crate) fn standing(&self) -> SubscriptionState {
        self.state().standing
    }

    pub(crate) fn read(&self) -> Option<Position> {
        self.state().read.clone()
    }

    /// Gives the handle to the application, where nobody has it.
    pub(crate) fn hold(&self) -> bool {
        let mut state = self.state();
        let is_free = state.holder == Holder::Nobody;
        if is_free {
            state.holder = Holder::Application;
        }
        is_free
    }

    /// The application has no handle any more.
    pub(crate) fn leave(&self) {
        self.state().holder = Holder::Left;
        self.left.notify_one();
    }

    pub(crate) fn was_left(&self) -> bool {
        self.state().holder == Holder::Left
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::events::{Begun, Message, Policy};
    use crate::payload::Payload;

    fn at(offset: u64) -> Position {
        Position {
            epoch: "e".to_owned(),
            offset,
        }
    }

    fn message(offset: u64) -> Event {
        Event::Message(Message {
            channel: None,
            offset: Some(offset),
            data: Payload::binary(Vec::new()),
            id: None,
            from: None,
            time: std::time::SystemTime::UNIX_EPOCH,
            tags: BTreeMap::new(),
        })
    }

    fn inbox(max: usize) -> Inbox {
        let inbox = Inbox::new("a", max, Holder::Application, Arc::default());
        let begun = Begun {
            position: at(0),
            recovered: false,
            policy: Policy::default(),
        };
        inbox.begin(Event::Subscribed(begun), Some(&at(0)));
        inbox
    }

    fn next(inbox: &Inbox) -> Poll<Option<Event>> {
        inbox.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_a_gap_in_the_place_of_what_was_dropped() {
        let inbox = inbox(3);
        for offset in 1..=7 {
            inbox.put(message(offset), Some(at(offset)));
        }
        let gap = Gap {
            position: at(4),
            reason: GapReason::SlowConsumer,
        };
        assert_eq!(next(&inbox), Poll::Ready(Some(Event::Gap(gap))));
        for offset in 5..=7 {
            assert_eq!(next(&inbox), Poll::Ready(Some(message(offset))));
            assert_eq!(inbox.read(), Some(at(offset)));
        }
        assert!(next(&inbox).is_pending());
    }

    #[test]
    fn what_waits_is_read_before_the_end_which_is_told_once() {
        let inbox = inbox(3);
        inbox.put(message(1), Some(at(1)));
        inbox.end(None);
        inbox.end(Some(Error::closed()));
        assert!(matches!(
            next(&inbox),
            Poll::Ready(Some(Event::Subscribed(_)))
        ));
        assert_eq!(
            inbox.read(),
            Some(at(0)),
            "what was not read does not count"
        );
        assert_eq!(next(&inbox), Poll::Ready(Some(message(1))));
        assert_eq!(next(&inbox), Poll::Ready(Some(Event::Unsubscribed(None))));
        for _ in 0..2 {
            assert_eq!(next(&inbox), Poll::Ready(None));
        }
    }
}

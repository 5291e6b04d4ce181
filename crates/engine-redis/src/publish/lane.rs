//! Where publications wait for the call that takes them, in their order.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use switchboard_engine::EngineError;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::Answer;
use super::call::Encoded;
use crate::deadline::{refused, unanswered};

/// Publications of one call: it holds the server up for some 500 µs.
const CALL_LEN_MAX: usize = 64;

/// Bytes of one call. One publication may be larger, and then goes alone.
const CALL_BYTES_MAX: usize = 256 * 1024;

/// Publications of some partitions. One call of them is on its way at a time.
#[derive(Default)]
pub(super) struct Lane {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By their numbers, which rise.
    waiting: VecDeque<Waiting>,
    /// The number of the next one.
    next: u64,
    /// Somebody makes calls, and will look here again.
    is_driven: bool,
}

/// A publication that waits for its call, then for its answer.
pub(super) struct Waiting {
    number: u64,
    pub(super) encoded: Encoded,
    pub(super) answer: oneshot::Sender<Answer>,
    _share: Share,
}

/// What a publisher has of its publication.
pub(super) struct Place {
    lane: Arc<Lane>,
    number: u64,
    answer: oneshot::Receiver<Answer>,
}

/// How much may wait in all lanes together, for a call or for its answer.
pub(super) struct Bounds {
    len: AtomicUsize,
    bytes: AtomicUsize,
    len_max: usize,
    bytes_max: usize,
}

/// A publication's part of the bounds.
struct Share {
    bounds: Arc<Bounds>,
    bytes: usize,
}

impl Lane {
    /// Takes a publication in. Tells whether nobody makes calls for the lane: whoever entered has to see to it.
    pub(super) fn enter(
        self: &Arc<Self>,
        bounds: &Arc<Bounds>,
        encoded: Encoded,
    ) -> Result<(Place, bool), EngineError> {
        let share = bounds.share(encoded.bytes())?;
        let (answer, answered) = oneshot::channel();
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.waiting.push_back(Waiting {
            number,
            encoded,
            answer,
            _share: share,
        });
        let is_idle = !std::mem::replace(&mut state.is_driven, true);
        drop(state);
        let place = Place {
            lane: Arc::clone(self),
            number,
            answer: answered,
        };
        Ok((place, is_idle))
    }

    /// The publications of the next call. Where there are none, nobody makes calls for the lane any more.
    pub(super) fn take(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            // Its publisher is gone: it is as if it had never come.
            if next.answer.is_closed() {
                state.waiting.pop_front();
                continue;
            }
            bytes += next.encoded.bytes();
            if batch.len() == CALL_LEN_MAX || (bytes > CALL_BYTES_MAX && !batch.is_empty()) {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        if batch.is_empty() {
            // What a burst took is given back.
            state.waiting.shrink_to(CALL_LEN_MAX);
        }
        state.is_driven = !batch.is_empty();
        state.is_driven.then_some(batch)
    }

    /// Drops all that waits: nobody makes calls any more.
    pub(super) fn give_up(&self) {
        let mut state = self.lock();
        state.is_driven = false;
        let given_up = std::mem::take(&mut state.waiting);
        drop(state);
        drop(given_up);
    }

    /// Takes a publication back. False when a call has it already.
    fn withdraw(&self, number: u64) -> bool {
        let mut state = self.lock();
        let at = state
            .waiting
            .binary_search_by_key(&number, |waiting| waiting.number);
        at.is_ok_and(|at| state.waiting.remove(at).is_some())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for the answer until the deadline.
    ///
    /// # Cancel safety
    /// What no call has yet is never sent; what a call has may be published all the same.
    pub(super) async fn answer(mut self, deadline: Instant) -> Answer {
        match timeout_at(deadline, &mut self.answer).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(refused("the engine has shut down")),
            Err(_) if self.lane.withdraw(self.number) => Err(refused(
                "it could not be sent in time: the node has no room, or redis is slow",
            )),
            Err(_) => Err(unanswered()),
        }
    }
}

impl Bounds {
    pub(super) fn new(len_max: usize, bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            len: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            len_max,
            bytes_max,
        })
    }

    fn share(self: &Arc<Self>, bytes: usize) -> Result<Share, EngineError> {
        // Given back when it is dropped, so also where it turns out to be too much.
        let share = Share {
            bounds: Arc::clone(self),
            bytes,
        };
        let len = self.len.fetch_add(1, Ordering::Relaxed);
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        // One that is larger than all that may wait can still go alone.
        if len >= self.len_max || (before > 0 && before + bytes > self.bytes_max) {
            return Err(refused("too many publications wait for redis"));
        }
        Ok(share)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.bounds.len.fetch_sub(1, Ordering::Relaxed);
        self.bounds.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use switchboard_core::{ChannelName, Payload, Retention};
    use switchboard_engine::PublishRequest;

    use super::*;
    use crate::keys::Keys;

    fn of_len(len: usize) -> Encoded {
        let request = PublishRequest {
            channel: ChannelName::parse("a:1").expect("a valid name"),
            payload: Payload::Binary(Bytes::from(vec![0; len])),
            id: None,
            idempotency_window: Duration::ZERO,
            from: None,
            tags: Vec::new(),
            exclude: None,
            expected_position: None,
            retention: Retention::NONE,
            skip_history: false,
        };
        Encoded::new(&Keys::new("sb", 1), Duration::from_secs(1), &request)
    }

    fn enter(lane: &Arc<Lane>, bounds: &Arc<Bounds>, len: usize) -> (Place, bool) {
        lane.enter(bounds, of_len(len)).expect("room for it")
    }

    fn lens(batch: Option<Vec<Waiting>>) -> Vec<usize> {
        let overhead = of_len(0).bytes();
        let batch = batch.into_iter().flatten();
        batch.map(|w| w.encoded.bytes() - overhead).collect()
    }

    #[test]
    fn one_makes_calls_until_nothing_waits() {
        let (lane, bounds) = (Arc::<Lane>::default(), Bounds::new(10, 1000));
        let (_first, is_idle) = enter(&lane, &bounds, 1);
        assert!(is_idle, "nobody makes calls yet");
        assert_eq!(lens(lane.take()), [1]);
        let (_second, is_idle) = enter(&lane, &bounds, 2);
        assert!(!is_idle, "a call is on its way");
        let (_third, _) = enter(&lane, &bounds, 3);
        assert_eq!(lens(lane.take()), [2, 3]);
        assert!(lane.take().is_none());
        let (_fourth, is_idle) = enter(&lane, &bounds, 4);
        assert!(is_idle, "whoever made calls has ended");
    }

    #[test]
    fn a_call_is_bounded_and_one_that_is_larger_goes_alone() {
        let (lane, bounds) = (Arc::<Lane>::default(), Bounds::new(1000, usize::MAX));
        let mut places = Vec::new();
        for _ in 0..=CALL_LEN_MAX {
            places.push(enter(&lane, &bounds, 1));
        }
        assert_eq!(lens(lane.take()).len(), CALL_LEN_MAX);
        for len in [CALL_BYTES_MAX, 2, CALL_BYTES_MAX / 2, CALL_BYTES_MAX / 2] {
            places.push(enter(&lane, &bounds, len));
        }
        assert_eq!(lens(lane.take()), [1]);
        assert_eq!(lens(lane.take()), [CALL_BYTES_MAX]);
        assert_eq!(lens(lane.take()), [2, CALL_BYTES_MAX / 2]);
        assert_eq!(lens(lane.take()), [CALL_BYTES_MAX / 2]);
    }

    #[tokio::test]
    async fn what_no_call_has_is_withdrawn_at_its_deadline_or_with_its_publisher() {
        let (lane, bounds) = (Arc::<Lane>::default(), Bounds::new(10, 1000));
        let (sent, _) = enter(&lane, &bounds, 1);
        let call = lane.take();
        let (waits, _) = enter(&lane, &bounds, 2);
        let (dropped, _) = enter(&lane, &bounds, 3);
        let (_patient, _) = enter(&lane, &bounds, 4);
        let deadline = Instant::now();
        assert_eq!(sent.answer(deadline).await, Err(unanswered()));
        let refused = waits.answer(deadline).await.expect_err("not sent");
        assert!(!crate::deadline::may_have_happened(&refused), "{refused}");
        drop(dropped);
        assert_eq!(lens(lane.take()), [4]);
        drop(call);
        assert_eq!(bounds.len.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn what_waits_is_bounded_until_it_is_answered() {
        let (lane, each) = (Arc::<Lane>::default(), of_len(1).bytes());
        for bounds in [Bounds::new(2, usize::MAX), Bounds::new(9, 2 * each)] {
            let _places = [enter(&lane, &bounds, 1), enter(&lane, &bounds, 1)];
            assert!(lane.enter(&bounds, of_len(1)).is_err());
            let call = lane.take();
            assert!(lane.enter(&bounds, of_len(1)).is_err());
            drop(call);
            assert!(lane.enter(&bounds, of_len(1)).is_ok());
            lane.give_up();
        }
        let bounds = Bounds::new(1, 1);
        assert!(lane.enter(&bounds, of_len(9)).is_ok(), "it can go alone");
    }
}

//! A lazy timing wheel: many coarse deadlines for eight bytes each, and no timer task per session.
//!
//! Lazy means that a deadline which moves later is left where it is: whoever owns the entry looks at its real deadline when the
//! entry comes up, and puts it in again. Only a deadline that moves earlier needs a second entry.

/// How long one tick is, in milliseconds: no deadline here needs to be more exact.
pub const TICK_MS: u64 = 250;

/// Buckets: at 250 ms a tick about two minutes. Deadlines further away come up early and are put in again.
const BUCKETS: u64 = 512;

/// Deadlines for entries of type `T`.
#[derive(Debug)]
pub struct Wheel<T> {
    buckets: Vec<Vec<T>>,
    /// The last tick that has been handed out.
    tick: u64,
}

impl<T> Wheel<T> {
    /// Makes an empty wheel that starts at `now_ms`.
    pub fn new(now_ms: u64) -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
            tick: now_ms / TICK_MS,
        }
    }

    /// Puts an entry in, to come up at the first advance at or after `deadline_ms`; earlier when the deadline is beyond
    /// the wheel's span.
    pub fn insert(&mut self, deadline_ms: u64, entry: T) {
        let tick = deadline_ms
            .div_ceil(TICK_MS)
            .clamp(self.tick + 1, self.tick + BUCKETS - 1);
        self.buckets[(tick % BUCKETS) as usize].push(entry);
    }

    /// Moves to `now_ms` and appends everything that has come up to `due`.
    pub fn advance(&mut self, now_ms: u64, due: &mut Vec<T>) {
        let target = now_ms / TICK_MS;
        // After a long pause one round empties every bucket.
        let steps = target.saturating_sub(self.tick).min(BUCKETS);
        for step in 1..=steps {
            let bucket = &mut self.buckets[((self.tick + step) % BUCKETS) as usize];
            due.append(bucket);
            // A bucket that once held a storm does not keep its memory.
            bucket.shrink_to(64);
        }
        self.tick = self.tick.max(target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_up_at_their_tick_and_never_before_it_within_the_span() {
        let mut wheel = Wheel::new(10_000);
        for deadline in [10_001, 10_250, 10_251, 40_000, 90_000] {
            wheel.insert(deadline, deadline);
        }
        let mut seen = Vec::new();
        for now in (10_000..100_000).step_by(50) {
            let mut due = Vec::new();
            wheel.advance(now, &mut due);
            for deadline in due {
                assert!(now >= deadline, "{deadline} came up at {now}");
                assert!(
                    now < deadline + 2 * TICK_MS,
                    "{deadline} came up late, at {now}"
                );
                seen.push(deadline);
            }
        }
        assert_eq!(seen, [10_001, 10_250, 10_251, 40_000, 90_000]);
    }

    #[test]
    fn far_deadlines_come_up_early_and_a_long_pause_loses_nothing() {
        let mut wheel = Wheel::new(0);
        wheel.insert(10_000_000, "far");
        wheel.insert(1, "near");
        let mut due = Vec::new();
        wheel.advance(5_000_000, &mut due);
        assert_eq!(due, ["near", "far"]);
        wheel.insert(0, "past");
        due.clear();
        wheel.advance(5_000_250, &mut due);
        assert_eq!(due, ["past"]);
    }
}

//! A rate limit in eight bytes (GCRA): how often something may happen in the long run, and how much of it at once.

use std::time::Duration;

/// One limited thing's state: the time at which it would have used up nothing, in microseconds of the caller's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    theoretical_us: u64,
}

impl Rate {
    /// Takes one, if `per_second` in the long run and `burst` at once allow it.
    ///
    /// `per_second` 0 means no limit. `now_ms` never goes back.
    ///
    /// # Errors
    /// How long to wait until one may be taken.
    pub fn take(&mut self, now_ms: u64, per_second: u32, burst: u32) -> Result<(), Duration> {
        if per_second == 0 {
            return Ok(());
        }
        let now_us = now_ms * 1000;
        let step_us = (1_000_000 / u64::from(per_second)).max(1);
        let tolerance_us = step_us * u64::from(burst.max(1) - 1);
        let at_us = self.theoretical_us.max(now_us);
        let ahead_us = at_us - now_us;
        if ahead_us > tolerance_us {
            return Err(Duration::from_micros(ahead_us - tolerance_us));
        }
        self.theoretical_us = at_us + step_us;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_passes_then_the_rate_holds() {
        let mut rate = Rate::default();
        for _ in 0..5 {
            assert_eq!(rate.take(1000, 10, 5), Ok(()));
        }
        assert_eq!(rate.take(1000, 10, 5), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(1099, 10, 5), Err(Duration::from_millis(1)));
        assert_eq!(rate.take(1100, 10, 5), Ok(()));
        assert!(rate.take(1100, 10, 5).is_err());
        for second in 2..50u64 {
            let passed = (0..1000)
                .filter(|ms| rate.take(second * 1000 + ms, 10, 5).is_ok())
                .count();
            assert!(
                (10..=14).contains(&passed),
                "{passed} passed in second {second}"
            );
        }
    }

    #[test]
    fn zero_means_no_limit() {
        let mut rate = Rate::default();
        assert!((0..10_000).all(|_| rate.take(0, 0, 0).is_ok()));
    }
}

//! A rate limit in eight bytes (GCRA): how often something may happen in the long run, and how much of it at once.

use std::time::Duration;

/// How often something may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// So often a minute in the long run; 0 for no limit.
    pub per_minute: u32,
    /// So often at once; at least once.
    pub burst: u32,
}

impl RateLimit {
    /// A limit by the second.
    pub fn per_second(per_second: u32, burst: u32) -> Self {
        Self {
            per_minute: per_second.saturating_mul(60),
            burst,
        }
    }

    /// What each time costs of the time that passes, in microseconds; nothing where there is no limit.
    pub fn step_us(self) -> Option<u64> {
        60_000_000_u64
            .checked_div(u64::from(self.per_minute))
            .map(|step| step.max(1))
    }

    /// How far ahead of the time one may be, in microseconds, and still take one.
    pub fn tolerance_us(self) -> u64 {
        self.step_us().unwrap_or(0) * u64::from(self.burst.max(1) - 1)
    }
}

/// One limited thing's state: the time at which it would have used up nothing, in microseconds of the caller's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rate {
    theoretical_us: u64,
}

impl Rate {
    /// Takes one, if the limit allows it. `now_ms` never goes back.
    ///
    /// # Errors
    /// How long to wait until one may be taken.
    pub fn take(&mut self, now_ms: u64, limit: RateLimit) -> Result<(), Duration> {
        let Some(step_us) = limit.step_us() else {
            return Ok(());
        };
        let (now_us, tolerance_us) = (now_ms * 1000, limit.tolerance_us());
        let at_us = self.theoretical_us.max(now_us);
        let ahead_us = at_us - now_us;
        if ahead_us > tolerance_us {
            return Err(Duration::from_micros(ahead_us - tolerance_us));
        }
        self.theoretical_us = at_us + step_us;
        Ok(())
    }

    /// Whether it is as good as new: nothing of what was taken counts any more.
    pub fn is_over(self, now_ms: u64) -> bool {
        self.theoretical_us <= now_ms * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn burst_passes_then_the_rate_holds() {
        let (mut rate, limit) = (Rate::default(), RateLimit::per_second(10, 5));
        for _ in 0..5 {
            assert_eq!(rate.take(1000, limit), Ok(()));
        }
        assert_eq!(rate.take(1000, limit), Err(Duration::from_millis(100)));
        assert_eq!(rate.take(1099, limit), Err(Duration::from_millis(1)));
        assert_eq!(rate.take(1100, limit), Ok(()));
        assert!(rate.take(1100, limit).is_err());
        for second in 2..50u64 {
            let passed = (0..1000)
                .filter(|ms| rate.take(second * 1000 + ms, limit).is_ok())
                .count();
            assert!(
                (10..=14).contains(&passed),
                "{passed} passed in second {second}"
            );
        }
    }

    #[test]
    fn it_is_over_when_all_of_the_burst_may_be_taken_again() {
        let (per_minute, burst) = (60, 3);
        let (mut rate, limit) = (Rate::default(), RateLimit { per_minute, burst });
        assert!(rate.is_over(0));
        for _ in 0..burst {
            assert_eq!(rate.take(1000, limit), Ok(()));
        }
        assert!(!rate.is_over(3999));
        assert!(rate.is_over(4000));
        let again = (0..10).take_while(|_| rate.take(4000, limit).is_ok());
        assert_eq!(again.count(), 3);
    }

    #[test]
    fn zero_means_no_limit() {
        let mut rate = Rate::default();
        assert!((0..10_000).all(|_| rate.take(0, RateLimit::per_second(0, 0)).is_ok()));
    }
}

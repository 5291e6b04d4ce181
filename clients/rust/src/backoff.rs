//! How long to wait before coming back.

use std::time::Duration;

/// A random wait by full jitter, since thousands of others lost their connection in the same moment: between 0 and
/// `min(cap, base * 2^attempt)`. `chance` is between 0 and 1.
pub(crate) fn backoff(attempt: u32, chance: f64, base: Duration, cap: Duration) -> Duration {
    let bound = base.saturating_mul(1 << attempt.min(30)).min(cap);
    bound.mul_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_is_random_up_to_a_bound_that_doubles() {
        let (base, cap) = (Duration::from_millis(500), Duration::from_secs(30));
        for (attempt, millis) in [(0, 500), (1, 1000), (5, 16_000), (6, 30_000), (90, 30_000)] {
            let wanted = Duration::from_millis(millis);
            assert_eq!(
                backoff(attempt, 1.0, base, cap),
                wanted,
                "attempt {attempt}"
            );
        }
        assert_eq!(backoff(3, 0.25, base, cap), Duration::from_secs(1));
        assert_eq!(backoff(9, 0.0, base, cap), Duration::ZERO);
    }
}

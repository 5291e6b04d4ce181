package switchboard

import "time"

// backoff is how long to wait before coming back, by full jitter: random, since thousands of others lost their connection in the same
// moment; between 0 and min(cap, base * 2^attempt). chance is between 0 and 1.
func backoff(attempt int, chance float64, timing Timing) time.Duration {
	bound := float64(timing.BackoffBase) * float64(uint64(1)<<min(attempt, 30))
	return time.Duration(chance * min(float64(timing.BackoffCap), bound))
}

// Full-jitter backoff: a uniform draw between nothing and a bound that doubles, so that a herd comes back spread out.

const BASE = 500; // ms
const CAP = 20_000; // ms

/** Milliseconds to wait before try number `attempt` (from 1). */
export function backoff(attempt) {
  return Math.random() * Math.min(CAP, BASE * 2 ** attempt);
}

/** Waits `ms`, or less when the signal aborts. */
export function pause(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

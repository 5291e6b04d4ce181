// How long to wait before coming back: a random time, since thousands of others lost their connection in the same moment.

/** Bounds of the wait, in milliseconds. */
export interface BackoffOptions {
  /** The first wait is between 0 and this. Default 500. */
  baseMs?: number;
  /** No wait by backoff is longer. Default 30,000. */
  capMs?: number;
}

/** Full jitter: between 0 and `min(cap, base × 2^attempt)`. `random` is between 0 and 1. */
export function backoff(attempt: number, random: number, { baseMs = 500, capMs = 30_000 }: BackoffOptions = {}): number {
  return random * Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30));
}

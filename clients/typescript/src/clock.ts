// Time and chance as arguments, so that tests can have their own.

/** A timer that was set. */
export interface Timer {
  cancel(): void;
}

/** Where the client takes time and chance from. */
export interface Clock {
  /** Milliseconds, never backwards. */
  now(): number;
  after(ms: number, what: () => void): Timer;
  /** Between 0 and 1. */
  random(): number;
}

/** The machine's own. */
export const realClock: Clock = {
  now: () => performance.now(),
  after(ms, what) {
    // A longer one would fire at once: it is a signed 32-bit number of milliseconds.
    const timer = setTimeout(what, Math.min(ms, 0x7fff_ffff));
    return { cancel: () => clearTimeout(timer) };
  },
  random: Math.random,
};

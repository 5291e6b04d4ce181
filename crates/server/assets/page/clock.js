// The server's clock against ours, from pings: the quickest recent one is the most truthful.

/** Pings remembered. */
const SAMPLES = 8;
const INTERVAL = 10_000; // ms
/** The first ping competes with all the rest of a connect, so ask again soon after it, ms. */
const EARLY = [700, 1_500];

/** This machine's wall clock, ms since 1970 with a fraction. */
export const now = () => performance.timeOrigin + performance.now();

export class Clock {
  /** Server less local, ms, or null while unknown. */
  drift = null;
  /** How far the drift may be off: half the round trip it was taken from, ms. */
  uncertainty = null;
  /** Of the last ping, ms. */
  roundTrip = null;
  #ask;
  #changed;
  #samples = [];
  #timers = [];

  /** `ask()` resolves to the server's time. */
  constructor(ask, changed) {
    this.#ask = ask;
    this.#changed = changed;
  }

  start() {
    this.stop();
    this.#samples = [];
    this.#timers = [setInterval(() => this.#ping(), INTERVAL), ...EARLY.map((delay) => setTimeout(() => this.#ping(), delay))];
    this.#ping();
  }

  stop() {
    // One list for intervals and time-outs: clearTimeout clears either.
    for (const timer of this.#timers.splice(0)) clearTimeout(timer);
    this.drift = this.uncertainty = this.roundTrip = null;
    this.#changed();
  }

  async #ping() {
    const sent = now();
    try {
      const time = await this.#ask();
      const arrived = now();
      this.roundTrip = arrived - sent;
      this.#samples = [...this.#samples.slice(1 - SAMPLES), { roundTrip: this.roundTrip, drift: time - (sent + arrived) / 2 }];
      const best = this.#samples.reduce((least, sample) => (sample.roundTrip < least.roundTrip ? sample : least));
      this.drift = best.drift;
      this.uncertainty = best.roundTrip / 2;
      this.#changed();
    } catch {
      // The connection says so itself; the next ping is due soon.
    }
  }
}

// A clock that stands still until it is moved.

import type { Clock } from '../../src/clock.js';

export class FakeClock implements Clock {
  #now = 0;
  #timers = new Set<{ at: number; what: () => void }>();

  now = (): number => this.#now;
  random = (): number => 0.5;

  after(ms: number, what: () => void): { cancel(): void } {
    const timer = { at: this.#now + ms, what };
    this.#timers.add(timer);
    return { cancel: () => this.#timers.delete(timer) };
  }

  /** Moves on, and lets what is due happen, in its order. */
  pass(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      const [next] = [...this.#timers].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers.delete(next);
      this.#now = next.at;
      next.what();
    }
    this.#now = end;
  }

  get waiting(): number {
    return this.#timers.size;
  }
}

// Which transport to try next: down a rung when one is barred, up again later.

/** A transport by its name. */
export type TransportName = 'websocket' | 'sse' | 'poll';

/** When rungs are left, in milliseconds. */
export interface LadderOptions {
  /** Early deaths in a row before the next rung is taken. Default 2. */
  earlyDeathsMax?: number;
  /** A link that lived less was an early death; one that lived more has proven its transport. Default 5,000. */
  provenMs?: number;
  /** On a lower rung, how long until a better one is tried; doubles with each failure. Default 30,000. */
  stepUpMs?: number;
  /** The longest such wait. Default 600,000. */
  stepUpMaxMs?: number;
}

/** The transports in order of preference, and where on them the client stands. */
export class Ladder {
  #rung = 0;
  #earlyDeaths = 0;
  #stepUps = 0;
  #hasSteppedUp = false;
  readonly #options: Required<LadderOptions>;

  constructor(
    private readonly rungs: readonly TransportName[],
    options: LadderOptions = {},
  ) {
    if (rungs.length === 0) throw new RangeError('`transports` names none');
    this.#options = { earlyDeathsMax: 2, provenMs: 5000, stepUpMs: 30_000, stepUpMaxMs: 600_000, ...options };
  }

  /** The transport to use now. */
  get transport(): TransportName {
    return this.rungs[this.#rung] ?? 'poll';
  }

  /** The transport of the rung above; nothing at the top. */
  get better(): TransportName | undefined {
    return this.rungs[this.#rung - 1];
  }

  /** How long to stay before the rung above is tried. */
  get stepUpAfter(): number {
    return Math.min(this.#options.stepUpMaxMs, this.#options.stepUpMs * 2 ** Math.min(this.#stepUps, 20));
  }

  /**
   * An attempt never gave a session, and the transport is to blame. Says whether a lower rung is taken: below the last comes the first
   * again, and that is none.
   */
  barred(): boolean {
    this.#earlyDeaths = 0;
    return this.#down();
  }

  /** A session's link broke, with no word of the hub, after so long. Says whether a lower rung is taken. */
  died(livedMs: number): boolean {
    if (livedMs >= this.#options.provenMs) {
      this.#earlyDeaths = 0;
      return false;
    }
    this.#earlyDeaths += 1;
    if (this.#earlyDeaths < this.#options.earlyDeathsMax) return false;
    this.#earlyDeaths = 0;
    return this.#down();
  }

  /** The rung above gave a session: stand there. */
  steppedUp(): void {
    this.#rung = Math.max(0, this.#rung - 1);
    this.#hasSteppedUp = true;
    this.#earlyDeaths = 0;
  }

  /** The rung above was tried and gave none. */
  stepUpFailed(): void {
    this.#stepUps += 1;
  }

  /** The present link has proven its transport. */
  proven(): void {
    this.#earlyDeaths = 0;
    this.#hasSteppedUp = false;
    if (this.#rung === 0) this.#stepUps = 0;
  }

  #down(): boolean {
    // A better transport that was stepped up to and did not last is tried again more rarely.
    if (this.#hasSteppedUp) this.#stepUps += 1;
    this.#hasSteppedUp = false;
    const from = this.#rung;
    this.#rung = (from + 1) % this.rungs.length;
    return this.#rung > from;
  }
}

// The connection's machine: when to open which transport, when to wait, when to give up. It takes what happened and the time, and
// says what to do; sockets, timers and tokens are the client's affair.

import type { Open } from '../protocol.js';
import { type BackoffOptions, backoff } from './backoff.js';
import { Ladder, type LadderOptions, type TransportName } from './ladder.js';
import { judge, type Loss } from './verdict.js';

/** Where the client stands. */
export type ConnectionState = 'disconnected' | 'connecting' | 'connected';

/** Times of the connection, in milliseconds. */
export interface Timing extends BackoffOptions, LadderOptions {
  /** How long an attempt may take to its `open` frame. Default 8,000. */
  openMs?: number;
  /** How long a connection may say nothing. Default: twice the hub's interval, or twice `heartbeatMs` where that is shorter. */
  silenceMs?: number;
  /** How long a connection in doubt (the network changed, the page woke up) has to show that it lives. Default 5,000. */
  doubtMs?: number;
}

/** What happened. */
export type Input =
  | { on: 'connect' }
  | { on: 'disconnect'; code?: string; message?: string }
  | { on: 'token' }
  | { on: 'tokenFailed'; stop: boolean; message: string }
  | { on: 'opened'; open: Open; silenceMs: number }
  | { on: 'heard' }
  | { on: 'lost'; loss: Loss }
  | { on: 'draining'; after: number }
  | { on: 'candidateOpened'; open: Open; silenceMs: number }
  | { on: 'candidateLost' }
  /** The network or the page came back. */
  | { on: 'wake' }
  /** The connection may be dead without having said so. */
  | { on: 'doubt' }
  /** The page is about to be frozen: hold nothing. */
  | { on: 'sleep' }
  | { on: 'timer' };

/** What is to be done. */
export type Effect =
  | { do: 'token'; fresh: boolean }
  | { do: 'open'; transport: TransportName; candidate: boolean }
  | { do: 'drop'; candidate: boolean }
  /** The candidate is the connection now. */
  | { do: 'switch'; transport: TransportName }
  | { do: 'ping' }
  | { do: 'state'; state: ConnectionState; code?: string; message?: string };

type Phase = 'idle' | 'token' | 'opening' | 'waiting' | 'asleep' | 'open';

/** A new token that is refused is asked for so often in a row; then the client stops. */
const TOKEN_REFUSALS_MAX = 5;

/** The machine. */
export class ConnectionMachine {
  #phase: Phase = 'idle';
  #ladder: Ladder;
  #attempt = 0;
  #tokenRefusals = 0;
  #openedAt = 0;
  #silenceMs = 0;
  #candidate: { transport: TransportName; up: boolean } | undefined;
  /** What to do when: each at most once. */
  readonly #due = new Map<'phase' | 'silence' | 'proven' | 'stepUp' | 'drain' | 'candidate', number>();
  readonly #openMs: number;
  readonly #doubtMs: number;
  readonly #provenMs: number;

  constructor(
    transports: readonly TransportName[],
    private readonly timing: Timing,
    /** Between 0 and 1. */
    private readonly random: () => number,
  ) {
    this.#ladder = new Ladder(transports, timing);
    this.#openMs = timing.openMs ?? 8000;
    this.#doubtMs = timing.doubtMs ?? 5000;
    this.#provenMs = timing.provenMs ?? 5000;
  }

  get state(): ConnectionState {
    if (this.#phase === 'idle') return 'disconnected';
    return this.#phase === 'open' ? 'connected' : 'connecting';
  }

  /** The transport that is in use, or being tried. */
  get transport(): TransportName {
    return this.#ladder.transport;
  }

  /** When `timer` is due; nothing when never. */
  get deadline(): number | undefined {
    return this.#due.size > 0 ? Math.min(...this.#due.values()) : undefined;
  }

  /** Takes in what happened. */
  handle(input: Input, now: number): Effect[] {
    switch (input.on) {
      case 'connect':
        return this.#phase === 'idle' ? [...this.#begin(false), { do: 'state', state: 'connecting' }] : [];
      case 'disconnect':
        return this.#phase === 'idle' ? [] : this.#stop(input.code, input.message);
      case 'token':
        return this.#phase === 'token' ? this.#open(now) : [];
      case 'tokenFailed':
        if (this.#phase !== 'token') return [];
        return input.stop ? this.#stop('token_failed', input.message) : this.#wait(now, 0);
      case 'opened':
        return this.#opened(input.silenceMs, now);
      case 'heard':
        if (this.#phase === 'open') this.#due.set('silence', now + this.#silenceMs);
        return [];
      case 'lost':
        return this.#lost(input.loss, now);
      case 'draining':
        if (this.#phase === 'open') this.#due.set('drain', now + input.after);
        return [];
      case 'candidateOpened':
        return this.#switched(input.silenceMs, now);
      case 'candidateLost':
        return this.#candidateLost(now);
      case 'wake':
        if (this.#phase === 'asleep' || this.#phase === 'waiting') return this.#begin(false);
        return this.#doubt(now);
      case 'doubt':
        return this.#doubt(now);
      case 'sleep':
        return this.#sleep();
      case 'timer':
        return this.#timer(now);
    }
  }

  #begin(fresh: boolean): Effect[] {
    this.#due.clear();
    this.#phase = 'token';
    return [{ do: 'token', fresh }];
  }

  #open(now: number): Effect[] {
    this.#phase = 'opening';
    this.#due.set('phase', now + this.#openMs);
    return [{ do: 'open', transport: this.#ladder.transport, candidate: false }];
  }

  #opened(silenceMs: number, now: number): Effect[] {
    if (this.#phase !== 'opening' && this.#phase !== 'open') return [];
    const isNews = this.#phase === 'opening';
    // A poll that reaches another node has its session opened anew there: who was about to move has moved.
    const moved = this.#dropCandidate();
    this.#settle(silenceMs, now);
    return isNews ? [{ do: 'state', state: 'connected' }] : moved;
  }

  #settle(silenceMs: number, now: number): void {
    this.#phase = 'open';
    this.#openedAt = now;
    this.#silenceMs = this.timing.silenceMs ?? silenceMs;
    this.#due.clear();
    this.#due.set('silence', now + this.#silenceMs);
    this.#due.set('proven', now + this.#provenMs);
    if (this.#ladder.better) this.#due.set('stepUp', now + this.#ladder.stepUpAfter);
  }

  #lost(loss: Loss, now: number): Effect[] {
    if (this.#phase !== 'opening' && this.#phase !== 'open') return [];
    const wasOpen = this.#phase === 'open';
    this.#phase = 'waiting';
    const verdict = judge(loss);
    const before: Effect[] = [...this.#dropCandidate()];
    if (wasOpen) before.push({ do: 'state', state: 'connecting', code: verdict.code, message: verdict.message });
    if (verdict.next === 'stop') return [...before, ...this.#stop(verdict.code, verdict.message)];
    if (verdict.next === 'token') {
      this.#tokenRefusals += 1;
      if (this.#tokenRefusals > TOKEN_REFUSALS_MAX) return [...before, ...this.#stop(verdict.code, verdict.message)];
      if (this.#tokenRefusals === 1) return [...before, ...this.#begin(true)];
      return [...before, ...this.#wait(now, verdict.after)];
    }
    let stepped = false;
    if (!wasOpen && verdict.transport) stepped = this.#ladder.barred();
    // A reset soon after the opening, again and again, is some proxy's doing; the hub would have said why it closes.
    else if (wasOpen && (loss.why === 'broken' || loss.why === 'silent')) stepped = this.#ladder.died(now - this.#openedAt);
    if (stepped) return [...before, ...this.#begin(false)];
    return [...before, ...this.#wait(now, verdict.after)];
  }

  #wait(now: number, after: number): Effect[] {
    this.#due.clear();
    this.#phase = 'waiting';
    const wait = after > 0 ? after : backoff(this.#attempt, this.random(), this.timing);
    this.#attempt += 1;
    this.#due.set('phase', now + wait);
    return [];
  }

  #stop(code?: string, message?: string): Effect[] {
    const effects: Effect[] = [...this.#dropCandidate(), ...this.#dropLink()];
    this.#phase = 'idle';
    this.#attempt = 0;
    this.#tokenRefusals = 0;
    this.#due.clear();
    return [...effects, { do: 'state', state: 'disconnected', ...(code ? { code, message: message ?? code } : {}) }];
  }

  #sleep(): Effect[] {
    if (this.#phase === 'idle' || this.#phase === 'asleep') return [];
    const wasOpen = this.#phase === 'open';
    const effects: Effect[] = [...this.#dropCandidate(), ...this.#dropLink()];
    this.#phase = 'asleep';
    this.#due.clear();
    return wasOpen ? [...effects, { do: 'state', state: 'connecting', code: 'asleep', message: 'the page sleeps' }] : effects;
  }

  #doubt(now: number): Effect[] {
    if (this.#phase !== 'open') return [];
    this.#due.set('silence', Math.min(this.#due.get('silence') ?? Number.POSITIVE_INFINITY, now + this.#doubtMs));
    return [{ do: 'ping' }];
  }

  #timer(now: number): Effect[] {
    const effects: Effect[] = [];
    for (const [what, at] of [...this.#due]) {
      if (at > now || !this.#due.has(what)) continue;
      this.#due.delete(what);
      switch (what) {
        case 'phase':
          if (this.#phase === 'waiting') effects.push(...this.#begin(this.#tokenRefusals > 0));
          else if (this.#phase === 'opening') effects.push(...this.#silent('the session did not open in time', now));
          break;
        case 'silence':
          effects.push(...this.#silent('nothing was heard for too long', now));
          break;
        case 'proven':
          this.#attempt = 0;
          this.#tokenRefusals = 0;
          this.#ladder.proven();
          break;
        case 'stepUp':
          if (this.#ladder.better) effects.push(...this.#tryCandidate(this.#ladder.better, true, now));
          break;
        case 'drain':
          effects.push(...this.#tryCandidate(this.#ladder.transport, false, now));
          break;
        case 'candidate':
          if (this.#candidate) effects.push({ do: 'drop', candidate: true }, ...this.#candidateMissed(now));
          break;
      }
    }
    return effects;
  }

  #silent(message: string, now: number): Effect[] {
    return [{ do: 'drop', candidate: false }, ...this.#lost({ why: 'silent', message }, now)];
  }

  #tryCandidate(transport: TransportName, up: boolean, now: number): Effect[] {
    if (this.#candidate) return [];
    this.#candidate = { transport, up };
    this.#due.set('candidate', now + this.#openMs);
    return [{ do: 'open', transport, candidate: true }];
  }

  #switched(silenceMs: number, now: number): Effect[] {
    const candidate = this.#candidate;
    if (!candidate || this.#phase !== 'open') return [];
    this.#candidate = undefined;
    if (candidate.up) this.#ladder.steppedUp();
    this.#settle(silenceMs, now);
    return [{ do: 'switch', transport: candidate.transport }];
  }

  #candidateLost(now: number): Effect[] {
    return this.#candidate ? this.#candidateMissed(now) : [];
  }

  #candidateMissed(now: number): Effect[] {
    const wasUp = this.#candidate?.up;
    this.#candidate = undefined;
    this.#due.delete('candidate');
    // For a drain the old connection serves until the hub closes it; for a better transport there is a later time.
    if (!wasUp || !this.#ladder.better) return [];
    this.#ladder.stepUpFailed();
    this.#due.set('stepUp', now + this.#ladder.stepUpAfter);
    return [];
  }

  #dropCandidate(): Effect[] {
    this.#due.delete('candidate');
    if (!this.#candidate) return [];
    this.#candidate = undefined;
    return [{ do: 'drop', candidate: true }];
  }

  #dropLink(): Effect[] {
    return this.#phase === 'opening' || this.#phase === 'open' ? [{ do: 'drop', candidate: false }] : [];
  }
}

// What a loss means: whether to come back, when, with which token, and whether the transport is to blame.

import type { Close } from '../protocol.js';

/** How a link ended, as its transport tells it. */
export type Loss =
  /** The hub said why: a `close` frame, or a WebSocket close code of its own. */
  | { why: 'closed'; close: Close; framed: boolean }
  /** An HTTP status came in place of a session; `code` is the problem's, empty when somebody else than the hub answered. */
  | { why: 'refused'; status: number; code: string; message: string; retryAfter: number }
  /** The network broke it, or nothing could be reached. */
  | { why: 'broken'; message: string }
  /** The hub can be reached and finds nothing wrong, only this way of transport is barred. */
  | { why: 'barred'; message: string }
  /** It was to say something and did not. */
  | { why: 'silent'; message: string };

/** What to do after a loss. */
export interface Verdict {
  /** `again`: with backoff; `token`: with a new token; `stop`: not by itself. */
  next: 'again' | 'token' | 'stop';
  /** Wait so many milliseconds instead of by backoff; 0: no advice. */
  after: number;
  /** The transport, not the hub or the network, is to blame. */
  transport: boolean;
  code: string;
  message: string;
}

const STAYS_AWAY = new Set([1000, 1002, 1003, 1007, 1008, 1009, 1010]);

/** Judges a close code by itself: what its range says. */
export function judgeCode(code: number): Verdict['next'] {
  if (code >= 4100 && code < 4200) return 'token';
  if ((code >= 4200 && code < 4300) || STAYS_AWAY.has(code)) return 'stop';
  return 'again';
}

/** Judges a loss. */
export function judge(loss: Loss): Verdict {
  switch (loss.why) {
    case 'closed': {
      const { code, reason, reconnect, reconnect_after } = loss.close;
      let next = judgeCode(code);
      // Where a `close` frame came, its `reconnect` decides; the range still tells whether a new token is needed.
      if (loss.framed && next !== 'token') next = reconnect ? 'again' : 'stop';
      if (loss.framed && next === 'token' && reconnect === false && code !== 4100 && code !== 4101) next = 'stop';
      return { next, after: reconnect_after ?? 0, transport: false, code: `closed_${code}`, message: reason || `closed with ${code}` };
    }
    case 'refused':
      return judgeRefusal(loss);
    case 'broken':
      return { next: 'again', after: 0, transport: false, code: 'unavailable', message: loss.message };
    case 'barred':
    case 'silent':
      return { next: 'again', after: 0, transport: true, code: 'unavailable', message: loss.message };
  }
}

function judgeRefusal({ status, code, message, retryAfter }: Extract<Loss, { why: 'refused' }>): Verdict {
  const verdict = (next: Verdict['next'], transport = false): Verdict => ({
    next,
    after: retryAfter,
    transport,
    code: code || 'unavailable',
    message: message || `refused with status ${status}`,
  });
  if (code === 'token_expired' || code === 'unauthenticated') return verdict('token');
  // 429 and 503 ask to wait, whoever says so; 410 means that the session is gone, and another may be opened.
  if (status === 429 || status === 503 || status === 410) return verdict('again');
  // Not the hub's own words: some proxy bars this way.
  if (code === '') return verdict(status === 401 ? 'token' : 'again', status !== 401);
  return verdict(status >= 500 || status === 408 ? 'again' : 'stop');
}

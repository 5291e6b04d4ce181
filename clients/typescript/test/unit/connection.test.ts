// The connection's machine, by lists of what happens and what is to be done.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { ConnectionMachine, type Effect, type Input, type Timing } from '../../src/machine/connection.js';
import type { TransportName } from '../../src/machine/ladder.js';
import type { Loss } from '../../src/machine/verdict.js';

const OPEN = { session: 's', time: 0 };
const opened: Input = { on: 'opened', open: OPEN, silenceMs: 40_000 };
const broken: Input = { on: 'lost', loss: { why: 'broken', message: 'reset' } };
const barred: Input = { on: 'lost', loss: { why: 'barred', message: 'no upgrades' } };
const closed = (code: number, more: object = {}): Input => ({
  on: 'lost',
  loss: { why: 'closed', framed: true, close: { code, reconnect: code < 4200 && code !== 1000, ...more } },
});
const refused = (status: number, code: string, retryAfter = 0): Loss => ({ why: 'refused', status, code, message: '', retryAfter });
const timer: Input = { on: 'timer' };

/** An effect as one word. */
function word(effect: Effect): string {
  switch (effect.do) {
    case 'token':
      return effect.fresh ? 'fresh token' : 'token';
    case 'open':
      return `${effect.candidate ? 'try' : 'open'} ${effect.transport}`;
    case 'drop':
      return effect.candidate ? 'drop candidate' : 'drop';
    case 'switch':
      return `switch to ${effect.transport}`;
    case 'ping':
      return 'ping';
    case 'state':
      return effect.state + (effect.code && effect.state === 'disconnected' ? ` by ${effect.code}` : '');
  }
}

/** Each line: when, what happens, what is done; `next` the machine's deadline after it. */
function check(
  lines: [at: number, input: Input, effects: string, next?: number][],
  transports: TransportName[] = ['websocket', 'sse', 'poll'],
  timing: Timing = {},
): void {
  const machine = new ConnectionMachine(transports, timing, () => 0.5);
  for (const [index, [at, input, effects, next]] of lines.entries()) {
    assert.equal(machine.handle(input, at).map(word).join(', '), effects, `line ${index}: ${JSON.stringify(input)}`);
    if (next !== undefined) assert.equal(machine.deadline, next, `the deadline after line ${index}`);
  }
}

const start: [number, Input, string][] = [
  [0, { on: 'connect' }, 'token, connecting'],
  [0, { on: 'token' }, 'open websocket'],
  [100, opened, 'connected'],
];

test('a connection opens, is lost, and comes back after a random wait', () => {
  check([
    ...start,
    [9000, timer, ''],
    [9000, broken, 'connecting', 9250],
    [9250, timer, 'token'],
    [9250, { on: 'token' }, 'open websocket'],
    [9300, broken, '', 9800],
    [9800, timer, 'token'],
  ]);
});

test('the wait grows with each attempt and is capped; a proven connection resets it', () => {
  const lines: [number, Input, string, number?][] = [[0, { on: 'connect' }, 'token, connecting']];
  for (const wait of [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]) {
    lines.push([0, { on: 'token' }, 'open websocket'], [0, broken, '', wait], [wait, timer, 'token']);
  }
  lines.push([0, { on: 'token' }, 'open websocket'], [0, opened, 'connected', 5000], [5000, timer, ''], [6000, broken, 'connecting', 6250]);
  check(lines);
});

test('a transport that is barred is stepped down from at once, to the last, and then from the top after a wait', () => {
  check([
    [0, { on: 'connect' }, 'token, connecting'],
    [0, { on: 'token' }, 'open websocket', 8000],
    [10, barred, 'token'],
    [10, { on: 'token' }, 'open sse'],
    [8010, timer, 'drop, token'],
    [8010, { on: 'token' }, 'open poll'],
    [8020, { on: 'lost', loss: refused(502, '') }, '', 8270],
    [8270, timer, 'token'],
    [8270, { on: 'token' }, 'open websocket'],
  ]);
});

test('a transport that opens and dies young twice is stepped down from; one that proved itself is not', () => {
  check([
    ...start,
    [200, broken, 'connecting', 450],
    [450, timer, 'token'],
    [450, { on: 'token' }, 'open websocket'],
    [500, opened, 'connected'],
    [600, broken, 'connecting, token'],
    [600, { on: 'token' }, 'open sse'],
    [700, opened, 'connected'],
    [5700, timer, ''],
    [6000, broken, 'connecting', 6250],
    [6250, timer, 'token'],
    [6250, { on: 'token' }, 'open sse'],
    [6300, opened, 'connected'],
    [6400, broken, 'connecting', 6900],
  ]);
});

test('what the hub says itself never blames the transport', () => {
  check([
    ...start,
    [200, closed(4000), 'connecting', 450],
    [450, timer, 'token'],
    [450, { on: 'token' }, 'open websocket'],
    [460, opened, 'connected'],
    [470, closed(1011), 'connecting', 970],
    [970, timer, 'token'],
    [970, { on: 'token' }, 'open websocket'],
  ]);
});

test('reconnect_after and Retry-After replace the backoff', () => {
  check([
    ...start,
    [200, closed(1001, { reconnect_after: 3000 }), 'connecting', 3200],
    [3200, timer, 'token'],
    [3200, { on: 'token' }, 'open websocket'],
    [3210, { on: 'lost', loss: refused(503, 'unavailable', 7000) }, '', 10_210],
  ]);
});

test('4100 and a refused token ask for a new one at once, then with backoff, then stop', () => {
  const again: [number, Input, string][] = [];
  for (let n = 0; n < 4; n += 1)
    again.push(
      [1000, { on: 'token' }, 'open websocket'],
      [1000, { on: 'lost', loss: refused(401, 'unauthenticated') }, ''],
      [99_000, timer, 'fresh token'],
    );
  check([
    ...start,
    [200, closed(4100), 'connecting, fresh token'],
    ...again,
    [1000, { on: 'token' }, 'open websocket'],
    [1000, { on: 'lost', loss: refused(401, 'unauthenticated') }, 'disconnected by unauthenticated'],
  ]);
});

test('what means to stay away stops the client with the reason', () => {
  check([...start, [200, closed(4200), 'connecting, disconnected by closed_4200'], [200, { on: 'connect' }, 'token, connecting']]);
  check([...start.slice(0, 2), [5, { on: 'lost', loss: refused(403, 'permission_denied') }, 'disconnected by permission_denied']]);
  check([...start, [200, { on: 'disconnect' }, 'drop, disconnected']]);
  check([...start.slice(0, 1), [5, { on: 'tokenFailed', stop: true, message: 'no' }, 'disconnected by token_failed']]);
  check([...start.slice(0, 1), [5, { on: 'tokenFailed', stop: false, message: 'no' }, '', 255], [255, timer, 'token']]);
});

test('silence ends a connection, and whatever is heard puts it off', () => {
  check([...start, [5100, timer, ''], [30_000, { on: 'heard' }, '', 70_000], [70_000, timer, 'drop, connecting']], ['websocket']);
});

test('a doubt asks for a sign of life and waits for it a short time', () => {
  check([
    ...start,
    [5100, timer, ''],
    [6000, { on: 'doubt' }, 'ping', 11_000],
    [6100, { on: 'heard' }, '', 46_100],
    [6100, { on: 'wake' }, 'ping', 11_100],
    [11_100, timer, 'drop, connecting'],
  ]);
});

test('to wake up ends a wait and a sleep', () => {
  check([...start, [9000, broken, 'connecting'], [9001, { on: 'wake' }, 'token']]);
  check([
    ...start,
    [200, { on: 'sleep' }, 'drop, connecting'],
    [999_999, timer, ''],
    [1_000_000, { on: 'wake' }, 'token'],
    [1_000_000, { on: 'token' }, 'open websocket'],
  ]);
});

test('the better transport is tried beside the present one, and taken once it gives a session', () => {
  check([
    ...start.slice(0, 2),
    [10, barred, 'token'],
    [10, { on: 'token' }, 'open sse'],
    [20, opened, 'connected'],
    [5020, timer, '', 30_020],
    [30_020, timer, 'try websocket'],
    [30_100, { on: 'candidateLost' }, '', 40_020],
    [40_020, timer, 'drop, connecting', 40_270],
  ]);
  const heard: [number, Input, string][] = [[30_000, { on: 'heard' }, '']];
  check([
    ...start.slice(0, 2),
    [10, barred, 'token'],
    [10, { on: 'token' }, 'open sse'],
    [20, opened, 'connected'],
    [5020, timer, ''],
    ...heard,
    [30_020, timer, 'try websocket'],
    [30_100, { on: 'candidateOpened', open: OPEN, silenceMs: 40_000 }, 'switch to websocket', 35_100],
    [30_200, broken, 'connecting'],
  ]);
});

test('a drain opens the next connection before the present one ends', () => {
  check([
    ...start,
    [5100, timer, ''],
    [6000, { on: 'draining', after: 700 }, '', 6700],
    [6700, timer, 'try websocket'],
    [6800, { on: 'candidateOpened', open: OPEN, silenceMs: 40_000 }, 'switch to websocket'],
  ]);
  check([
    ...start,
    [6000, { on: 'draining', after: 700 }, ''],
    [6700, timer, 'try websocket'],
    [6750, closed(1001, { reconnect_after: 100 }), 'drop candidate, connecting', 6850],
  ]);
  // A poll may reach the next node by itself, before or after the next connection was begun: one session is enough.
  const reopened = { on: 'opened', open: OPEN, silenceMs: 40_000 } as const;
  check([
    ...start,
    [6000, { on: 'draining', after: 700 }, ''],
    [6700, timer, 'try websocket'],
    [6800, reopened, 'drop candidate'],
    [6850, { on: 'candidateOpened', open: OPEN, silenceMs: 40_000 }, ''],
  ]);
  check([...start, [6000, { on: 'draining', after: 700 }, ''], [6100, reopened, ''], [6700, timer, '']]);
});

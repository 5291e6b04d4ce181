import assert from 'node:assert/strict';
import { test } from 'node:test';

import { backoff } from '../../src/machine/backoff.js';
import { Ladder } from '../../src/machine/ladder.js';
import { judge, judgeCode } from '../../src/machine/verdict.js';
import { retryAfter } from '../../src/transport/http.js';

test('the range of a close code decides, also of one that is not known', () => {
  const judged = (codes: number[]) => codes.map(judgeCode).join(' ');
  assert.equal(judged([1000, 1002, 1003, 1007, 1008, 1009]), 'stop stop stop stop stop stop');
  assert.equal(judged([1001, 1011, 1012, 1013, 4000, 4001, 4077]), 'again again again again again again again');
  assert.equal(judged([4100, 4101, 4155]), 'token token token');
  assert.equal(judged([4200, 4201, 4202, 4299]), 'stop stop stop stop');
});

test('where a close frame came its reconnect decides', () => {
  const framed = (code: number, reconnect?: boolean) => judge({ why: 'closed', framed: true, close: { code, reconnect } }).next;
  assert.equal(framed(4200, true), 'again');
  assert.equal(framed(4000, false), 'stop');
  assert.equal(framed(4100, true), 'token');
  assert.equal(framed(4100), 'token');
  assert.equal(judge({ why: 'closed', framed: false, close: { code: 4000 } }).next, 'again');
});

test('the code of a refusal decides, then its status; words that are not the hub’s blame the transport', () => {
  const refused = (status: number, code: string) => {
    const { next, transport } = judge({ why: 'refused', status, code, message: '', retryAfter: 0 });
    return `${next}${transport ? ', transport' : ''}`;
  };
  assert.equal(refused(401, 'token_expired'), 'token');
  assert.equal(refused(401, 'unauthenticated'), 'token');
  assert.equal(refused(403, 'permission_denied'), 'stop');
  assert.equal(refused(404, 'unknown_namespace'), 'stop');
  assert.equal(refused(429, 'rate_limited'), 'again');
  assert.equal(refused(503, 'unavailable'), 'again');
  assert.equal(refused(503, ''), 'again');
  assert.equal(refused(410, 'not_found'), 'again');
  assert.equal(refused(500, 'internal'), 'again');
  assert.equal(refused(502, ''), 'again, transport');
  assert.equal(refused(404, ''), 'again, transport');
});

test('Retry-After is read as seconds and as a date', () => {
  const at = Date.parse('2026-01-01T00:00:00Z');
  const read = (value: string) => retryAfter(new Headers({ 'retry-after': value }), at);
  assert.equal(read('7'), 7000);
  assert.equal(read('Thu, 01 Jan 2026 00:00:09 GMT'), 9000);
  assert.equal(read('Wed, 31 Dec 2025 00:00:00 GMT'), 0);
  assert.equal(read('soon'), 0);
  assert.equal(retryAfter(new Headers()), 0);
});

test('the jitter is full: anything between nothing and the bound', () => {
  assert.equal(backoff(0, 0), 0);
  assert.equal(backoff(3, 0.999_999), 0.999_999 * 4000);
  assert.equal(backoff(40, 1), 30_000);
  assert.equal(backoff(2, 1, { baseMs: 10, capMs: 25 }), 25);
});

test('a step up that does not last is tried again more and more rarely', () => {
  const ladder = new Ladder(['websocket', 'sse'], { stepUpMs: 100, stepUpMaxMs: 300 });
  assert.equal(ladder.barred(), true);
  assert.equal(ladder.stepUpAfter, 100);
  for (const wait of [200, 300, 300]) {
    ladder.steppedUp();
    assert.equal(ladder.transport, 'websocket');
    ladder.died(10);
    assert.equal(ladder.died(10), true);
    assert.equal(ladder.transport, 'sse');
    assert.equal(ladder.stepUpAfter, wait);
  }
  ladder.steppedUp();
  ladder.proven();
  ladder.barred();
  assert.equal(ladder.stepUpAfter, 100);
});

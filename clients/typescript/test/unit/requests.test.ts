import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SwitchboardError } from '../../src/errors.js';
import type { Command } from '../../src/protocol.js';
import { PendingRequests } from '../../src/requests.js';
import { FakeClock } from './clock.js';

function requests() {
  const clock = new FakeClock();
  const sent: Command[] = [];
  const link = { isOpen: false };
  let id = 0;
  const pending = new PendingRequests(
    clock,
    () => ++id,
    (command) => {
      if (link.isOpen) sent.push(command);
      return link.isOpen;
    },
  );
  return { clock, sent, link, pending };
}

const code = (error: unknown) => (error instanceof SwitchboardError ? error.code : String(error));

test('what is asked before there is a session waits for it, in its order', async () => {
  const { sent, link, pending } = requests();
  const first = pending.ask('ping', {}, true);
  void pending.ask('publish', { channel: 'a', data: 1, id: 'x' }, true).catch(() => {});
  assert.equal(sent.length, 0);
  link.isOpen = true;
  pending.opened();
  assert.deepEqual(
    sent.map(({ id }) => id),
    [1, 2],
  );
  assert.equal(pending.answer({ id: 1, ping: { time: 7 } }), true);
  assert.deepEqual(await first, { time: 7 });
  assert.equal(pending.answer({ id: 1, ping: { time: 7 } }), false);
});

test('a lost connection repeats what is safe, and fails what is not', async () => {
  const { sent, link, pending } = requests();
  link.isOpen = true;
  const safe = pending.ask('publish', { channel: 'a', data: 1, id: 'x' }, true);
  const unsafe = pending.ask('call', { method: 'quote' }, false).catch(code);
  pending.lost();
  assert.equal(await unsafe, 'unavailable');
  pending.opened();
  assert.deepEqual(
    sent.map(({ publish }) => publish?.id),
    ['x', undefined, 'x'],
  );
  pending.answer({ id: 1, publish: {} });
  assert.deepEqual(await safe, {});
});

test('deadlines and signals end a wait, and leave nothing behind', async () => {
  const { clock, pending } = requests();
  const late = pending.ask('ping', {}, true, { timeoutMs: 500 }).catch(code);
  const controller = new AbortController();
  const aborted = pending.ask('ping', {}, true, { signal: controller.signal }).catch(code);
  controller.abort();
  assert.equal(await aborted, 'aborted');
  clock.pass(499);
  assert.equal(clock.waiting, 1);
  clock.pass(1);
  assert.equal(await late, 'timeout');
  assert.equal(clock.waiting, 0);
  assert.equal(await pending.ask('ping', {}, true, { signal: AbortSignal.abort() }).catch(code), 'aborted');
});

test('an error that may pass is tried again when the hub says, for what is safe', async () => {
  const { clock, sent, link, pending } = requests();
  link.isOpen = true;
  const error = { code: 'rate_limited', message: 'slow down', retryable: true, retry_after: 300 };
  const safe = pending.ask('publish', { channel: 'a', data: 1, id: 'x' }, true);
  const unsafe = pending.ask('call', { method: 'quote' }, false).catch(code);
  pending.answer({ id: 1, error });
  pending.answer({ id: 2, error });
  assert.equal(await unsafe, 'rate_limited');
  clock.pass(299);
  assert.equal(sent.length, 2);
  clock.pass(1);
  assert.equal(sent.length, 3);
  pending.answer({ id: 1, publish: {} });
  await safe;
});

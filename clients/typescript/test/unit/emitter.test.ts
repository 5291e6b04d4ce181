import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Emitter, iterate } from '../../src/emitter.js';
import { listen } from '../../src/lifecycle.js';

test('listeners hear until they are taken off', () => {
  const emitter = new Emitter<{ number: number }>();
  const heard: number[] = [];
  const off = emitter.on('number', (number) => heard.push(number));
  emitter.emit('number', 1);
  off();
  emitter.emit('number', 2);
  assert.deepEqual(heard, [1]);
});

test('an iterator gives what was pushed, and ends its source with the loop', async () => {
  const emitter = new Emitter<{ number: number }>();
  let ended = 0;
  const numbers = iterate<number>((push) => {
    const off = emitter.on('number', push);
    return () => {
      ended += 1;
      off();
    };
  });
  emitter.emit('number', 1);
  emitter.emit('number', 2);
  const seen: number[] = [];
  for await (const number of numbers) {
    seen.push(number);
    if (number === 2) break;
  }
  assert.deepEqual(seen, [1, 2]);
  assert.equal(ended, 1);
});

test('an iterator that nobody reads ends with an error instead of growing', async () => {
  const emitter = new Emitter<{ number: number }>();
  const numbers = iterate<number>((push) => emitter.on('number', push), { bufferMax: 2 });
  for (const number of [1, 2, 3, 4]) emitter.emit('number', number);
  assert.equal((await numbers.next()).value, 1);
  assert.equal((await numbers.next()).value, 2);
  await assert.rejects(numbers.next(), { code: 'overflow' });
});

test('a signal ends an iterator that waits', async () => {
  const controller = new AbortController();
  const waiting = iterate<number>(() => () => {}, { signal: controller.signal }).next();
  controller.abort();
  assert.equal((await waiting).done, true);
});

test('page and network are heard, and no more after the end', () => {
  const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
  const scope = Object.assign(new EventTarget(), { document: page }) as unknown as typeof globalThis;
  const heard: string[] = [];
  const end = listen({ wake: () => heard.push('wake'), doubt: () => heard.push('doubt'), sleep: () => heard.push('sleep') }, scope);
  const fire = () => {
    for (const name of ['online', 'offline', 'pagehide', 'pageshow']) scope.dispatchEvent(new Event(name));
    for (const name of ['freeze', 'resume', 'visibilitychange']) page.dispatchEvent(new Event(name));
    page.visibilityState = 'hidden';
    page.dispatchEvent(new Event('visibilitychange'));
  };
  fire();
  assert.deepEqual(heard, ['wake', 'doubt', 'sleep', 'wake', 'sleep', 'wake', 'wake']);
  end();
  fire();
  assert.equal(heard.length, 7);
});

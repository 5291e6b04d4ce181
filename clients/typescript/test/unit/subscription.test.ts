import assert from 'node:assert/strict';
import { test } from 'node:test';

import { SubscriptionMachine } from '../../src/machine/subscription.js';

const at = (offset: number, epoch = 'e') => ({ epoch, offset });

test('it begins where it is told, and goes on after what it saw last', () => {
  const machine = new SubscriptionMachine('chat:1', { rewind: 5, token: 't' });
  assert.deepEqual(machine.ask(), { channel: 'chat:1', rewind: 5, token: 't' });
  assert.equal(machine.begin({ position: at(2) }), true);
  assert.equal(machine.begin({ position: at(2) }), false, 'the reply and `subscribed` say the same');
  assert.deepEqual(machine.message({ offset: 3, data: 0 }), { deliver: true });
  machine.lost();
  assert.equal(machine.state, 'subscribing');
  assert.deepEqual(machine.ask(), { channel: 'chat:1', position: at(3), token: 't' });
  assert.deepEqual(new SubscriptionMachine('a', { position: at(9) }).ask(), { channel: 'a', position: at(9) });
});

test('nothing is delivered twice, nor before the session has the channel', () => {
  const machine = new SubscriptionMachine('chat:1');
  machine.ask();
  assert.equal(machine.message({ offset: 1, data: 0 }).deliver, false);
  machine.begin({ position: at(4) });
  assert.equal(machine.message({ offset: 4, data: 0 }).deliver, false);
  assert.equal(machine.message({ offset: 5, data: 0 }).deliver, true);
  assert.equal(machine.message({ offset: 5, data: 0 }).deliver, false);
  machine.lost();
  machine.ask();
  machine.begin({ position: at(3), recovered: true });
  assert.equal(machine.message({ offset: 5, data: 0 }).deliver, false, 'seen before the loss');
  assert.equal(machine.message({ offset: 6, data: 0 }).deliver, true);
});

test('what skips history moves nobody', () => {
  const machine = new SubscriptionMachine('chat:1');
  machine.ask();
  machine.begin({ position: at(4) });
  assert.equal(machine.message({ data: 0 }).deliver, true);
  assert.deepEqual(machine.position, at(4));
});

test('after a gap it goes on from the gap, also in another epoch', () => {
  const machine = new SubscriptionMachine('chat:1');
  machine.ask();
  machine.begin({ position: at(4) });
  assert.equal(machine.gap({ channel: 'chat:1', position: at(9), reason: 'slow_consumer' }), true);
  assert.deepEqual(machine.message({ offset: 10, data: 0 }), { deliver: true });
  machine.lost();
  machine.ask();
  machine.begin({ position: at(1, 'f') });
  assert.equal(machine.gap({ channel: 'chat:1', position: at(1, 'f'), reason: 'epoch_changed' }), true);
  assert.deepEqual(machine.message({ offset: 2, data: 0 }), { deliver: true });
  assert.deepEqual(machine.position, at(2, 'f'));
});

test('a hole that nobody announced is told', () => {
  const machine = new SubscriptionMachine('chat:1');
  machine.ask();
  machine.begin({ position: at(4) });
  assert.deepEqual(machine.message({ offset: 7, data: 0 }), {
    deliver: true,
    gap: { channel: 'chat:1', position: at(6), reason: 'interrupted' },
  });
});

test('a beginning by the server’s hand elsewhere has to be asked for anew', () => {
  const machine = new SubscriptionMachine('chat:1', { position: at(4) });
  machine.ask();
  assert.equal(machine.mustAskAnew({ position: at(4) }), false);
  assert.equal(machine.mustAskAnew({ position: at(6) }), true);
  assert.equal(machine.mustAskAnew({ position: at(4), recovered: true }), false);
  assert.equal(machine.mustAskAnew({ position: at(4, 'f') }), true);
  assert.equal(new SubscriptionMachine('a').mustAskAnew({ position: at(6) }), false);
});

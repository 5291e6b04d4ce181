// What components show of a channel, without components: a client, and a hub in memory.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Client } from '../../src/index.js';
import type { Member } from '../../src/protocol.js';
import { storeOf } from '../../src/react/stores.js';
import { until } from '../node/until.js';
import { FakeHub } from './hub.js';

const ROOM = 'room:1';

function made() {
  const hub = new FakeHub();
  const timing = { baseMs: 5, capMs: 5 };
  return { hub, client: new Client('http://hub.test', { token: 'x', WebSocket: hub.WebSocket, transports: ['websocket'], timing }) };
}

const member = (session: string): Member => ({ session, user: session });
const names = (members: readonly Member[]) => members.map(({ session }) => session).join(' ');
const count = (hub: FakeHub, what: string) => hub.heard.filter((heard) => heard === what).length;
const turn = () => new Promise((resolve) => setTimeout(resolve));

test('all who use a channel share it, and see the latest messages that the most eager keeps', async () => {
  const { hub, client } = made();
  const store = storeOf<{ n: number }>(client, 'chat:1', {});
  const ends = [store.use(2), storeOf(client, 'chat:1', {}).use(3), store.use(0)];
  await store.subscription.ready();
  hub.publish('chat:1', 5);
  await until('the last', () => store.channel.read().messages.at(-1)?.data.n === 5);
  assert.deepEqual(
    store.channel.read().messages.map(({ data }) => data.n),
    [3, 4, 5],
  );
  assert.equal(count(hub, 'subscribe chat:1'), 1);
  ends[0]?.();
  ends[1]?.();
  await turn();
  assert.equal(store.subscription.state, 'subscribed');
  ends[2]?.();
  await turn();
  assert.equal(store.subscription.state, 'unsubscribed');
  assert.notEqual(storeOf(client, 'chat:1', {}), store, 'whoever comes then begins anew');
  client.disconnect();
});

test('who leaves and comes in the same turn has not left', async () => {
  const { hub, client } = made();
  storeOf(client, 'chat:1', {}).use(1)();
  const store = storeOf(client, 'chat:1', {});
  const end = store.use(1);
  await store.subscription.ready();
  await turn();
  assert.deepEqual(hub.heard, ['subscribe chat:1']);
  end();
  client.disconnect();
});

test('where only members are shown no messages are kept', async () => {
  const { hub, client } = made();
  const store = storeOf(client, ROOM, {});
  store.use(0);
  let messages = 0;
  store.subscription.on('message', () => {
    messages += 1;
  });
  await store.subscription.ready();
  hub.publish(ROOM, 3);
  await until('the messages', () => messages === 3);
  assert.deepEqual(store.channel.read().messages, []);
  client.disconnect();
});

test('who comes and goes while the list is on its way is neither lost nor put back', async () => {
  const { hub, client } = made();
  hub.members.push(member('ann'), member('bob'));
  let go = () => {};
  hub.reading = new Promise((resolve) => {
    go = resolve;
  });
  const store = storeOf(client, ROOM, {});
  store.use(0);
  store.watch();
  await until('the question', () => count(hub, `presence ${ROOM}`) === 1);
  hub.say({ join: { channel: ROOM, member: member('eve') } });
  hub.say({ leave: { channel: ROOM, member: member('bob') } });
  await until('the join', () => names(store.presence.read().members) === 'eve');
  assert.equal(store.presence.read().isCurrent, false);
  go();
  await until('the list', () => store.presence.read().isCurrent);
  assert.equal(names(store.presence.read().members), 'eve ann');
  hub.say({ leave: { channel: ROOM, member: member('eve') } });
  await until('the leave', () => names(store.presence.read().members) === 'ann');
  client.disconnect();
});

test('after a loss, and after a gap, the list is read anew', async () => {
  const { hub, client } = made();
  hub.members.push(member('ann'));
  const store = storeOf(client, ROOM, {});
  store.use(0);
  store.watch();
  await until('the list', () => store.presence.read().isCurrent);
  const seen: boolean[] = [];
  store.presence.listen(() => seen.push(store.presence.read().isCurrent));
  hub.members[0] = member('bob');
  for (const socket of hub.sockets) socket.close(1001);
  await until('the second list', () => names(store.presence.read().members) === 'bob');
  assert.equal(seen[0], false, 'it is known to be old meanwhile');
  hub.members.push(member('eve'));
  hub.say({ gap: { channel: ROOM, position: { epoch: 'e1', offset: 0 }, reason: 'slow_consumer' } });
  await until('the third list', () => names(store.presence.read().members) === 'bob eve');
  hub.refuse.presence = { code: 'permission_denied', message: 'not yours' };
  hub.say({ gap: { channel: ROOM, position: { epoch: 'e1', offset: 0 }, reason: 'slow_consumer' } });
  await until('the error', () => store.presence.read().error?.code === 'permission_denied');
  client.disconnect();
});

test('a gap and a refusal are shown', async () => {
  const { hub, client } = made();
  const store = storeOf(client, 'chat:1', {});
  store.use(1);
  await store.subscription.ready();
  hub.say({ gap: { channel: 'chat:1', position: { epoch: 'e2', offset: 7 }, reason: 'epoch_changed' } });
  await until('the gap', () => store.channel.read().gap?.reason === 'epoch_changed');
  hub.say({ unsubscribed: { channel: 'chat:1', reason: 'enough' } });
  await until('the end', () => store.channel.read().state === 'unsubscribed');
  assert.equal(store.channel.read().error?.message, 'enough');
  client.disconnect();
});

// The worker's bookkeeping: pages at the ends of message channels, a hub in memory.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';

import type { SharedClientOptions } from '../../src/shared/client.js';
import { SharedClient } from '../../src/shared/client.js';
import { Host } from '../../src/shared/host.js';
import type { FromPage } from '../../src/shared/messages.js';
import type { Subscription } from '../../src/subscription.js';
import { until } from '../node/until.js';
import { FakeHub } from './hub.js';

const ends: (() => void)[] = [];
after(() => {
  for (const end of ends) end();
});

function worker({ token }: { token?: string } = { token: 'for good' }) {
  const hub = new FakeHub();
  const host = new Host('http://hub.test', { token, WebSocket: hub.WebSocket, transports: ['websocket'], timing: { baseMs: 5, capMs: 5 } });
  const said: FromPage[] = [];
  const page = (options: SharedClientOptions = {}): SharedClient => {
    const { port1, port2 } = new MessageChannel();
    host.welcome(port1 as unknown as MessagePort);
    const hear = port1.onmessage;
    port1.onmessage = (event) => {
      said.push(event.data as FromPage);
      hear?.call(port1, event);
    };
    ends.push(() => port1.close());
    return new SharedClient({ port: port2 as unknown as MessagePort }, options);
  };
  ends.push(() => host.client.disconnect());
  return { hub, host, page, said };
}

/** What a subscription tells, in its order. */
function log(subscription: Subscription<{ n: number }>): string[] {
  const told: string[] = [];
  subscription.on('subscribed', ({ recovered }) => told.push(recovered ? 'recovered' : 'subscribed'));
  subscription.on('message', ({ data }) => told.push(String(data.n)));
  subscription.on('gap', ({ reason }) => told.push(reason));
  subscription.on('error', ({ code }) => told.push(code));
  subscription.on('state', (state) => state === 'unsubscribed' && told.push('ended'));
  return told;
}

const count = (hub: FakeHub, what: string) => hub.heard.filter((heard) => heard === what).length;
const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => String(from + index));

test('pages share one connection and one subscription, and each hears every message', async () => {
  const { hub, page } = worker();
  const pages = [page(), page(), page()];
  const logs = pages.map((one) => log(one.subscribe<{ n: number }>('chat:1')));
  await until('the subscriptions', () => logs.every((told) => told.length === 1));
  hub.publish('chat:1', 3);
  await until('the messages', () => logs.every((told) => told.length === 4));
  assert.deepEqual(
    logs,
    pages.map(() => ['subscribed', '1', '2', '3']),
  );
  assert.equal(hub.sockets.size, 1);
  assert.equal(count(hub, 'subscribe chat:1'), 1);
  await until('the state', () => pages.every(({ state, session }) => state === 'connected' && session === 's1'));
});

test('a channel is left with its last page, and the connection with the last page of all', async () => {
  const { hub, host, page } = worker();
  const [first, second] = [page(), page()];
  const told = [log(first.subscribe('chat:1')), log(second.subscribe('chat:1')), log(second.subscribe('chat:2'))];
  await until('the subscriptions', () => told.every(({ length }) => length === 1));
  first.subscriptions.get('chat:1')?.unsubscribe();
  hub.publish('chat:1');
  await until('the message', () => told[1]?.length === 2);
  assert.deepEqual(told[0], ['subscribed', 'ended']);
  assert.equal(count(hub, 'unsubscribe chat:1'), 0);
  second.subscriptions.get('chat:1')?.unsubscribe();
  await until('the end of the channel', () => count(hub, 'unsubscribe chat:1') === 1);
  second.close();
  await until('the end of the other', () => count(hub, 'unsubscribe chat:2') === 1);
  assert.equal(second.state, 'disconnected');
  await assert.rejects(second.ping(), { code: 'disconnected' });
  assert.throws(() => second.subscribe('chat:3'), { code: 'disconnected' });
  assert.equal(host.client.state, 'connected');
  first.close();
  await until('the end of the connection', () => hub.sockets.size === 0);
  assert.equal(host.client.subscriptions.size, 0);
});

test('a late page gets what it asked for first, and what comes meanwhile after it', async () => {
  const { hub, page } = worker();
  hub.publish('chat:1', 5);
  await page().subscribe('chat:1').ready();
  let go = () => {};
  hub.reading = new Promise((resolve) => {
    go = resolve;
  });
  const late = [{ rewind: 2 }, { position: { epoch: 'e1', offset: 1 } }, { position: { epoch: 'e1', offset: 5 } }, {}];
  const logs = late.map((start) => log(page().subscribe('chat:1', start)));
  await until('both readings', () => count(hub, 'history chat:1') === 2);
  hub.publish('chat:1', 3);
  await until('the messages', () => logs[3]?.length === 4);
  go();
  await until('the rest', () => logs.every((told) => told.includes('8')));
  assert.deepEqual(logs, [
    ['subscribed', ...numbers(4, 8)],
    ['recovered', ...numbers(2, 8)],
    ['recovered', ...numbers(6, 8)],
    ['subscribed', ...numbers(6, 8)],
  ]);
  assert.equal(count(hub, 'subscribe chat:1'), 1);
});

test('a page that comes while another subscribes begins where it asked to all the same', async () => {
  const { hub, page, said } = worker();
  hub.publish('chat:1', 5);
  let go = () => {};
  hub.opening = new Promise((resolve) => {
    go = resolve;
  });
  const first = log(page().subscribe('chat:1', { rewind: 1 }));
  const second = log(page().subscribe('chat:1', { position: { epoch: 'e1', offset: 2 } }));
  await until('both to have asked', () => said.filter((one) => one.do === 'subscribe').length === 2);
  go();
  await until('all of it', () => first.includes('5') && second.includes('5'));
  assert.deepEqual(
    [first, second],
    [
      ['subscribed', '5'],
      ['recovered', ...numbers(3, 5)],
    ],
  );
  assert.equal(count(hub, 'subscribe chat:1'), 1);
});

test('a late page whose position cannot be read from is told of a gap', async () => {
  const { hub, page } = worker();
  hub.publish('chat:1', 9);
  hub.channel('chat:1').messages.splice(0, 5);
  await page().subscribe('chat:1').ready();
  const other = log(page().subscribe('chat:1', { position: { epoch: 'e0', offset: 3 } }));
  const trimmed = log(page().subscribe('chat:1', { position: { epoch: 'e1', offset: 4 } }));
  await until('the gaps', () => other.length === 2 && trimmed.length === 2);
  hub.refuse.history = { code: 'permission_denied', message: 'not yours' };
  const refused = log(page().subscribe('chat:1', { position: { epoch: 'e1', offset: 7 } }));
  const wish = log(page().subscribe('chat:1', { rewind: 3 }));
  await until('the last gap', () => refused.length === 2 && wish.length === 1);
  hub.publish('chat:1');
  await until('the message', () => [other, trimmed, refused].every(({ length }) => length === 3) && wish.length === 2);
  assert.deepEqual(
    [other, trimmed, refused, wish],
    [
      ['subscribed', 'epoch_changed', '10'],
      ['subscribed', 'trimmed', '10'],
      ['subscribed', 'interrupted', '10'],
      ['subscribed', '10'],
    ],
  );
});

test('a late page for which too much would be held is told of a gap instead', async () => {
  const { hub, page } = worker();
  hub.publish('chat:1', 2);
  await page().subscribe('chat:1').ready();
  let go = () => {};
  hub.reading = new Promise((resolve) => {
    go = resolve;
  });
  const told = log(page().subscribe('chat:1', { rewind: 1 }));
  const other = log(page().subscribe('chat:1'));
  await until('the reading', () => count(hub, 'history chat:1') === 1);
  hub.publish('chat:1', 1500);
  await until('the messages', () => other.includes('1502'));
  go();
  await until('the gap', () => told.includes('slow_consumer'));
  hub.publish('chat:1');
  await until('the last', () => told.includes('1503'));
  assert.deepEqual(told, ['subscribed', '2', 'slow_consumer', '1503']);
});

test('after a loss every page hears what was missed, once', async () => {
  const { hub, page } = worker();
  const [first, second] = [page(), page()];
  const logs = [log(first.subscribe('chat:1')), log(second.subscribe('chat:1'))];
  await until('the subscriptions', () => logs.every(({ length }) => length === 1));
  hub.publish('chat:1', 2);
  await until('the first two', () => logs.every((told) => told.includes('2')));
  const states: string[] = [];
  second.on('state', ({ state }) => states.push(state));
  for (const socket of hub.sockets) socket.close(1001);
  hub.publish('chat:1', 2);
  await until('the rest', () => logs.every((told) => told.includes('4')));
  for (const told of logs) assert.deepEqual(told, ['subscribed', '1', '2', 'recovered', '3', '4']);
  assert.deepEqual(states, ['connecting', 'connected']);
});

test('an answer goes to the page that asked, with its error where there is one', async () => {
  const { hub, page } = worker();
  const [first, second] = [page(), page()];
  const [one, two] = await Promise.all([first.publish('chat:1', { n: 0 }), second.publish('chat:1', { n: 0 }), first.connect()]);
  assert.deepEqual([one.position?.offset, two.position?.offset].sort(), [1, 2]);
  assert.equal((await second.history('chat:1', { limit: 1 })).publications.length, 1);
  assert.equal(await first.call('quote'), 'answered');
  hub.refuse.call = { code: 'no_service', message: 'nobody', retryable: false };
  await assert.rejects(second.call('quote'), { code: 'no_service', message: 'nobody', name: 'SwitchboardError' });
  hub.reading = new Promise(() => {});
  await assert.rejects(second.history('chat:1', { timeoutMs: 20 }), { code: 'timeout' });
  await assert.rejects(second.history('chat:1', { signal: AbortSignal.abort() }), { code: 'aborted' });
});

test('what is refused ends for all who have it, and may be asked for again', async () => {
  const { hub, page } = worker();
  const [first, second] = [page(), page()];
  const logs = [log(first.subscribe('chat:1')), log(second.subscribe('chat:1'))];
  await until('the subscriptions', () => logs.every(({ length }) => length === 1));
  hub.say({ unsubscribed: { channel: 'chat:1', reason: 'enough' } });
  await until('the end', () => logs.every(({ length }) => length === 3));
  for (const told of logs) assert.deepEqual(told, ['subscribed', 'closed', 'ended']);
  hub.refuse.subscribe = { code: 'permission_denied', message: 'not yours' };
  await assert.rejects(second.subscribe('chat:1').ready(), { code: 'permission_denied' });
  hub.refuse.subscribe = undefined;
  await second.subscribe('chat:1').ready();
});

test('what was told of an earlier subscription is not taken for the present one', async () => {
  const { hub, page } = worker();
  const [keeper, one] = [page(), page()];
  hub.publish('chat:1', 5);
  await keeper.subscribe('chat:1').ready();
  let go = () => {};
  hub.reading = new Promise((resolve) => {
    go = resolve;
  });
  one.subscribe('chat:1', { rewind: 4 }).unsubscribe();
  const told = log(one.subscribe('chat:1', { rewind: 1 }));
  await until('both readings', () => count(hub, 'history chat:1') === 2);
  go();
  await until('the rewind', () => told.length === 2);
  hub.publish('chat:1');
  await until('the message', () => told.length === 3);
  assert.deepEqual(told, ['subscribed', '5', '6']);
});

test('what the server subscribes every page has, until all have left it', async () => {
  const { hub, host, page } = worker();
  const first = page();
  first.connect();
  await first.ping();
  const found: Promise<Subscription> = new Promise((resolve) => first.on('subscription', resolve));
  hub.say({ subscribed: { channel: 'inbox:ann', position: { epoch: 'e1', offset: 0 } } });
  for (const socket of hub.sockets) socket.channels.add('inbox:ann');
  const own = log((await found) as Subscription<{ n: number }>);
  const second = page();
  const later: Subscription = await new Promise((resolve) => second.on('subscription', resolve));
  const others = log(later as Subscription<{ n: number }>);
  await until('the second page to have it', () => later.state === 'subscribed');
  hub.publish('inbox:ann');
  await until('the message', () => own.includes('1') && others.includes('1'));
  first.subscriptions.get('inbox:ann')?.unsubscribe();
  await second.ping();
  assert.equal(host.client.subscriptions.has('inbox:ann'), true);
  later.unsubscribe();
  await until('the end', () => !host.client.subscriptions.has('inbox:ann'));
});

test('a token comes from the newest page that has one to give', async () => {
  const { hub, page } = worker({});
  const asked: string[] = [];
  const giver = (name: string) => {
    const getToken = (reason: string) => {
      asked.push(`${name} ${reason}`);
      return name;
    };
    return page({ getToken });
  };
  giver('old');
  const newest = giver('new');
  page().connect();
  await newest.publish('chat:1', 1);
  assert.deepEqual([asked, hub.tokens], [['new connect'], ['new']]);
});

test('a page that leaves while it is asked for a token is not waited for', async () => {
  const { hub, page, said } = worker({});
  const keeper = page({ getToken: () => 'kept' });
  let isAsked = false;
  const leaving = page({
    getToken: () => {
      isAsked = true;
      return new Promise<string>(() => {});
    },
  });
  const ping = keeper.ping();
  leaving.connect();
  await until('the question', () => isAsked);
  leaving.close();
  await ping;
  assert.deepEqual(hub.tokens, ['kept']);
  assert.ok(said.some((one) => one.do === 'bye'));
});

test('that no token is to be had stops all pages until one connects anew; another error is asked again', async () => {
  const { host, page } = worker({});
  const fails: object[] = [new Error('the network'), { code: 'permission_denied', message: 'logged out' }];
  const one = page({
    getToken: () => {
      const failure = fails.shift();
      if (failure) throw failure;
      return 'given';
    },
  });
  const stopped = new Promise<string>((resolve) => one.on('error', ({ code, message }) => resolve(`${code}: ${message}`)));
  one.connect();
  assert.equal(await stopped, 'token_failed: logged out');
  assert.equal(fails.length, 0);
  assert.equal(one.state, 'disconnected');
  assert.equal(host.client.state, 'disconnected');
  one.connect();
  await until('another connection', () => one.state === 'connected');
});

// What a client asks, over each transport, of a real hub.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import WebSocket from 'ws';

import { Client, type Member, type Message, type WebSocketConstructor } from '../../src/index.js';
import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from './until.js';
import { WAYS } from './ways.js';

let stage: RunningStage;
before(async () => {
  stage = await startStage();
});
after(() => stage.end());

let runs = 0;

for (const [name, transport, options] of WAYS) {
  describe(`over ${name}`, () => {
    const make = async (user = `user-${++runs}`, grants?: object) => {
      const token = await stage.token({ user, grants });
      return new Client(stage.proxy, {
        token,
        transports: [transport],
        WebSocket: WebSocket as unknown as WebSocketConstructor,
        ...options,
      });
    };

    test('a publish waits for the connection, and comes back as a message with its sender', async () => {
      const client = await make('ann');
      const subscription = client.subscribe<{ text: string }>(`chat:own-${++runs}`);
      await subscription.ready();
      const messages = subscription.messages();
      const { position } = await subscription.publish({ text: 'hi' }, { id: 'once' });
      assert.deepEqual((await subscription.publish({ text: 'hi' }, { id: 'once' })).position, position);
      const { value } = await messages.next();
      assert.deepEqual([value?.data, value?.id, value?.from?.user, value?.offset], [{ text: 'hi' }, 'once', 'ann', 1]);
      assert.deepEqual(subscription.position, position);
      client.disconnect();
    });

    test('bytes stay bytes', async () => {
      const client = await make();
      const subscription = client.subscribe<Uint8Array>(`chat:bytes-${++runs}`);
      await subscription.ready();
      const messages = subscription.messages();
      await subscription.publish(new Uint8Array([0, 1, 255, 128]));
      assert.deepEqual((await messages.next()).value?.data, new Uint8Array([0, 1, 255, 128]));
      const { publications } = await subscription.history();
      assert.deepEqual(publications[0]?.data, new Uint8Array([0, 1, 255, 128]));
      client.disconnect();
    });

    test('members are listed, and come and go', async () => {
      const channel = `room:${++runs}`;
      const grants = { subscribe: ['room:*'], presence: ['room:*'] };
      const client = await make('ann', { ...grants, info: { name: 'Ann' } });
      const other = await make('bob', { ...grants, info: { name: 'Bob' } });
      const events: string[] = [];
      const told = (sign: string) => (member: Member) => events.push(`${sign}${member.user} ${JSON.stringify(member.info)}`);
      const subscription = client.subscribe(channel);
      await subscription.ready();
      subscription.on('join', told('+'));
      subscription.on('leave', told('-'));
      await other.subscribe(channel).ready();
      await until('the join of bob', () => events.includes('+bob {"name":"Bob"}'));
      const { members, count, users } = await client.presence(channel);
      const infos = Object.fromEntries(members.map(({ user, info }) => [user, info]));
      assert.deepEqual([infos, count, users], [{ ann: { name: 'Ann' }, bob: { name: 'Bob' } }, 2, 2]);
      const page = await client.presence(channel, { limit: 1 });
      assert.ok(page.next_page);
      assert.equal((await client.presence(channel, { limit: 1, page: page.next_page })).members.length, 1);
      other.subscriptions.get(channel)?.unsubscribe();
      await until('the leave of bob', () => events.includes('-bob {"name":"Bob"}'));
      client.disconnect();
      other.disconnect();
    });

    test('history is read forwards, backwards and from a position', async () => {
      const channel = `chat:past-${++runs}`;
      const { first } = await stage.post<{ first: { epoch: string; offset: number } }>('/publish', { channel, count: 5 });
      const client = await make();
      client.connect();
      const numbers = (publications: Message<{ n: number }>[]) => publications.map(({ data }) => data.n);
      assert.deepEqual(numbers((await client.history<{ n: number }>(channel, { limit: 2 })).publications), [0, 1]);
      assert.deepEqual(numbers((await client.history<{ n: number }>(channel, { reverse: true, limit: 2 })).publications), [4, 3]);
      assert.deepEqual(numbers((await client.history<{ n: number }>(channel, { position: first })).publications), [1, 2, 3, 4]);
      assert.equal((await client.history(channel, { limit: 0 })).position.offset, 5);
      client.disconnect();
    });

    test('errors are the hub’s, by their code', async () => {
      const client = await make();
      client.connect();
      await assert.rejects(client.publish('nowhere:1', 1), { code: 'unknown_namespace' });
      await assert.rejects(client.call('quote', { symbol: 'X' }), { code: 'no_service' });
      await assert.rejects(client.subscribe('chat:*').ready(), { code: 'bad_request' });
      await assert.rejects(client.publish('chat:1', 'x'.repeat(100_000)), { code: 'payload_too_large' });
      assert.equal(client.state, 'connected');
      client.disconnect();
    });

    test('what a service sends to a user arrives past all channels', async () => {
      const client = await make(`direct-${++runs}`);
      const received = new Promise<Message>((resolve) => client.on('message', resolve));
      client.on('open', () => void stage.post('/send', { user: `direct-${runs}`, data: { note: 1 } }));
      client.connect();
      assert.deepEqual((await received).data, { note: 1 });
      client.disconnect();
    });

    test('the server subscribes and unsubscribes by its own hand', async () => {
      const user = `hand-${++runs}`;
      const client = await make(user);
      const opened = new Promise((resolve) => client.on('open', resolve));
      client.connect();
      await opened;
      const found = new Promise<string>((resolve) => client.on('subscription', ({ channel }) => resolve(channel)));
      await stage.post('/subscribe', { user, channel: `chat:${user}` });
      assert.equal(await found, `chat:${user}`);
      const subscription = client.subscribe(`chat:${user}`);
      await subscription.ready();
      const ended = new Promise<string>((resolve) => subscription.on('error', ({ message }) => resolve(message)));
      await stage.post('/unsubscribe', { user, channel: `chat:${user}`, reason: 'enough' });
      assert.equal(await ended, 'enough');
      assert.equal(subscription.state, 'unsubscribed');
      client.disconnect();
    });

    test('after a disconnect nothing is open, and a later connect goes on where it was', async () => {
      const channel = `chat:again-${++runs}`;
      const client = await make();
      const subscription = client.subscribe<{ n: number }>(channel);
      await subscription.ready();
      const seen: number[] = [];
      subscription.on('message', ({ data }) => seen.push(data.n));
      client.disconnect();
      assert.equal(client.state, 'disconnected');
      await assert.rejects(client.publish(channel, 1, { timeoutMs: 50 }), { code: 'timeout' });
      await stage.post('/publish', { channel, count: 3 });
      client.connect();
      await until('what was missed', () => seen.length === 3);
      assert.deepEqual(seen, [0, 1, 2]);
      client.disconnect();
    });
  });
}

// A durable channel, over each transport: what is not acknowledged comes again, on whichever device of the user.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Client, type WebSocketConstructor } from '../../src/index.js';
import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from './until.js';
import { WAYS } from './ways.js';

let stage: RunningStage;
before(async () => {
  stage = await startStage({ 'namespaces.inbox': { durable: true, history_count: 1000 } });
});
after(() => stage?.end());

let runs = 0;

for (const [name, transport, options] of WAYS) {
  test(`over ${name} a visit begins after what the user has acknowledged`, { timeout: 60_000 }, async () => {
    const user = `durable-${++runs}`;
    const channel = `inbox:${user}`;
    const visit = async (url = stage.proxy) => {
      const client = new Client(url, {
        token: await stage.token({ user }),
        transports: [transport],
        WebSocket: WebSocket as unknown as WebSocketConstructor,
        timing: { baseMs: 20, capMs: 100 },
        ...options,
      });
      const inbox = client.subscribe<{ n: number }>(channel);
      const seen: number[] = [];
      inbox.on('message', ({ data }) => seen.push(data.n));
      await inbox.ready({ timeoutMs: 15_000 });
      return { client, inbox, seen };
    };
    const first = await visit();
    assert.equal(first.inbox.policy.durable, true);
    await stage.post('/publish', { channel, count: 3 });
    await until('three', () => first.seen.length === 3);
    await first.inbox.ack(2);
    await assert.rejects(first.inbox.ack(99), { code: 'bad_request' });
    first.client.disconnect();
    await stage.post('/publish', { channel, count: 1, from: 3 });

    const proxy = await stage.addProxy();
    const second = await visit(proxy.url);
    await until('the rest', () => second.seen.length === 2);
    // Within a visit a reconnect goes on from what was seen, acknowledged or not.
    await stage.post(`/proxies/${proxy.id}/cut`);
    await stage.post('/publish', { channel, count: 1, from: 4 });
    await until('the last', () => second.seen.length === 3);
    assert.deepEqual(second.seen, [2, 3, 4]);
    await second.inbox.ack();
    second.client.disconnect();

    const third = await visit();
    await stage.post('/publish', { channel, count: 1, from: 5 });
    await until('what is new', () => third.seen.length === 1);
    assert.deepEqual(third.seen, [5]);
    await assert.rejects(third.client.ack('chat:1', 1), { code: 'bad_request' });
    third.client.disconnect();
    await stage.remove(proxy.id);
  });
}

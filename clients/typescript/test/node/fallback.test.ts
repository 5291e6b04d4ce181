// Proxies that bar, kill, stall and buffer: which transport the client ends up on, and that nothing is lost on the way.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Client, type ClientOptions, type TransportName, type WebSocketConstructor } from '../../src/index.js';
import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from './until.js';

let stage: RunningStage;
before(async () => {
  stage = await startStage();
});
after(() => stage.end());

const TIMING = { baseMs: 20, capMs: 200, openMs: 700, provenMs: 500, stepUpMs: 400, silenceMs: 2500 };
let runs = 0;

async function opened(modes: Record<string, unknown>, options: ClientOptions = {}) {
  const user = `fallback-${++runs}`;
  const channel = `chat:${user}`;
  const proxy = await stage.addProxy(modes);
  const client = new Client(proxy.url, {
    token: await stage.token({ user }),
    WebSocket: WebSocket as unknown as WebSocketConstructor,
    heartbeatMs: 1000,
    timing: TIMING,
    ...options,
  });
  const seen: unknown[] = [];
  const gaps: unknown[] = [];
  const subscription = client.subscribe<{ n: number }>(channel);
  subscription.on('message', ({ data }) => seen.push(data.n));
  subscription.on('gap', (gap) => gaps.push(gap));
  await subscription.ready({ timeoutMs: 15_000 });
  return { user, channel, proxy, client, subscription, seen, gaps };
}

async function settles(modes: Record<string, unknown>, wanted: TransportName): Promise<void> {
  const { client, channel, seen, gaps } = await opened(modes, { timing: { ...TIMING, stepUpMs: 60_000 } });
  await until(`transport ${wanted}`, () => client.transport === wanted && client.state === 'connected');
  await stage.post('/publish', { channel, count: 5 });
  await until('five messages', () => seen.length === 5);
  assert.deepEqual(seen, [0, 1, 2, 3, 4]);
  assert.deepEqual(gaps, []);
  client.disconnect();
}

test('where nothing is wrong the WebSocket stays', () => settles({}, 'websocket'));
for (const ws of ['kill', 'stall', 'refuse', 'strip', 'hang']) {
  test(`a WebSocket that is met with ${ws} gives way to SSE`, () => settles({ ws, kill_after_ms: 5 }, 'sse'));
  test(`a WebSocket that is met with ${ws} and a buffered stream give way to polls`, () =>
    settles({ ws, kill_after_ms: 5, sse: 'buffer' }, 'poll'));
}

test('a WebSocket that gives a session and dies young, again and again, gives way', () =>
  settles({ ws: 'kill', kill_after_ms: 150 }, 'sse'));

test('it steps up again once the WebSocket passes, and loses nothing on the way', async () => {
  const { client, channel, proxy, seen, gaps } = await opened({ ws: 'refuse' });
  assert.equal(client.transport, 'sse');
  const moved: string[] = [];
  client.on('moved', ({ transport }) => moved.push(transport));
  await stage.post(`/proxies/${proxy.id}`, { ws: 'pass' });
  let n = 0;
  while (moved.length === 0 && n < 3000) await stage.post('/publish', { channel, count: 1, from: n++ });
  await stage.post('/publish', { channel, count: 5, from: n });
  await until('all messages', () => seen.length === n + 5);
  assert.deepEqual(
    seen,
    Array.from({ length: n + 5 }, (_, index) => index),
  );
  assert.deepEqual([moved, client.transport, gaps], [['websocket'], 'websocket', []]);
  client.disconnect();
});

for (const transport of ['websocket', 'sse', 'poll'] as const) {
  test(`a half-open connection over ${transport} is noticed, and what it swallowed is recovered`, async () => {
    const { client, channel, proxy, seen, gaps } = await opened({}, { transports: [transport], pollWaitMs: 1000 });
    // Between two polls there would be nothing to silence.
    const kind = transport === 'websocket' ? 'ws' : transport;
    await until('an open connection', async () => {
      const { open } = await stage.get<{ open: Record<string, number> }>(`/proxies/${proxy.id}`);
      return (open[kind] ?? 0) > 0;
    });
    await stage.post(`/proxies/${proxy.id}/half-open`);
    await stage.post('/publish', { channel, count: 4 });
    await until('four messages', () => seen.length === 4, 20_000);
    assert.deepEqual([seen, gaps], [[0, 1, 2, 3], []]);
    client.disconnect();
  });
}

test('a refused token is no reason to change the transport; without another the client stops', async () => {
  const proxy = await stage.addProxy();
  const client = new Client(proxy.url, {
    token: await stage.token({ user: 'late', ttl_s: -5 }),
    WebSocket: WebSocket as unknown as WebSocketConstructor,
  });
  const stopped = new Promise<string>((resolve) => client.on('error', ({ code }) => resolve(code)));
  client.connect();
  assert.equal(await stopped, 'token_failed');
  const { requests } = await stage.get<{ requests: object }>(`/proxies/${proxy.id}`);
  assert.deepEqual(requests, { ws: 1, why: 1 });
});

test('without any WebSocket the other transports serve', async () => {
  const { client } = await opened({}, { WebSocket: undefined });
  assert.equal(client.transport, globalThis.WebSocket ? 'websocket' : 'sse');
  client.disconnect();
});

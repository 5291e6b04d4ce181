// Nodes that come and go under clients of every transport while messages are published without a pause: nothing is lost, nothing comes twice.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import WebSocket from 'ws';

import { Client, type TransportName, type WebSocketConstructor } from '../../src/index.js';
import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from './until.js';

let stage: RunningStage;
before(async () => {
  stage = await startStage({}, [], ['--redis', '0']);
});
after(() => stage?.end());

const WAYS: TransportName[] = ['websocket', 'sse', 'poll'];
const CLIENTS_OF_EACH = 4;
const DRAINS = 3;

test(`${DRAINS} drains under ${CLIENTS_OF_EACH * WAYS.length} clients lose nothing`, { timeout: 120_000 }, async () => {
  const channel = 'chat:drained';
  const players = await Promise.all(
    Array.from({ length: CLIENTS_OF_EACH * WAYS.length }, async (_, index) => {
      const transport = WAYS[index % WAYS.length] as TransportName;
      const client = new Client(stage.proxy, {
        token: await stage.token({ user: `user-${index}` }),
        transports: [transport],
        WebSocket: WebSocket as unknown as WebSocketConstructor,
        pollWaitMs: 1000,
        timing: { baseMs: 50, capMs: 500 },
      });
      const player = { client, transport, seen: [] as number[], gaps: [] as string[], sessions: 0 };
      client.on('open', () => {
        player.sessions += 1;
      });
      const subscription = client.subscribe<{ n: number }>(channel);
      subscription.on('message', ({ data }) => player.seen.push(data.n));
      subscription.on('gap', ({ reason }) => player.gaps.push(reason));
      await subscription.ready({ timeoutMs: 15_000 });
      return player;
    }),
  );
  let n = 0;
  for (let drain = 1; drain <= DRAINS; drain += 1) {
    let isGone = false;
    const gone = stage.post('/hub/drain', { wait: true }).then(() => {
      isGone = true;
    });
    // Until the old node has gone, and with it the last client that it had.
    while (!isGone) await publish();
    await gone;
    await publish();
  }
  await until('the last message everywhere', () => players.every(({ seen }) => seen.at(-1) === n - 1));
  const wanted = Array.from({ length: n }, (_, index) => index);
  for (const { transport, seen, gaps, sessions } of players) {
    assert.deepEqual(gaps, [], `${transport}: gaps`);
    assert.deepEqual(seen, wanted, `${transport}: messages`);
    assert.ok(sessions > DRAINS, `${transport}: ${sessions} sessions`);
  }
  console.log(`${n} messages, ${players.reduce((sum, { sessions }) => sum + sessions, 0)} sessions`);
  for (const { client } of players) client.disconnect();

  async function publish(): Promise<void> {
    // The node that is asked may be the one that leaves; the id makes the repetition harmless.
    for (let attempt = 1; ; attempt += 1) {
      try {
        await stage.post('/publish', { channel, count: 1, from: n, id: `drained-${n}` });
        n += 1;
        return;
      } catch (error) {
        if (attempt === 50) throw error;
      }
    }
  }
});

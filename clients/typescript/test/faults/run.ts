// One run: a client behind a proxy of its own that misbehaves at random, while a service and the client publish. In the end
// everything must have come, in order, once, and without a gap: history reaches back to all of it.

import { setTimeout as sleep } from 'node:timers/promises';

import WebSocket from 'ws';

import { Client, type TransportName, type WebSocketConstructor } from '../../src/index.js';
import type { Stage } from '../conformance/stage.js';
import { Random } from './random.js';

const WAYS: TransportName[][] = [
  ['websocket'],
  ['sse'],
  ['poll'],
  ['websocket', 'sse', 'poll'],
  ['websocket', 'sse', 'poll'],
  ['websocket', 'poll'],
  ['sse', 'poll'],
];

/** What may go wrong, each as a change of modes; `commands` modes are harmless to a WebSocket, and so on. */
const MODES = [
  { ws: 'kill', kill_after_ms: 30 },
  { ws: 'stall' },
  { ws: 'refuse' },
  { ws: 'strip' },
  { ws: 'hang' },
  { sse: 'kill', kill_after_ms: 60 },
  { sse: 'buffer' },
  { sse: 'refuse' },
  { poll: 'lose' },
  { poll: 'refuse' },
  { commands: 'lose' },
  { commands: 'drop' },
  { commands: 'refuse' },
  { delay_ms: 40 },
  { delay_ms: 150 },
  { answer: 'close' },
  { answer: 503 },
  { answer: 502 },
];
const CALM = { ws: 'pass', sse: 'pass', poll: 'pass', commands: 'pass', delay_ms: 0, answer: 'pass', kill_after_ms: 0 };
const SETTLE_MS = 20_000;

export interface Outcome {
  seed: number;
  failure?: string;
  sessions: number;
  faults: number;
  messages: number;
  transports: Set<TransportName>;
}

export async function run(stage: Stage, seed: number): Promise<Outcome> {
  const random = new Random(seed);
  const channel = `chat:fault-${seed}`;
  const transports = random.one(WAYS);
  const history: string[] = [`transports ${transports.join(' ')}`];
  const began = Date.now();
  const note = (what: string) => history.push(`${Date.now() - began} ${what}`);
  const outcome: Outcome = { seed, sessions: 0, faults: 0, messages: 0, transports: new Set() };
  const proxy = await stage.addProxy(
    random.next() < 0.4 && transports.length > 1 ? { ws: random.one(['kill', 'stall', 'refuse', 'strip', 'hang']) } : {},
  );
  const token = await stage.token({ user: `user-${seed}` });
  const client = new Client(proxy.url, {
    token,
    transports,
    WebSocket: WebSocket as unknown as WebSocketConstructor,
    heartbeatMs: 1000,
    pollWaitMs: 1000,
    requestMs: 1000,
    timing: { baseMs: 20, capMs: 250, openMs: 1500, silenceMs: 2500, doubtMs: 500, provenMs: 400, stepUpMs: 500, stepUpMaxMs: 3000 },
  });
  const seen: { offset: number; n?: number; mine?: number }[] = [];
  const gaps: string[] = [];
  client.on('open', () => {
    outcome.sessions += 1;
    outcome.transports.add(client.transport);
    note(`open ${client.transport}`);
  });
  client.on('moved', ({ transport }) => note(`moved ${transport}`));
  client.on('state', ({ state, message }) => note(`${state} ${message ?? ''}`));
  client.on('error', (error) => note(`stopped ${error.code}`));
  try {
    const subscription = client.subscribe<{ n?: number; mine?: number }>(channel);
    subscription.on('message', ({ offset = 0, data }) => {
      seen.push({ offset, ...data });
      note(`message ${offset}`);
    });
    subscription.on('gap', ({ reason }) => gaps.push(reason));
    await subscription.ready({ timeoutMs: SETTLE_MS });
    const [service, own] = [random.between(15, 40), random.between(0, 6)];
    const published: Promise<unknown>[] = [];
    let [n, mine] = [0, 0];
    while (n < service || mine < own) {
      const chance = random.next();
      if (chance < 0.35) {
        outcome.faults += 1;
        const what = random.between(0, 6);
        note(`fault ${what}`);
        if (what < 2) await stage.post(`/proxies/${proxy.id}/cut`);
        else if (what === 2) await stage.post(`/proxies/${proxy.id}/half-open`);
        else {
          const modes = { ...CALM, ...random.one(MODES) };
          note(JSON.stringify(modes));
          await stage.post(`/proxies/${proxy.id}`, modes);
        }
      } else if (chance < 0.5 && mine < own) {
        published.push(client.publish(channel, { mine: mine++ }, { timeoutMs: SETTLE_MS }));
      } else if (n < service) {
        const count = Math.min(random.between(1, 5), service - n);
        await stage.post('/publish', { channel, count, from: n });
        n += count;
      }
      await sleep(random.between(0, 120));
    }
    await stage.post(`/proxies/${proxy.id}`, CALM);
    note('calm');
    await Promise.all(published);
    const end = Date.now() + SETTLE_MS;
    while (seen.length < service + own && Date.now() < end) await sleep(20);
    // What came twice would come now.
    await sleep(60);
    outcome.messages = seen.length;
    const failure = judge(seen, gaps, service, own);
    if (failure) outcome.failure = `${failure}; ${history.join('; ')}`;
  } catch (error) {
    outcome.failure = `${error}; ${history.join('; ')}`;
  } finally {
    client.disconnect();
    await stage.remove(proxy.id);
  }
  return outcome;
}

/** What is wrong with what was seen; nothing when all is well. */
export function judge(
  seen: { offset: number; n?: number; mine?: number }[],
  gaps: string[],
  service: number,
  own: number,
): string | undefined {
  if (gaps.length > 0) return `gaps where history reaches: ${gaps.join(', ')}`;
  if (seen.length !== service + own) return `${seen.length} of ${service + own} messages came`;
  const wrong = seen.findIndex(({ offset }, index) => offset !== index + 1);
  if (wrong >= 0) return `offset ${seen[wrong]?.offset} came as number ${wrong + 1}`;
  const numbers = seen.flatMap(({ n }) => (n === undefined ? [] : [n]));
  if (numbers.length !== service || numbers.some((n, index) => n !== index)) return `the service's came as ${numbers.join(' ')}`;
  const mine = new Set(seen.flatMap(({ mine }) => (mine === undefined ? [] : [mine])));
  return mine.size === own ? undefined : `${mine.size} of the client's own ${own} came`;
}

// Plays a scenario of `clients/fixtures/conformance.json` with this client. It runs in Node and in a page alike.

import { Client, type ClientOptions, type Subscription, type SwitchboardError, type TransportName } from '../../src/index.js';
import { Stage } from './stage.js';

export type Step = Record<string, unknown>;

export interface Scenario {
  name: string;
  about: string;
  steps: Step[];
}

export interface RunOptions {
  control: string;
  transport: TransportName;
  options?: ClientOptions;
}

const PATIENCE_MS = 25_000;

/** What a scenario has of its client, and what it has seen. */
class Player {
  readonly run = `${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}`;
  readonly user = `user-${this.run}`;
  readonly log: string[] = [];
  client: Client | undefined;
  proxy = { id: '', url: '' };
  messages: { n: number; offset: number }[] = [];
  read = 0;
  gaps: string[] = [];
  gapsRead = 0;
  sessions = 0;
  tokens = 0;
  published = 0;
  stopped = '';
  failed = '';
  marks = new Map<string, number>();
  #wake = new Set<() => void>();

  constructor(
    readonly stage: Stage,
    private readonly given: RunOptions,
  ) {}

  note(what: string): void {
    this.log.push(what);
    for (const wake of this.#wake) wake();
  }

  async until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    const end = Date.now() + PATIENCE_MS;
    while (!(await holds())) {
      if (Date.now() > end) throw new Error(`${what} never came; seen: ${this.log.slice(-30).join(', ')}`);
      await new Promise<void>((resolve) => {
        const done = () => {
          clearTimeout(timer);
          this.#wake.delete(done);
          resolve();
        };
        const timer = setTimeout(done, 100);
        this.#wake.add(done);
      });
    }
  }

  fill<T>(value: T): T {
    const text = JSON.stringify(value).replaceAll('$proxy', this.proxy.id).replaceAll('$user', this.user);
    return JSON.parse(text.replaceAll(':$', `:${this.run}`)) as T;
  }

  makeClient({ ttl_s, ttls_s = [], grants }: { ttl_s?: number; ttls_s?: number[]; grants?: unknown }): void {
    const getToken = async () => {
      const ttl = ttls_s[this.tokens] ?? ttl_s;
      this.tokens += 1;
      const token = await this.stage.token({ user: this.user, ttl_s: ttl, grants });
      this.note('token');
      return token;
    };
    const timing = { baseMs: 50, capMs: 500, openMs: 8000, ...this.given.options?.timing };
    this.client = new Client(this.proxy.url, { transports: [this.given.transport], ...this.given.options, timing, getToken });
    this.client.on('state', ({ state, code }) => this.note(`${state}${code ? ` (${code})` : ''}`));
    this.client.on('open', () => {
      this.sessions += 1;
      this.note('open');
    });
    this.client.on('error', (error) => {
      this.stopped = error.code;
      this.note(`error ${error.code}`);
    });
    this.client.on('subscription', (subscription) => this.hear(subscription));
    this.client.connect();
  }

  hear(subscription: Subscription): void {
    subscription.on('message', ({ data, offset = 0 }) => {
      this.messages.push({ n: (data as { n: number }).n, offset });
      this.note(`message ${(data as { n: number }).n}`);
    });
    subscription.on('gap', ({ reason }) => {
      this.gaps.push(reason);
      this.note(`gap ${reason}`);
    });
    subscription.on('subscribed', () => this.note(`subscribed ${subscription.channel}`));
    subscription.on('error', (error: SwitchboardError) => {
      this.failed = error.code;
      this.note(`failed ${error.code}`);
    });
  }
}

type Arguments = Record<string, never>;

const STEPS: Record<string, (player: Player, body: Arguments) => Promise<void> | void> = {
  client: (player, body) => player.makeClient(body),
  async subscribe(player, { channel, rewind, fails }: { channel: string; rewind?: number; fails?: string }) {
    const subscription = player.client?.subscribe(channel, rewind === undefined ? {} : { rewind });
    if (!subscription) throw new Error('there is no client');
    player.hear(subscription);
    if (fails) return player.until(`refusal ${fails}`, () => player.failed === fails);
    await player.until(`subscription ${channel}`, () => subscription.state === 'subscribed');
  },
  publish: (player, body) => player.stage.post('/publish', body),
  control: (player, [path, body]: [string, unknown]) => player.stage.post(path, body),
  modes: (player, body) => player.stage.post(`/proxies/${player.proxy.id}`, body),
  mark: (player, name: string) => void player.marks.set(name, Date.now()),
  client_publishes(player, { channel, count }: { channel: string; count: number }) {
    for (let n = 0; n < count; n += 1) {
      player.client?.publish(channel, { n }, { timeoutMs: PATIENCE_MS }).then(
        () => {
          player.published += 1;
          player.note('published');
        },
        (error) => player.note(`publish failed: ${error}`),
      );
    }
  },
  async await(player, body: Record<string, unknown>) {
    for (const [what, wanted] of Object.entries(body)) {
      const wait = AWAITED[what];
      if (!wait) throw new Error(`there is nothing to await by the name ${what}`);
      await wait(player, wanted as never);
    }
  },
  holds(player, body: Record<string, unknown>) {
    const seen: Record<string, unknown> = {
      gaps: player.gaps.length,
      sessions: player.sessions,
      tokens: player.tokens,
      stopped: player.stopped,
    };
    for (const [what, wanted] of Object.entries(body)) {
      if (what === 'since') {
        const [mark, seconds] = wanted as [string, number];
        const passed = (Date.now() - (player.marks.get(mark) ?? 0)) / 1000;
        if (passed < seconds) throw new Error(`only ${passed} s have passed since ${mark}`);
      } else if (seen[what] !== wanted) {
        throw new Error(`${what} is ${seen[what]}, not ${wanted}; seen: ${player.log.slice(-40).join(', ')}`);
      }
    }
    if (player.messages.length > player.read) throw new Error(`nobody awaited message ${player.messages[player.read]?.n}`);
  },
} as Record<string, (player: Player, body: never) => Promise<void> | void> as never;

const AWAITED: Record<string, (player: Player, wanted: never) => Promise<void>> = {
  async messages(player, [from, to]: [number, number]) {
    await player.until(`messages ${from} to ${to}`, () => player.messages.length - player.read >= to - from);
    for (let n = from; n < to; n += 1) {
      const message = player.messages[player.read++];
      if (message?.n !== n) throw new Error(`${n} was to come, not ${message?.n}; seen: ${player.log.slice(-40).join(', ')}`);
    }
  },
  async last_message(player, n: number) {
    await player.until(`message ${n}`, () => player.messages.at(-1)?.n === n);
    for (; player.read < player.messages.length; player.read += 1) {
      const [before, message] = [player.messages[player.read - 1], player.messages[player.read]];
      if (before && message && message.offset <= before.offset) throw new Error(`offset ${message.offset} came after ${before.offset}`);
    }
  },
  async gap(player, reason: string) {
    await player.until(`gap ${reason}`, () => player.gaps.length > player.gapsRead);
    const gap = player.gaps[player.gapsRead];
    player.gapsRead = player.gaps.length;
    if (gap !== reason) throw new Error(`the gap is ${gap}, not ${reason}`);
  },
  state: (player, state: string) => player.until(`state ${state}`, () => player.client?.state === state),
  tokens: (player, count: number) => player.until(`${count} tokens`, () => player.tokens >= count),
  sessions: (player, count: number) => player.until(`${count} sessions`, () => player.sessions >= count),
  published: (player, count: number) => player.until(`${count} published`, () => player.published >= count),
  subscribed: (player, channel: string) =>
    player.until(`subscribed ${channel}`, () => player.client?.subscriptions.get(channel)?.state === 'subscribed'),
  refused: (player, count: number) =>
    player.until(
      `${count} refused`,
      async () => (await player.stage.get<{ refused: number }>(`/proxies/${player.proxy.id}`)).refused >= count,
    ),
} as Record<string, (player: Player, wanted: never) => Promise<void>>;

/** Plays it; fails with what did not hold. */
export async function play(scenario: Scenario, given: RunOptions): Promise<void> {
  const stage = new Stage(given.control);
  const player = new Player(stage, given);
  player.proxy = await stage.addProxy();
  try {
    for (const step of scenario.steps) {
      for (const [name, body] of Object.entries(player.fill(step))) {
        const carryOut = STEPS[name];
        if (!carryOut) throw new Error(`there is no step ${name}`);
        await carryOut(player, body as never);
      }
    }
  } finally {
    player.client?.disconnect();
    await stage.remove(player.proxy.id);
  }
}

// The worker's side: one client for all pages. A page's subscriptions are counted; a channel is left when its last page has gone.

import { Client, type ClientOptions } from '../client.js';
import { SwitchboardError } from '../errors.js';
import type { Subscription, SubscriptionEvents } from '../subscription.js';
import type { TokenReason } from '../tokens.js';
import type { FromPage, FromWorker, SharedError, SharedVerb } from './messages.js';

/** How a page's port looks to the worker. */
interface Page {
  port: MessagePort;
  hasToken: boolean;
  channels: Set<string>;
  asking: Map<number, AbortController>;
}

/** How long a page may take to fetch a token. */
const TOKEN_MS = 20_000;
const TOLD = [
  'message',
  'gap',
  'join',
  'leave',
  'state',
  'subscribed',
  'error',
] as const satisfies readonly (keyof SubscriptionEvents<unknown>)[];

const shared = (error: unknown): SharedError => {
  const { code = 'internal', message = String(error), retryable = false, retryAfter = 0 } = error as Partial<SwitchboardError>;
  return { code, message, retryable, retryAfter };
};

/** Serves the pages of one origin from a SharedWorker: call it at the top of the worker's script. Tokens come from the pages. */
export function serve(url: string | URL, options: Omit<ClientOptions, 'getToken'> = {}): void {
  const host = new Host(url, options);
  const scope = globalThis as unknown as { addEventListener(name: 'connect', listener: (event: MessageEvent) => void): void };
  scope.addEventListener('connect', ({ ports: [port] }) => {
    if (port) host.welcome(port);
  });
}

class Host {
  readonly #client: Client;
  readonly #pages = new Set<Page>();
  readonly #tokens = new Map<number, (answer: { token?: string; error?: SharedError }) => void>();
  #lastToken = 0;

  constructor(url: string | URL, options: Omit<ClientOptions, 'getToken'>) {
    const getToken = (reason: TokenReason) => this.#askToken(reason);
    this.#client = new Client(url, options.token === undefined ? { ...options, getToken } : options);
    this.#client.on('state', (state) => this.#tellAll({ tell: 'state', ...state }));
    this.#client.on('message', (value) => this.#tellAll({ tell: 'message', value }));
    this.#client.on('subscription', (subscription) => this.#relay(subscription));
  }

  welcome(port: MessagePort): void {
    const page: Page = { port, hasToken: false, channels: new Set(), asking: new Map() };
    this.#pages.add(page);
    port.onmessage = ({ data }) => this.#hear(page, data as FromPage);
    const { state, transport } = this.#client;
    this.#tell(page, { tell: 'state', state, transport });
  }

  #hear(page: Page, said: FromPage): void {
    switch (said.do) {
      case 'hello':
        page.hasToken = said.hasToken;
        // It is granted when the page has gone, however it went.
        void navigator.locks?.request(said.lock, () => this.#bye(page));
        break;
      case 'connect':
        this.#client.connect();
        break;
      case 'disconnect':
        this.#client.disconnect();
        break;
      case 'bye':
        this.#bye(page);
        break;
      case 'subscribe':
        this.#subscribe(page, said.channel, said.start);
        break;
      case 'unsubscribe':
        this.#unsubscribe(page, said.channel);
        break;
      case 'ask':
        void this.#ask(page, said.id, said.verb, said.args);
        break;
      case 'abort':
        page.asking.get(said.id)?.abort();
        break;
      case 'token':
        this.#tokens.get(said.id)?.(said);
    }
  }

  #subscribe(page: Page, channel: string, start: Extract<FromPage, { do: 'subscribe' }>['start']): void {
    const known = this.#client.subscriptions.get(channel);
    page.channels.add(channel);
    const subscription = this.#client.subscribe(channel, start);
    if (!known) this.#relay(subscription);
    else if (known.state === 'subscribed' && known.position) {
      // Others have it already: this page begins where it stands.
      const value = { position: known.position, policy: known.policy };
      this.#tell(page, { tell: 'channel', channel, name: 'subscribed', value, standing: standing(known) });
    }
  }

  #relay(subscription: Subscription): void {
    const { channel } = subscription;
    for (const name of TOLD) {
      subscription.on(name, (value) => {
        const told = name === 'error' ? shared(value) : value;
        for (const page of this.#pages) {
          if (page.channels.has(channel))
            this.#tell(page, { tell: 'channel', channel, name, value: told, standing: standing(subscription) });
        }
      });
    }
  }

  #unsubscribe(page: Page, channel: string): void {
    if (!page.channels.delete(channel)) return;
    if ([...this.#pages].some(({ channels }) => channels.has(channel))) return;
    this.#client.subscriptions.get(channel)?.unsubscribe();
  }

  async #ask(page: Page, id: number, verb: SharedVerb, args: unknown[]): Promise<void> {
    const controller = new AbortController();
    page.asking.set(id, controller);
    try {
      const options = { ...(args.at(-1) as object | undefined), signal: controller.signal };
      const ask = this.#client[verb].bind(this.#client) as (...args: unknown[]) => Promise<unknown>;
      this.#tell(page, { tell: 'answer', id, value: await ask(...args.slice(0, -1), options) });
    } catch (error) {
      this.#tell(page, { tell: 'answer', id, error: shared(error) });
    } finally {
      page.asking.delete(id);
    }
  }

  /** Asks one page after the other: one that is frozen does not answer. */
  async #askToken(reason: TokenReason): Promise<string> {
    let failure: SharedError | undefined;
    for (const page of [...this.#pages].filter(({ hasToken }) => hasToken).reverse()) {
      const id = ++this.#lastToken;
      const answer = await new Promise<{ token?: string; error?: SharedError }>((resolve) => {
        const timer = setTimeout(() => resolve({}), TOKEN_MS);
        this.#tokens.set(id, (given) => {
          clearTimeout(timer);
          resolve(given);
        });
        this.#tell(page, { tell: 'token', id, reason });
      });
      this.#tokens.delete(id);
      if (answer.token !== undefined) return answer.token;
      failure = answer.error ?? failure;
    }
    throw new SwitchboardError(failure?.code ?? 'token_failed', failure?.message ?? 'no page gave a token', true);
  }

  #bye(page: Page): void {
    if (!this.#pages.has(page)) return;
    for (const channel of [...page.channels]) this.#unsubscribe(page, channel);
    for (const controller of page.asking.values()) controller.abort();
    this.#pages.delete(page);
    page.port.close();
    if (this.#pages.size === 0) this.#client.disconnect();
  }

  #tell(page: Page, said: FromWorker): void {
    page.port.postMessage(said);
  }

  #tellAll(said: FromWorker): void {
    for (const page of this.#pages) this.#tell(page, said);
  }
}

const standing = ({ state, position, policy }: Subscription) => ({ state, position, policy });

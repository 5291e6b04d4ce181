// The worker's side: one client for all pages. Which page has which channel is counted here; a channel is left when its last page has left it.

import { Client, type ClientOptions } from '../client.js';
import { type Clock, realClock } from '../clock.js';
import { SwitchboardError } from '../errors.js';
import type { Start } from '../machine/subscription.js';
import type { WireError } from '../protocol.js';
import type { Subscription } from '../subscription.js';
import type { TokenReason } from '../tokens.js';
import { late } from './late.js';
import { type ChannelEvent, type FromPage, type FromWorker, wire } from './messages.js';

/** As much of a MessagePort as is used. */
export type Port = Pick<MessagePort, 'postMessage' | 'onmessage'>;

/** A page's hold on a channel. */
interface Place {
  readonly id: number;
  readonly start: Start;
  /** Others had the channel before, and the page has not been told where it begins. */
  isLate: boolean;
  /** What happens while history is read for a late page. */
  held: ChannelEvent[] | undefined;
}

/** A page that is awake. */
interface Page {
  readonly port: Port;
  readonly hasToken: boolean;
  readonly places: Map<string, Place>;
}

interface TokenAsked {
  page: Page;
  answer(given: { token?: string; error?: WireError }): void;
}

/** How long a page may take to fetch a token. */
const TOKEN_MS = 20_000;
/** What a late page is owed at most; one more, and it is told of a gap instead. */
const HELD_MAX = 1000;

/** What the worker's client is made with: tokens come from the pages, unless one token does for all. */
export type SharedHostOptions = Omit<ClientOptions, 'getToken'>;

/** The pages of one worker, and the connection that they share. */
export class Host {
  readonly client: Client;
  readonly #clock: Clock;
  readonly #pages = new Map<Port, Page>();
  /** Channels that the server subscribed: every page has them, until it leaves them. */
  readonly #found = new Set<string>();
  readonly #tokens = new Map<number, TokenAsked>();
  #lastToken = 0;

  constructor(url: string | URL, options: SharedHostOptions = {}) {
    const getToken = (reason: TokenReason) => this.#askToken(reason);
    this.#clock = options.clock ?? realClock;
    this.client = new Client(url, options.token === undefined ? { ...options, getToken } : options);
    this.client.on('state', (told) => this.#tellAll({ tell: 'state', ...told, session: this.client.session }));
    this.client.on('moved', () => this.#tellAll(this.#state));
    this.client.on('open', () => this.#tellAll(this.#state));
    this.client.on('message', (message) => this.#tellAll({ tell: 'message', message }));
    this.client.on('subscription', (subscription) => {
      this.#found.add(subscription.channel);
      for (const page of this.#pages.values()) this.#find(page, subscription.channel);
      this.#relay(subscription);
    });
  }

  /** Takes in a page. */
  welcome(port: Port): void {
    port.onmessage = ({ data }) => this.#hear(port, data as FromPage);
  }

  #hear(port: Port, said: FromPage): void {
    if (said.do === 'hello') this.#greet({ port, hasToken: said.hasToken, places: new Map() });
    const page = this.#pages.get(port);
    if (!page) return;
    switch (said.do) {
      case 'lock':
        // It is granted when the page has gone, however it went.
        void globalThis.navigator?.locks?.request(said.lock, () => this.#bye(page));
        break;
      case 'connect':
        this.client.connect();
        break;
      case 'bye':
        this.#bye(page);
        break;
      case 'subscribe':
        this.#subscribe(page, said);
        break;
      case 'unsubscribe':
        this.#unsubscribe(page, said.channel);
        break;
      case 'ask':
        void this.#ask(page, said);
        break;
      case 'token': {
        const asked = this.#tokens.get(said.id);
        if (asked?.page === page) asked.answer(said);
      }
    }
  }

  #greet(page: Page): void {
    const before = this.#pages.get(page.port);
    if (before) this.#bye(before);
    this.#pages.set(page.port, page);
    this.#tell(page, this.#state);
    for (const channel of this.#found) this.#find(page, channel);
  }

  get #state(): FromWorker {
    const { state, transport, session } = this.client;
    return { tell: 'state', state, transport, session };
  }

  /** A page gets a channel that it did not ask for. */
  #find(page: Page, channel: string): void {
    this.#tell(page, { tell: 'found', channel });
    this.#place(page, channel, { id: 0, start: {}, isLate: true, held: undefined });
  }

  #subscribe(page: Page, { id, channel, start }: Extract<FromPage, { do: 'subscribe' }>): void {
    const isLate = this.client.subscriptions.has(channel);
    const subscription = this.client.subscribe(channel, start);
    if (!isLate) this.#relay(subscription);
    this.#place(page, channel, { id, start, isLate, held: undefined });
  }

  #place(page: Page, channel: string, place: Place): void {
    page.places.set(channel, place);
    const subscription = this.client.subscriptions.get(channel);
    if (place.isLate && subscription?.state === 'subscribed') void this.#admit(page, place, subscription);
  }

  /** Tells a late page where it begins, and what came before; what happens meanwhile follows. */
  async #admit(page: Page, place: Place, subscription: Subscription): Promise<void> {
    const { channel } = subscription;
    place.isLate = false;
    place.held = [];
    const before = await late(this.client, subscription, place.start);
    const { held } = place;
    place.held = undefined;
    // Should the page have left the channel meanwhile, it knows by the id what this is of.
    const events = held.length > HELD_MAX ? this.#skip(before, subscription) : [...before, ...held];
    for (const event of events) this.#tellPlace(page, channel, place, event);
  }

  /** Too much came while history was read. */
  #skip(before: ChannelEvent[], { channel, position, state }: Subscription): ChannelEvent[] {
    if (!position) return before;
    const gap: ChannelEvent = { on: 'frame', frame: { gap: { channel, position, reason: 'slow_consumer' } } };
    if (state === 'subscribed') return [...before, gap];
    return [...before, gap, { on: state === 'subscribing' ? state : 'ended' }];
  }

  /** Passes on what the worker's own subscription tells. */
  #relay(subscription: Subscription): void {
    const { channel } = subscription;
    let error: WireError | undefined;
    const tell = (event: ChannelEvent) => {
      for (const page of this.#pages.values()) {
        const place = page.places.get(channel);
        if (!place) continue;
        if (event.on === 'ended') page.places.delete(channel);
        if (event.on === 'subscribed' && place.isLate) void this.#admit(page, place, subscription);
        else this.#tellPlace(page, channel, place, event);
      }
    };
    subscription.on('error', (failure) => {
      error = wire(failure);
    });
    subscription.on('state', (state) => {
      if (state === 'subscribing') tell({ on: 'subscribing' });
      if (state !== 'unsubscribed') return;
      this.#found.delete(channel);
      tell({ on: 'ended', error });
    });
    subscription.on('subscribed', (result) => tell({ on: 'subscribed', result }));
    subscription.on('message', (message) => tell({ on: 'frame', frame: { message } }));
    subscription.on('gap', (gap) => tell({ on: 'frame', frame: { gap } }));
    subscription.on('join', (member) => tell({ on: 'frame', frame: { join: { channel, member } } }));
    subscription.on('leave', (member) => tell({ on: 'frame', frame: { leave: { channel, member } } }));
  }

  #unsubscribe(page: Page, channel: string): void {
    if (!page.places.delete(channel)) return;
    if ([...this.#pages.values()].some(({ places }) => places.has(channel))) return;
    this.client.subscriptions.get(channel)?.unsubscribe();
  }

  async #ask(page: Page, { id, verb, body, safe, timeoutMs }: Extract<FromPage, { do: 'ask' }>): Promise<void> {
    try {
      const result = await this.client.ask(verb, body, safe, { timeoutMs });
      this.#tell(page, { tell: 'reply', reply: { id, [verb]: result } });
    } catch (error) {
      this.#tell(page, { tell: 'reply', reply: { id, error: wire(error) } });
    }
  }

  /** Asks one page after the other, the newest first: one that is about to go may not answer. */
  async #askToken(reason: TokenReason): Promise<string> {
    let failure: WireError | undefined;
    for (const page of [...this.#pages.values()].filter(({ hasToken }) => hasToken).reverse()) {
      if (this.#pages.get(page.port) !== page) continue;
      const given = await this.#askPage(page, reason);
      if (given.token !== undefined) return given.token;
      failure = given.error ?? failure;
    }
    throw new SwitchboardError(failure?.code ?? 'token_failed', failure?.message ?? 'no page gave a token', true);
  }

  #askPage(page: Page, reason: TokenReason): Promise<{ token?: string; error?: WireError }> {
    return new Promise((resolve) => {
      const id = ++this.#lastToken;
      const answer: TokenAsked['answer'] = (given) => {
        timer.cancel();
        this.#tokens.delete(id);
        resolve(given);
      };
      const timer = this.#clock.after(TOKEN_MS, () => answer({}));
      this.#tokens.set(id, { page, answer });
      this.#tell(page, { tell: 'token', id, reason });
    });
  }

  #bye(page: Page): void {
    if (this.#pages.get(page.port) !== page) return;
    for (const channel of [...page.places.keys()]) this.#unsubscribe(page, channel);
    this.#pages.delete(page.port);
    for (const asked of [...this.#tokens.values()]) if (asked.page === page) asked.answer({});
    if (this.#pages.size === 0) this.client.disconnect();
  }

  #tellPlace(page: Page, channel: string, place: Place, event: ChannelEvent): void {
    if (!place.held) this.#tell(page, { tell: 'channel', id: place.id, channel, event });
    // What overflows is told as a gap in the end; `held` shows by one too many that it did.
    else if (place.held.length <= HELD_MAX) place.held.push(event);
  }

  #tell(page: Page, said: FromWorker): void {
    page.port.postMessage(said);
  }

  #tellAll(said: FromWorker): void {
    for (const page of this.#pages.values()) this.#tell(page, said);
  }
}

/** Serves the pages of one origin from a SharedWorker: call it at the top of the worker's script. Tokens come from the pages. */
export function serve(url: string | URL, options: SharedHostOptions = {}): void {
  const host = new Host(url, options);
  const scope = globalThis as unknown as { addEventListener(name: 'connect', listener: (event: MessageEvent) => void): void };
  scope.addEventListener('connect', ({ ports: [port] }) => {
    if (port) host.welcome(port);
  });
}

// A page's side: it looks like a client, and its connection is the worker's.

import { Asker, randomId } from '../asker.js';
import { type Clock, realClock } from '../clock.js';
import { SwitchboardError } from '../errors.js';
import { listen } from '../lifecycle.js';
import type { ConnectionState } from '../machine/connection.js';
import type { TransportName } from '../machine/ladder.js';
import type { Start } from '../machine/subscription.js';
import type { Message, Requests, Results, Verb } from '../protocol.js';
import { PendingRequests, type RequestOptions } from '../requests.js';
import { Subscription, type SubscriptionHost } from '../subscription.js';
import type { GetToken } from '../tokens.js';
import { type ChannelEvent, type FromPage, type FromWorker, wire } from './messages.js';

/** What a page's side tells. */
export interface SharedClientEvents {
  state: { state: ConnectionState; transport: TransportName; code?: string; message?: string };
  /** What a service sent to this session or user, past all channels. */
  message: Message;
  /** The server subscribed the session to a channel that was not asked for here. */
  subscription: Subscription;
  /** The worker's client stopped, and not because it was told to. */
  error: SwitchboardError;
}

/** What a page's side is made with. */
export interface SharedClientOptions {
  /** Fetches tokens for the worker, when it asks this page. */
  getToken?: GetToken;
  clock?: Clock;
}

interface Held {
  readonly id: number;
  readonly subscription: Subscription;
}

/** A client whose connection other pages of the origin share. Made of a `SharedWorker` whose script calls `serve`. */
export class SharedClient extends Asker<SharedClientEvents> implements SubscriptionHost {
  readonly #port: Pick<MessagePort, 'postMessage' | 'onmessage' | 'close'>;
  readonly #getToken: GetToken | undefined;
  readonly #held = new Map<string, Held>();
  readonly #requests: PendingRequests;
  readonly #unlisten: () => void;
  #lastId = 0;
  #isAttached = false;
  #isWanted = false;
  #isClosed = false;
  #state: ConnectionState = 'disconnected';
  #transport: TransportName = 'websocket';
  #session: string | undefined;
  #release: () => void = () => {};

  constructor({ port }: Pick<SharedWorker, 'port'>, { getToken, clock = realClock }: SharedClientOptions = {}) {
    super();
    this.#port = port;
    this.#getToken = getToken;
    this.#requests = new PendingRequests(
      clock,
      () => ++this.#lastId,
      ({ id = 0, ...command }, { safe, leftMs }) => {
        const [verb, body] = Object.entries(command)[0] as [Verb, Requests[Verb]];
        if (this.#isAttached) this.#say({ do: 'ask', id, verb, body, safe, timeoutMs: leftMs });
        return this.#isAttached;
      },
    );
    port.onmessage = ({ data }) => this.#hear(data as FromWorker);
    // A page that is frozen or kept for a way back hears nothing: it leaves, and comes back from its positions.
    this.#unlisten = listen({ wake: () => this.#attach(), doubt: () => {}, sleep: () => this.#detach() });
    this.#attach();
  }

  get state(): ConnectionState {
    return this.#state;
  }

  /** The worker's transport in use, or being tried. */
  get transport(): TransportName {
    return this.#transport;
  }

  /** The session that the pages share, as others see it in presence; nothing while there is none. */
  get session(): string | undefined {
    return this.#session;
  }

  /** This page's subscriptions, by channel. */
  get subscriptions(): ReadonlyMap<string, Subscription> {
    return new Map([...this.#held].map(([channel, { subscription }]) => [channel, subscription]));
  }

  /** Connects the worker, should it not be. */
  connect(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    if (this.#isAttached) this.#say({ do: 'connect' });
  }

  /** Leaves the worker, for good. Its connection ends with its last page. */
  close(): void {
    if (this.#isClosed) return;
    this.#detach();
    this.#isClosed = true;
    this.#unlisten();
    for (const { subscription } of [...this.#held.values()]) this.#end(subscription);
    this.#requests.fail(new SwitchboardError('disconnected', 'the client was closed'));
    this.#port.close();
    this.#tellState({ state: 'disconnected', transport: this.#transport });
  }

  /** The subscription of a channel: a new one, or the one that this page has. Connects where need be. */
  subscribe<Data = unknown>(channel: string, start?: Start): Subscription<Data> {
    if (this.#isClosed) throw new SwitchboardError('disconnected', 'the client was closed: make another');
    const subscription = this.#held.get(channel)?.subscription ?? this.#hold(channel, start);
    this.connect();
    return subscription as Subscription<unknown> as Subscription<Data>;
  }

  /** @internal */
  override ask<V extends Verb>(verb: V, body: Requests[V], safe: boolean, options?: RequestOptions): Promise<Results[V]> {
    if (this.#isClosed) return Promise.reject(new SwitchboardError('disconnected', 'the client was closed'));
    return this.#requests.ask(verb, body, safe, options);
  }

  /** @internal */
  leave(subscription: Subscription): void {
    if (this.#held.get(subscription.channel)?.subscription !== subscription) return;
    if (this.#isAttached) this.#say({ do: 'unsubscribe', channel: subscription.channel });
    this.#end(subscription);
  }

  #attach(): void {
    if (this.#isAttached || this.#isClosed) return;
    this.#isAttached = true;
    this.#say({ do: 'hello', hasToken: this.#getToken !== undefined });
    this.#holdLock();
    if (this.#isWanted) this.#say({ do: 'connect' });
    for (const { subscription } of [...this.#held.values()]) this.#place(subscription);
    this.#requests.opened();
  }

  #detach(): void {
    if (!this.#isAttached) return;
    this.#say({ do: 'bye' });
    this.#isAttached = false;
    this.#release();
    for (const { subscription } of this.#held.values()) {
      subscription.machine.lost();
      subscription.tell();
    }
    this.#requests.lost();
    if (this.#state === 'connected')
      this.#tellState({ state: 'connecting', transport: this.#transport, code: 'asleep', message: 'the page sleeps' });
  }

  /** What tells the worker that this page is gone when it can say so no more. Only pages that are served securely have locks. */
  #holdLock(): void {
    const lock = `switchboard-${randomId()}`;
    let isReleased = false;
    this.#release = () => {
      isReleased = true;
    };
    void globalThis.navigator?.locks?.request(lock, () => {
      if (isReleased) return;
      this.#say({ do: 'lock', lock });
      return new Promise<void>((resolve) => {
        this.#release = resolve;
      });
    });
  }

  #hold(channel: string, start?: Start): Subscription {
    const subscription = new Subscription(this, channel, start);
    this.#place(subscription);
    return subscription;
  }

  /** Asks the worker for a channel, from where this page is in it. */
  #place(subscription: Subscription): void {
    const id = ++this.#lastId;
    const { channel, ...start } = subscription.machine.ask();
    this.#held.set(channel, { id, subscription });
    if (this.#isAttached) this.#say({ do: 'subscribe', id, channel, start });
    subscription.tell();
  }

  #end(subscription: Subscription): void {
    this.#held.delete(subscription.channel);
    subscription.machine.end();
    subscription.tell();
  }

  #hear(said: FromWorker): void {
    switch (said.tell) {
      case 'state': {
        const { tell: _, session, ...state } = said;
        if (!this.#isAttached) break;
        this.#session = session;
        this.#tellState(state);
        break;
      }
      case 'message':
        this.emit('message', said.message);
        break;
      case 'found':
        this.#find(said.channel);
        break;
      case 'channel': {
        const held = this.#held.get(said.channel);
        if (held?.id === said.id) this.#hearChannel(held.subscription, said.event);
        break;
      }
      case 'reply':
        this.#requests.answer(said.reply);
        break;
      case 'token':
        void this.#giveToken(said.id, said.reason);
    }
  }

  #tellState(told: SharedClientEvents['state']): void {
    const { state, transport, code, message } = told;
    const isNews = state !== this.#state || transport !== this.#transport || code !== undefined;
    this.#state = state;
    this.#transport = transport;
    if (state !== 'connected') this.#session = undefined;
    // It stopped for good: only `connect` or `subscribe` begins anew.
    if (state === 'disconnected' && code !== undefined) this.#isWanted = false;
    if (isNews) this.emit('state', told);
    if (state === 'disconnected' && code !== undefined) this.emit('error', new SwitchboardError(code, message ?? code));
  }

  #find(channel: string): void {
    if (this.#held.has(channel) || !this.#isAttached) return;
    const subscription = new Subscription(this, channel);
    subscription.machine.ask();
    this.#held.set(channel, { id: 0, subscription });
    subscription.tell();
    this.emit('subscription', subscription);
  }

  #hearChannel(subscription: Subscription, event: ChannelEvent): void {
    switch (event.on) {
      case 'subscribing':
        subscription.machine.lost();
        subscription.tell();
        break;
      case 'subscribed':
        subscription.begin(event.result);
        break;
      case 'frame':
        subscription.take(event.frame);
        break;
      case 'ended':
        if (event.error) subscription.emit('error', SwitchboardError.of(event.error));
        this.#end(subscription);
    }
  }

  async #giveToken(id: number, reason: Parameters<GetToken>[0]): Promise<void> {
    try {
      this.#say({ do: 'token', id, token: await this.#getToken?.(reason) });
    } catch (error) {
      this.#say({ do: 'token', id, error: { ...wire(error), ...((error as { code?: unknown }).code ? {} : { code: 'token_failed' }) } });
    }
  }

  #say(said: FromPage): void {
    this.#port.postMessage(said);
  }
}

// A page's side: it looks like a client, and its connection is the worker's.

import { Emitter } from '../emitter.js';
import { SwitchboardError } from '../errors.js';
import type { ConnectionState } from '../machine/connection.js';
import type { TransportName } from '../machine/ladder.js';
import type { Start } from '../machine/subscription.js';
import type { HistoryResult, Message, Position, PresenceResult } from '../protocol.js';
import type { RequestOptions } from '../requests.js';
import {
  type HistoryOptions,
  type PresenceOptions,
  type PublishOptions,
  Subscription,
  type SubscriptionEvents,
  type SubscriptionHost,
} from '../subscription.js';
import type { GetToken } from '../tokens.js';
import type { FromPage, FromWorker, SharedError, SharedVerb } from './messages.js';

/** What a page tells its listeners. */
export interface SharedClientEvents {
  state: { state: ConnectionState; transport: TransportName; code?: string; message?: string };
  /** What a service sent to this session or user, past all channels. */
  message: Message;
}

/** What a page's side is made with. */
export interface SharedClientOptions {
  /** Fetches tokens for the worker, when it asks this page. */
  getToken?: GetToken;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: SwitchboardError): void;
}

const asError = ({ code, message, retryable, retryAfter }: SharedError) => new SwitchboardError(code, message, retryable, retryAfter);

/** A client whose connection other pages of the origin share. Made of a `SharedWorker` whose script calls `serve`. */
export class SharedClient extends Emitter<SharedClientEvents> implements SubscriptionHost {
  readonly #port: MessagePort;
  readonly #getToken: GetToken | undefined;
  readonly #subscriptions = new Map<string, Subscription>();
  readonly #waiting = new Map<number, Waiting>();
  #lastId = 0;
  #state: ConnectionState = 'disconnected';
  #transport: TransportName = 'websocket';
  #release: () => void = () => {};

  constructor({ port }: Pick<SharedWorker, 'port'>, { getToken }: SharedClientOptions = {}) {
    super();
    this.#port = port;
    this.#getToken = getToken;
    port.onmessage = ({ data }) => this.#hear(data as FromWorker);
    const lock = `switchboard-${crypto.getRandomValues(new Uint32Array(4)).join('-')}`;
    const hello = () => this.#say({ do: 'hello', lock, hasToken: getToken !== undefined });
    if (typeof navigator === 'undefined' || !navigator.locks) hello();
    else {
      void navigator.locks.request(lock, () => {
        hello();
        return new Promise<void>((resolve) => {
          this.#release = resolve;
        });
      });
    }
  }

  get state(): ConnectionState {
    return this.#state;
  }

  get transport(): TransportName {
    return this.#transport;
  }

  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.#subscriptions;
  }

  connect(): void {
    this.#say({ do: 'connect' });
  }

  /** Leaves the worker; its connection ends with its last page. */
  close(): void {
    this.#say({ do: 'bye' });
    this.#release();
    for (const subscription of [...this.#subscriptions.values()]) this.#end(subscription);
    for (const { reject } of this.#waiting.values()) reject(new SwitchboardError('disconnected', 'the client was closed'));
    this.#waiting.clear();
  }

  subscribe<Data = unknown>(channel: string, start?: Start): Subscription<Data> {
    let subscription = this.#subscriptions.get(channel);
    if (!subscription) {
      subscription = new Subscription(this, channel, start);
      subscription.machine.state = 'subscribing';
      this.#subscriptions.set(channel, subscription);
      this.#say({ do: 'subscribe', channel, start });
    }
    return subscription as Subscription<unknown> as Subscription<Data>;
  }

  publish(channel: string, data: unknown, options: PublishOptions = {}): Promise<{ position?: Position }> {
    return this.#ask('publish', [channel, data], options);
  }

  presence<Info = unknown>(channel: string, options: PresenceOptions = {}): Promise<PresenceResult<Info>> {
    return this.#ask('presence', [channel], options);
  }

  history<Data = unknown>(channel: string, options: HistoryOptions = {}): Promise<HistoryResult<Data>> {
    return this.#ask('history', [channel], options);
  }

  call<Answer = unknown>(method: string, data?: unknown, options: RequestOptions = {}): Promise<Answer> {
    return this.#ask('call', [method, data], options);
  }

  ping(options: RequestOptions = {}): Promise<number> {
    return this.#ask('ping', [], options);
  }

  /** @internal */
  leave(subscription: Subscription): void {
    if (this.#subscriptions.get(subscription.channel) !== subscription) return;
    this.#say({ do: 'unsubscribe', channel: subscription.channel });
    this.#end(subscription);
  }

  #end(subscription: Subscription): void {
    this.#subscriptions.delete(subscription.channel);
    subscription.machine.end();
    subscription.tell();
  }

  #ask<T>(verb: SharedVerb, args: unknown[], { signal, ...options }: RequestOptions): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const id = ++this.#lastId;
      if (signal?.aborted) return reject(new SwitchboardError('aborted', `${verb}: aborted`));
      const onAbort = () => this.#say({ do: 'abort', id });
      signal?.addEventListener('abort', onAbort, { once: true });
      const done = () => signal?.removeEventListener('abort', onAbort);
      this.#waiting.set(id, {
        resolve: (value) => {
          done();
          resolve(value as T);
        },
        reject: (error) => {
          done();
          reject(error);
        },
      });
      this.#say({ do: 'ask', id, verb, args: [...args, options] });
    });
  }

  #hear(said: FromWorker): void {
    switch (said.tell) {
      case 'state': {
        const { tell: _, ...state } = said;
        this.#state = state.state;
        this.#transport = state.transport;
        this.emit('state', state);
        break;
      }
      case 'message':
        this.emit('message', said.value as Message);
        break;
      case 'channel':
        this.#hearChannel(said);
        break;
      case 'answer': {
        const waiting = this.#waiting.get(said.id);
        this.#waiting.delete(said.id);
        if (said.error) waiting?.reject(asError(said.error));
        else waiting?.resolve(said.value);
        break;
      }
      case 'token':
        void this.#giveToken(said.id, said.reason);
    }
  }

  #hearChannel({ channel, name, value, standing }: Extract<FromWorker, { tell: 'channel' }>): void {
    const subscription = this.#subscriptions.get(channel);
    if (!subscription) return;
    Object.assign(subscription.machine, standing);
    if (name === 'state' || name === 'subscribed') subscription.tell();
    if (name === 'error') subscription.emit('error', asError(value as SharedError));
    else if (name !== 'state') subscription.emit(name as keyof SubscriptionEvents<unknown>, value as never);
    if (standing.state === 'unsubscribed') this.#end(subscription);
  }

  async #giveToken(id: number, reason: Parameters<GetToken>[0]): Promise<void> {
    try {
      const token = await this.#getToken?.(reason);
      this.#say(token === undefined ? { do: 'token', id } : { do: 'token', id, token });
    } catch (error) {
      const { code = 'token_failed', message = String(error) } = error as Partial<SwitchboardError>;
      this.#say({ do: 'token', id, error: { code, message, retryable: true, retryAfter: 0 } });
    }
  }

  #say(said: FromPage): void {
    this.#port.postMessage(said);
  }
}

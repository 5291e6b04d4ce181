// The client: it carries out what its machines say, and hands frames to whom they concern.

import { Asker } from './asker.js';
import { type Clock, realClock, type Timer } from './clock.js';
import { type Codec, json, writeCommand } from './codec.js';
import { SwitchboardError } from './errors.js';
import { listen } from './lifecycle.js';
import { ConnectionMachine, type ConnectionState, type Effect, type Input, type Timing } from './machine/connection.js';
import type { TransportName } from './machine/ladder.js';
import type { Start } from './machine/subscription.js';
import type { Command, Frame, Message, Open, Requests, Results, Verb } from './protocol.js';
import { PendingRequests, type RequestOptions } from './requests.js';
import { Session } from './session.js';
import type { Subscription, SubscriptionHost } from './subscription.js';
import { type GetToken, isFinal, Tokens } from './tokens.js';
import type { Link, LinkOptions, OpenLink, WebSocketConstructor } from './transport/link.js';
import { openPoll } from './transport/poll.js';
import { openSse } from './transport/sse.js';
import { openWebSocket } from './transport/websocket.js';

/** What a client is made with. All but the address has a default. */
export interface ClientOptions {
  /** A token for good. */
  token?: string;
  /** Fetches tokens: at the first connection, before the present one ends, and when one was refused. */
  getToken?: GetToken;
  /** Transports in order of preference. Default: `['websocket', 'sse', 'poll']`. */
  transports?: readonly TransportName[];
  /** Whether cookies go along to another origin. Default: false. */
  withCredentials?: boolean;
  /** A sign of life is asked for at this interval, in milliseconds, at least 1,000. Default 20,000. */
  heartbeatMs?: number;
  /** How long a poll may wait, in milliseconds. Default 25,000. */
  pollWaitMs?: number;
  /** How long a POST of commands may take. Default 10,000. */
  requestMs?: number;
  timing?: Timing;
  /** The WebSocket format: `protobuf` of `@switchboard/client/protobuf`, or JSON. */
  codec?: Codec;
  /** For where there is none, such as Node 20: the package `ws`. Default: `globalThis.WebSocket`. */
  WebSocket?: WebSocketConstructor;
  fetch?: typeof fetch;
  clock?: Clock;
}

/** What a client tells. */
export interface ClientEvents {
  state: { state: ConnectionState; transport: TransportName; code?: string; message?: string };
  /** A session began. */
  open: Open;
  /** It moved to another transport or node without a break. */
  moved: { transport: TransportName };
  /** What a service sent to this session or user, past all channels. */
  message: Message;
  /** The server subscribed this session to a channel that was not asked for here. */
  subscription: Subscription;
  /** The client stopped, and not because it was told to. */
  error: SwitchboardError;
}

const OPENERS: Record<TransportName, OpenLink> = { websocket: openWebSocket, sse: openSse, poll: openPoll };
/** A token is renewed when this part of its time has passed. */
const RENEW_AT = 0.75;
const RENEW_AGAIN_MS = 5000;

/** A connection to a hub, with its subscriptions. */
export class Client extends Asker<ClientEvents> implements SubscriptionHost {
  readonly #clock: Clock;
  readonly #machine: ConnectionMachine;
  readonly #tokens: Tokens;
  readonly #requests: PendingRequests;
  readonly #session: Session;
  readonly #linkOptions: Omit<LinkOptions, 'token'>;
  #token: string | undefined;
  #link: Link | undefined;
  #candidate: Link | undefined;
  #open: Open | undefined;
  #timer: Timer | undefined;
  #renewal: Timer | undefined;
  #isRenewing = false;
  #lastId = 0;
  #unlisten: (() => void) | undefined;

  constructor(url: string | URL, options: ClientOptions = {}) {
    super();
    const { heartbeatMs = 20_000, pollWaitMs = 25_000, requestMs = 10_000 } = options;
    if (!(heartbeatMs >= 1000)) throw new RangeError('`heartbeatMs` is at least 1000');
    this.#clock = options.clock ?? realClock;
    this.#machine = new ConnectionMachine(options.transports ?? ['websocket', 'sse', 'poll'], options.timing ?? {}, this.#clock.random);
    this.#tokens = new Tokens(options.token, options.getToken);
    const nextId = () => ++this.#lastId;
    const send = (commands: Parameters<Link['send']>[0]) => this.#link?.send(commands);
    this.#session = new Session(this.#clock, nextId, send, this, {
      found: (subscription) => this.emit('subscription', subscription),
      stuck: (message) => this.#lost({ on: 'lost', loss: { why: 'broken', message } }),
      timeoutMs: options.timing?.openMs ?? 8000,
    });
    this.#requests = new PendingRequests(this.#clock, nextId, (command) => {
      if (this.state !== 'connected') return false;
      const max = this.#open?.limits?.command_bytes_max ?? Number.POSITIVE_INFINITY;
      // The hub would close a socket for it, and that for good: the command would fail again.
      if (isLonger(command, max)) queueMicrotask(() => this.#requests.answer({ id: command.id ?? 0, error: tooLong(max) }));
      else send([command]);
      return true;
    });
    this.#linkOptions = {
      base: String(url).replace(/^ws/, 'http'),
      heartbeatS: heartbeatMs / 1000,
      pollWaitS: pollWaitMs / 1000,
      requestMs,
      withCredentials: options.withCredentials ?? false,
      codec: options.codec ?? json,
      // A window's own must be called on the window.
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      WebSocket: options.WebSocket ?? (globalThis.WebSocket as WebSocketConstructor | undefined),
    };
  }

  get state(): ConnectionState {
    return this.#machine.state;
  }

  /** The transport in use, or being tried. */
  get transport(): TransportName {
    return this.#machine.transport;
  }

  /** This session as others see it in presence; nothing while there is none. */
  get session(): string | undefined {
    return this.state === 'connected' ? this.#open?.session : undefined;
  }

  /** All subscriptions, by channel. */
  get subscriptions(): ReadonlyMap<string, Subscription> {
    return this.#session.subscriptions;
  }

  /** Connects, and stays so until `disconnect`. */
  connect(): void {
    this.#unlisten ??= listen({
      wake: () => this.#handle({ on: 'wake' }),
      doubt: () => this.#handle({ on: 'doubt' }),
      sleep: () => this.#handle({ on: 'sleep' }),
    });
    this.#handle({ on: 'connect' });
  }

  /** Disconnects. Subscriptions stay, and go on where they were at the next `connect`; what was asked fails. */
  disconnect(): void {
    this.#handle({ on: 'disconnect' });
  }

  /** The subscription of a channel: a new one, or the one that there is. Connects where need be. */
  subscribe<Data = unknown>(channel: string, start?: Start): Subscription<Data> {
    const subscription = this.#session.subscribe(channel, start);
    this.connect();
    return subscription as Subscription<unknown> as Subscription<Data>;
  }

  /** @internal */
  override ask<V extends Verb>(verb: V, body: Requests[V], safe: boolean, options?: RequestOptions): Promise<Results[V]> {
    return this.#requests.ask(verb, body, safe, options);
  }

  /** @internal */
  leave(subscription: Subscription): void {
    this.#session.leave(subscription);
  }

  #handle(input: Input): void {
    const effects = this.#machine.handle(input, this.#clock.now());
    for (const effect of effects) this.#carryOut(effect);
    this.#timer?.cancel();
    const { deadline } = this.#machine;
    if (deadline === undefined) this.#timer = undefined;
    else this.#timer = this.#clock.after(Math.max(0, deadline - this.#clock.now()), () => this.#handle({ on: 'timer' }));
  }

  #carryOut(effect: Effect): void {
    switch (effect.do) {
      case 'token':
        void this.#fetchToken(effect.fresh);
        break;
      case 'open':
        this.#openLink(effect.transport, effect.candidate);
        break;
      case 'drop':
        if (effect.candidate) this.#candidate?.close();
        else this.#link?.close();
        if (effect.candidate) this.#candidate = undefined;
        else this.#link = undefined;
        break;
      case 'switch': {
        const old = this.#link;
        this.#link = this.#candidate;
        this.#candidate = undefined;
        this.#requests.lost();
        old?.close();
        this.emit('moved', { transport: effect.transport });
        break;
      }
      case 'ping':
        this.#link?.send([{ id: ++this.#lastId, ping: {} }]);
        break;
      case 'state':
        this.#tellState(effect);
    }
  }

  #tellState({ state, code, message }: Extract<Effect, { do: 'state' }>): void {
    if (state !== 'connected') {
      this.#renewal?.cancel();
      this.#session.lost();
      this.#requests.lost();
    }
    const told = code === undefined ? {} : { code, message: message ?? code };
    if (state === 'disconnected') {
      this.#unlisten?.();
      this.#unlisten = undefined;
      const error = new SwitchboardError(code ?? 'disconnected', message ?? 'the client was disconnected');
      this.#requests.fail(error);
      this.emit('state', { state, transport: this.transport, ...told });
      if (code !== undefined) this.emit('error', error);
    } else this.emit('state', { state, transport: this.transport, ...told });
  }

  async #fetchToken(fresh: boolean): Promise<void> {
    try {
      this.#token = await this.#tokens.forOpening(fresh, this.#clock.now());
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      return this.#handle({ on: 'tokenFailed', stop: isFinal(error), message });
    }
    this.#handle({ on: 'token' });
  }

  #openLink(transport: TransportName, candidate: boolean): void {
    const isMine = () => link === (candidate && this.#link !== link ? this.#candidate : this.#link);
    const isCurrent = () => link === this.#link;
    const link = OPENERS[transport](
      { ...this.#linkOptions, token: this.#token },
      {
        heard: () => {
          if (isCurrent()) this.#handle({ on: 'heard' });
        },
        frame: (frame) => {
          if (!isMine()) return;
          if (frame.open) this.#opened(frame.open, transport, !isCurrent());
          else if (isCurrent()) this.#take(frame);
        },
        lost: (loss) => {
          if (isCurrent()) this.#lost({ on: 'lost', loss });
          else if (link === this.#candidate) {
            this.#candidate = undefined;
            this.#handle({ on: 'candidateLost' });
          }
        },
      },
    );
    if (candidate) this.#candidate = link;
    else this.#link = link;
  }

  #lost(input: Extract<Input, { on: 'lost' }>): void {
    this.#link?.close();
    this.#link = undefined;
    this.#handle(input);
  }

  #opened(open: Open, transport: TransportName, candidate: boolean): void {
    this.#open = open;
    // Twice the interval of what can be seen from here: the hub's pings are hidden from scripts, heartbeats are not.
    const silenceMs = 2 * this.#linkOptions.heartbeatS * 1000;
    const poll = transport === 'poll' ? this.#linkOptions.pollWaitS * 1000 : 0;
    this.#handle({ on: candidate ? 'candidateOpened' : 'opened', open, silenceMs: silenceMs + poll });
    this.#planRenewal(open.expires_at, open.time);
    this.emit('open', open);
    this.#session.opened();
    this.#requests.opened();
  }

  #take(frame: Frame): void {
    const { reply, message, expiring, draining } = frame;
    if (reply) {
      if (!this.#requests.answer(reply)) this.#session.answer(reply);
    } else if (message && message.channel === undefined) this.emit('message', message);
    else if (expiring) void this.#renew();
    else if (draining) this.#handle({ on: 'draining', after: draining.reconnect_after ?? 0 });
    else this.#session.take(frame);
  }

  #planRenewal(expiresAt: number | undefined, hubTime: number): void {
    this.#renewal?.cancel();
    if (!expiresAt) return;
    const left = Math.max(0, expiresAt - hubTime);
    this.#tokens.endsAt = this.#clock.now() + left;
    if (this.#tokens.canRenew) this.#renewal = this.#clock.after(left * RENEW_AT, () => void this.#renew());
  }

  /** Brings the hub a new token before the present one ends. */
  async #renew(): Promise<void> {
    if (this.#isRenewing || !this.#tokens.canRenew) return;
    this.#isRenewing = true;
    this.#renewal?.cancel();
    try {
      this.#token = await this.#tokens.renew('expiring');
      const { expires_at } = await this.#requests.ask('refresh', { token: this.#token }, false);
      const time = await this.ping();
      this.#planRenewal(expires_at, time);
    } catch {
      // Until it ends there is time to try again; after that the hub closes with 4100, and the next connection asks anew.
      if (this.state === 'connected') this.#renewal = this.#clock.after(RENEW_AGAIN_MS, () => void this.#renew());
    } finally {
      this.#isRenewing = false;
    }
  }
}

/** Whether a command has more bytes; exactly where it is near. */
function isLonger(command: Command, bytesMax: number): boolean {
  const text = writeCommand(command);
  return text.length * 3 > bytesMax && new TextEncoder().encode(text).length > bytesMax;
}

const tooLong = (max: number) => ({ code: 'payload_too_large', message: `a command has ${max} bytes at most here` });

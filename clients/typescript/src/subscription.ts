// A subscription as the application holds it. It outlives connections.

import { Emitter, type IterateOptions, iterate } from './emitter.js';
import { SwitchboardError } from './errors.js';
import { type Start, SubscriptionMachine, type SubscriptionState } from './machine/subscription.js';
import type { Frame, Gap, HistoryResult, Member, Message, Policy, Position, PresenceResult, SubscribeResult } from './protocol.js';
import type { RequestOptions } from './requests.js';

/** What a subscription tells. */
export interface SubscriptionEvents<Data> {
  message: Message<Data>;
  /** Something may have been missed: reload what the channel describes, then go on. */
  gap: Gap;
  join: Member;
  leave: Member;
  state: SubscriptionState;
  /** It began, for the first time or again; `recovered`: nothing was missed since the last time. */
  subscribed: SubscribeResult;
  /** It ended, and not by this client. */
  error: SwitchboardError;
}

/** Anything of a subscription, for one loop over all of it. */
export type SubscriptionEvent<Data> =
  | { kind: 'message'; message: Message<Data> }
  | { kind: 'gap'; gap: Gap }
  | { kind: 'join' | 'leave'; member: Member };

/** What a subscription needs of its client. */
export interface SubscriptionHost {
  /** @internal */
  leave(subscription: Subscription): void;
  publish(channel: string, data: unknown, options?: PublishOptions): Promise<{ position?: Position }>;
  presence<Info>(channel: string, options?: PresenceOptions): Promise<PresenceResult<Info>>;
  history<Data>(channel: string, options?: HistoryOptions): Promise<HistoryResult<Data>>;
  ack(channel: string, offset: number, options?: RequestOptions): Promise<void>;
}

/** Options of a publish. */
export interface PublishOptions extends RequestOptions {
  /** Idempotency id: the same one publishes once. By default a random one, so that a retry is safe. */
  id?: string;
}

/** Options of a presence query. */
export interface PresenceOptions extends RequestOptions {
  /** Members at most; 0: the counts alone. */
  limit?: number;
  /** The `next_page` of the page before. */
  page?: string;
}

/** Options of a history query. */
export interface HistoryOptions extends RequestOptions {
  position?: Position;
  limit?: number;
  reverse?: boolean;
}

/** One channel. `for await (const message of subscription)` reads its publications. */
export class Subscription<Data = unknown> extends Emitter<SubscriptionEvents<Data>> {
  /** @internal */
  readonly machine: SubscriptionMachine;
  #host: SubscriptionHost;
  #told: SubscriptionState = 'unsubscribed';

  /** @internal */
  constructor(
    host: SubscriptionHost,
    readonly channel: string,
    start?: Start,
  ) {
    super();
    this.#host = host;
    this.machine = new SubscriptionMachine(channel, start);
  }

  get state(): SubscriptionState {
    return this.machine.state;
  }

  /** The last place seen. Keep it to begin there at another time. */
  get position(): Position | undefined {
    return this.machine.position;
  }

  get policy(): Policy {
    return this.machine.policy;
  }

  /** Ends it. */
  unsubscribe(): void {
    this.#host.leave(this as Subscription);
  }

  /** Resolves once it is subscribed; fails when it is refused. */
  ready({ timeoutMs, signal }: RequestOptions = {}): Promise<void> {
    if (this.state === 'subscribed') return Promise.resolve();
    return new Promise((resolve, reject) => {
      const signals = [...(signal ? [signal] : []), ...(timeoutMs === undefined ? [] : [AbortSignal.timeout(timeoutMs)])];
      const either = AbortSignal.any(signals);
      const end = (error?: unknown) => {
        offs.forEach((off) => {
          off();
        });
        either.removeEventListener('abort', onAbort);
        if (error === undefined) resolve();
        else reject(error);
      };
      const onAbort = () => {
        const code = signal?.aborted ? 'aborted' : 'timeout';
        end(new SwitchboardError(code, `${this.channel} is not subscribed: ${code}`, true));
      };
      const offs = [
        this.on('subscribed', () => end()),
        this.on('error', (error) => end(error)),
        this.on('state', (state) => {
          if (state === 'unsubscribed') end(new SwitchboardError('closed', `${this.channel} was unsubscribed`));
        }),
      ];
      either.addEventListener('abort', onAbort);
      if (either.aborted) onAbort();
    });
  }

  publish(data: Data, options?: PublishOptions): Promise<{ position?: Position }> {
    return this.#host.publish(this.channel, data, options);
  }

  presence<Info = unknown>(options?: PresenceOptions): Promise<PresenceResult<Info>> {
    return this.#host.presence(this.channel, options);
  }

  history(options?: HistoryOptions): Promise<HistoryResult<Data>> {
    return this.#host.history(this.channel, options);
  }

  /** In a durable channel: everything up to this offset is done with, by default up to the last that came, and does not come again. */
  ack(offset: number = this.position?.offset ?? 0, options?: RequestOptions): Promise<void> {
    return this.#host.ack(this.channel, offset, options);
  }

  /** Publications alone. Gaps are told by `events()` and `on('gap')`. */
  messages(options?: IterateOptions): AsyncIterableIterator<Message<Data>> {
    return iterate((push, end) => this.#until(end, [this.on('message', push)]), options);
  }

  /** Publications, gaps, joins and leaves in their order. */
  events(options?: IterateOptions): AsyncIterableIterator<SubscriptionEvent<Data>> {
    return iterate((push, end) => {
      return this.#until(end, [
        this.on('message', (message) => push({ kind: 'message', message })),
        this.on('gap', (gap) => push({ kind: 'gap', gap })),
        this.on('join', (member) => push({ kind: 'join', member })),
        this.on('leave', (member) => push({ kind: 'leave', member })),
      ]);
    }, options);
  }

  [Symbol.asyncIterator](): AsyncIterableIterator<Message<Data>> {
    return this.messages();
  }

  /** @internal Takes in a frame of its channel. */
  take(frame: Frame): void {
    const { message, gap, join, leave } = frame;
    if (message) {
      const judgement = this.machine.message(message);
      if (!judgement.deliver) return;
      if (judgement.gap) this.emit('gap', judgement.gap);
      this.emit('message', message as Message<Data>);
    } else if (gap && this.machine.gap(gap)) this.emit('gap', gap);
    else if (join) this.emit('join', join.member);
    else if (leave) this.emit('leave', leave.member);
  }

  /** @internal The session has it. */
  begin(result: SubscribeResult): void {
    if (!this.machine.begin(result)) return;
    this.tell();
    this.emit('subscribed', result);
  }

  /** @internal Tells a change of state. */
  tell(): void {
    if (this.#told === this.state) return;
    this.#told = this.state;
    this.emit('state', this.#told);
  }

  #until(end: (error?: unknown) => void, offs: (() => void)[]): () => void {
    const ends = this.on('state', (state) => {
      if (state === 'unsubscribed') end();
    });
    const fails = this.on('error', end);
    return () => {
      for (const off of [...offs, ends, fails]) off();
    };
  }
}

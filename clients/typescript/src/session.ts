// The subscriptions of a client, and what the present session was asked of them.

import type { Clock, Timer } from './clock.js';
import { SwitchboardError } from './errors.js';
import { backoff } from './machine/backoff.js';
import type { Start } from './machine/subscription.js';
import type { Command, Frame, Reply } from './protocol.js';
import { Subscription, type SubscriptionHost } from './subscription.js';

/** Whom it tells. */
export interface SessionEvents {
  /** The server subscribed a channel that nobody here had asked for. */
  found(subscription: Subscription): void;
  /** A subscribe was not answered in time: the session is of no use. */
  stuck(message: string): void;
  timeoutMs: number;
}

/** Subscriptions across sessions. */
export class Session {
  readonly subscriptions = new Map<string, Subscription>();
  /** What was asked of the present session and is not answered, by id. */
  readonly #asked = new Map<number, Subscription>();
  /** Channels of which the server's hand began elsewhere, asked anew once a session. */
  readonly #askedAnew = new Set<string>();
  #isOpen = false;
  #attempt = 0;
  #deadline: Timer | undefined;

  constructor(
    private readonly clock: Clock,
    private readonly nextId: () => number,
    private readonly send: (commands: Command[]) => void,
    private readonly host: SubscriptionHost,
    private readonly events: SessionEvents,
  ) {}

  subscribe(channel: string, start?: Start): Subscription {
    const known = this.subscriptions.get(channel);
    if (known) return known;
    const subscription = new Subscription(this.host, channel, start);
    this.subscriptions.set(channel, subscription);
    if (this.#isOpen) this.#ask([subscription]);
    else {
      subscription.machine.state = 'subscribing';
      subscription.tell();
    }
    return subscription;
  }

  leave(subscription: Subscription): void {
    if (this.subscriptions.get(subscription.channel) !== subscription) return;
    if (this.#isOpen) this.send([{ id: this.nextId(), unsubscribe: { channel: subscription.channel } }]);
    this.#end(subscription);
  }

  /** A session stands: it is asked for all channels, each from where it was. */
  opened(): void {
    this.#isOpen = true;
    this.#forget();
    for (const subscription of this.subscriptions.values()) subscription.machine.lost();
    this.#ask([...this.subscriptions.values()]);
  }

  /** The session is gone. */
  lost(): void {
    this.#isOpen = false;
    this.#forget();
    for (const subscription of this.subscriptions.values()) {
      subscription.machine.lost();
      subscription.tell();
    }
  }

  /** A reply that no request awaits. */
  answer(reply: Reply): void {
    const subscription = this.#asked.get(reply.id);
    if (!subscription) return;
    const { error } = reply;
    // The session has it, by the server's hand or by a POST whose answer was late: `subscribed` says from where.
    if (error?.code === 'already_subscribed') return;
    this.#answered(subscription);
    if (reply.subscribe) {
      this.#attempt = 0;
      subscription.begin(reply.subscribe);
    } else if (error?.retryable) {
      const wait = error.retry_after || backoff(this.#attempt++, this.clock.random());
      this.clock.after(wait, () => {
        if (this.#isOpen && subscription.state === 'subscribing') this.#ask([subscription]);
      });
    } else this.#fail(subscription, SwitchboardError.of(error ?? { code: 'internal', message: 'a reply without a result' }));
  }

  /** A frame of some channel. */
  take(frame: Frame): void {
    const { subscribed, unsubscribed } = frame;
    if (subscribed) this.#subscribed(subscribed);
    const channel = (frame.message ?? frame.gap ?? frame.join ?? frame.leave ?? unsubscribed)?.channel;
    const subscription = channel === undefined ? undefined : this.subscriptions.get(channel);
    if (!subscription) return;
    if (!unsubscribed) subscription.take(frame);
    else if (unsubscribed.resubscribe) {
      subscription.machine.lost();
      subscription.tell();
      this.#ask([subscription]);
    } else this.#fail(subscription, new SwitchboardError('closed', unsubscribed.reason || 'the server unsubscribed it'));
  }

  #subscribed(result: NonNullable<Frame['subscribed']>): void {
    const { channel } = result;
    const known = this.subscriptions.get(channel);
    const subscription = known ?? new Subscription(this.host, channel);
    if (!known) {
      this.subscriptions.set(channel, subscription);
      subscription.machine.state = 'subscribing';
      this.events.found(subscription);
    }
    if (subscription.machine.mustAskAnew(result) && subscription.state === 'subscribing' && !this.#askedAnew.has(channel)) {
      // The server began this channel by itself, with what is published from now on. What was missed has to be asked for.
      this.#askedAnew.add(channel);
      this.#answered(subscription);
      this.send([{ id: this.nextId(), unsubscribe: { channel } }]);
      this.#ask([subscription]);
      return;
    }
    this.#answered(subscription);
    subscription.begin(result);
  }

  #ask(subscriptions: Subscription[]): void {
    const commands = subscriptions.map((subscription): Command => {
      const id = this.nextId();
      this.#asked.set(id, subscription);
      return { id, subscribe: subscription.machine.ask() };
    });
    if (commands.length === 0) return;
    this.send(commands);
    for (const subscription of subscriptions) subscription.tell();
    this.#deadline?.cancel();
    this.#deadline = this.clock.after(this.events.timeoutMs, () => {
      const [waiting] = this.#asked.values();
      if (waiting) this.events.stuck(`subscribing ${waiting.channel} was not answered`);
    });
  }

  #answered(subscription: Subscription): void {
    for (const [id, asked] of this.#asked) if (asked === subscription) this.#asked.delete(id);
  }

  #forget(): void {
    this.#deadline?.cancel();
    this.#asked.clear();
    this.#askedAnew.clear();
  }

  #end(subscription: Subscription): void {
    this.#answered(subscription);
    this.subscriptions.delete(subscription.channel);
    subscription.machine.end();
    subscription.tell();
  }

  #fail(subscription: Subscription, error: SwitchboardError): void {
    // The error first: whoever waits is told why, and not only that.
    subscription.emit('error', error);
    this.#end(subscription);
  }
}

// What components show of a channel, kept outside them: one store for all who use the channel of a client, so that a component that mounts later
// shows the same, and React can read it whenever it likes. The last to go leaves the channel.

import type { SwitchboardError } from '../errors.js';
import type { Start, SubscriptionState } from '../machine/subscription.js';
import type { Gap, Member, Message } from '../protocol.js';
import type { Subscription, SubscriptionHost } from '../subscription.js';

/** A `Client`, or a `SharedClient`. */
export interface AnyClient extends SubscriptionHost {
  subscribe<Data>(channel: string, start?: Start): Subscription<Data>;
}

/** A channel as a component sees it. */
export interface ChannelState<Data> {
  state: SubscriptionState;
  /** The latest messages, oldest first. */
  messages: readonly Message<Data>[];
  /** The last gap, if there was one: what came before its position may have been missed. */
  gap: Gap | undefined;
  /** Why it ended, if it did, and not by this client. */
  error: SwitchboardError | undefined;
}

/** Who is in a channel. */
export interface PresenceState<Info> {
  /** In the order in which they were seen. */
  members: readonly Member<Info>[];
  /** Whether the list has been read since the channel was last subscribed. */
  isCurrent: boolean;
  /** Why it could not be read; joins and leaves are followed all the same. */
  error: SwitchboardError | undefined;
}

/** A value that changes, as `useSyncExternalStore` wants it. */
export class Store<Value> {
  readonly #listeners = new Set<() => void>();

  constructor(private value: Value) {}

  readonly read = (): Value => this.value;

  readonly listen = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  set(change: Partial<Value>): void {
    this.value = { ...this.value, ...change };
    for (const listener of [...this.#listeners]) listener();
  }
}

/** A channel in use. */
export class ChannelStore<Data> {
  readonly channel = new Store<ChannelState<Data>>({ state: 'subscribing', messages: [], gap: undefined, error: undefined });
  readonly presence = new Store<PresenceState<unknown>>({ members: [], isCurrent: false, error: undefined });
  readonly subscription: Subscription<Data>;
  #keep = 0;
  #uses = 0;
  #watchers = 0;
  readonly #members = new Map<string, Member>();
  /** Who came (the member) or went (nothing) while the list is on its way; there is none while none is. */
  #meanwhile: Map<string, Member | undefined> | undefined;

  constructor(
    private readonly client: AnyClient,
    name: string,
    start: Start,
    private readonly gone: () => void,
  ) {
    this.subscription = client.subscribe<Data>(name, start);
    this.channel.set({ state: this.subscription.state });
    this.subscription.on('state', (state) => {
      this.channel.set({ state });
      if (state !== 'subscribed') this.presence.set({ isCurrent: false });
      // It has ended for good: whoever mounts next begins anew.
      if (state === 'unsubscribed') this.gone();
    });
    this.subscription.on('error', (error) => this.channel.set({ error }));
    this.subscription.on('gap', (gap) => {
      this.channel.set({ gap });
      // Comings and goings may have been missed as well.
      if (this.#watchers > 0) void this.#readMembers();
    });
    this.subscription.on('message', (message) => {
      this.channel.set({ messages: latest([...this.channel.read().messages, message], this.#keep) });
    });
    this.subscription.on('subscribed', () => {
      if (this.#watchers > 0) void this.#readMembers();
    });
    this.subscription.on('join', (member) => this.#change(member.session, member));
    this.subscription.on('leave', ({ session }) => this.#change(session, undefined));
  }

  /** A component uses it, and shows so many messages; the function that is returned ends that. */
  use(keep: number): () => void {
    this.#uses += 1;
    this.#keep = Math.max(this.#keep, keep);
    return () => {
      this.#uses -= 1;
      // A component that mounts in the same turn, as each does twice in StrictMode, has it still.
      queueMicrotask(() => {
        if (this.#uses === 0) this.subscription.unsubscribe();
      });
    };
  }

  /** A component shows the members. */
  watch(): () => void {
    this.#watchers += 1;
    if (this.#watchers === 1 && this.subscription.state === 'subscribed') void this.#readMembers();
    return () => {
      this.#watchers -= 1;
    };
  }

  #change(session: string, member: Member | undefined): void {
    this.#meanwhile?.set(session, member);
    if (member) this.#members.set(session, member);
    else this.#members.delete(session);
    this.presence.set({ members: [...this.#members.values()] });
  }

  async #readMembers(): Promise<void> {
    const meanwhile = new Map<string, Member | undefined>();
    this.#meanwhile = meanwhile;
    this.presence.set({ isCurrent: false, error: undefined });
    try {
      const found = new Map<string, Member>();
      let page: string | undefined;
      do {
        const result = await this.client.presence(this.subscription.channel, { page });
        // Another reading began after this one, or there is nothing to read any more.
        if (this.#meanwhile !== meanwhile || this.#watchers === 0) return;
        for (const member of result.members) found.set(member.session, member);
        page = result.next_page;
      } while (page);
      for (const [session, member] of meanwhile) {
        if (member) found.set(session, member);
        else found.delete(session);
      }
      for (const session of [...this.#members.keys()]) if (!found.has(session)) this.#members.delete(session);
      for (const [session, member] of found) this.#members.set(session, member);
      this.presence.set({ members: [...this.#members.values()], isCurrent: this.subscription.state === 'subscribed' });
    } catch (error) {
      if (this.#meanwhile === meanwhile) this.presence.set({ error: error as SwitchboardError });
    } finally {
      if (this.#meanwhile === meanwhile) this.#meanwhile = undefined;
    }
  }
}

/** The last so many. */
export const latest = <Value>(values: readonly Value[], count: number): readonly Value[] => (count > 0 ? values.slice(-count) : []);

const stores = new WeakMap<AnyClient, Map<string, ChannelStore<never>>>();

/** The store of a client's channel; `start` counts for the first who asks. */
export function storeOf<Data>(client: AnyClient, channel: string, start: Start): ChannelStore<Data> {
  const ofClient = stores.get(client) ?? new Map<string, ChannelStore<never>>();
  stores.set(client, ofClient);
  const known = ofClient.get(channel) as ChannelStore<Data> | undefined;
  if (known) return known;
  const store: ChannelStore<Data> = new ChannelStore<Data>(client, channel, start, () => {
    if (ofClient.get(channel) === (store as unknown)) ofClient.delete(channel);
  });
  ofClient.set(channel, store as unknown as ChannelStore<never>);
  return store;
}

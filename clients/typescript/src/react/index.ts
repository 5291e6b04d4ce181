// `@switchboard/client/react`: a channel, and who is in it, as state of a component.

import { useEffect, useRef, useState } from 'react';

import type { SwitchboardError } from '../errors.js';
import type { Start, SubscriptionState } from '../machine/subscription.js';
import type { Gap, Member, Message } from '../protocol.js';
import type { Subscription, SubscriptionHost } from '../subscription.js';

/** A `Client`, or a `SharedClient`. */
export interface AnyClient extends SubscriptionHost {
  subscribe<Data>(channel: string, start?: Start): Subscription<Data>;
}

/** Options of `useChannel`. Changed ones count from the next channel on. */
export interface UseChannelOptions<Data> extends Start {
  /** How many of the latest messages are kept. Default 100. */
  keep?: number;
  onMessage?(message: Message<Data>): void;
  /** Something may have been missed: reload what the channel describes. */
  onGap?(gap: Gap): void;
}

/** A channel as a component sees it. */
export interface ChannelState<Data> {
  state: SubscriptionState;
  /** The latest messages, oldest first. */
  messages: Message<Data>[];
  /** The last gap, if there was one. */
  gap: Gap | undefined;
  error: SwitchboardError | undefined;
}

const EMPTY = { state: 'subscribing', messages: [], gap: undefined, error: undefined } satisfies ChannelState<never>;

/** How many components use a subscription: the last to go leaves the channel. */
const uses = new WeakMap<Subscription<never>, number>();

function hold<Data>(client: AnyClient, channel: string, start: Start): [Subscription<Data>, () => void] {
  const subscription = client.subscribe<Data>(channel, start);
  const key = subscription as unknown as Subscription<never>;
  uses.set(key, (uses.get(key) ?? 0) + 1);
  return [
    subscription,
    () => {
      const left = (uses.get(key) ?? 1) - 1;
      uses.set(key, left);
      if (left === 0) subscription.unsubscribe();
    },
  ];
}

/** Subscribes while the component is mounted, and gives state and latest messages. */
export function useChannel<Data = unknown>(client: AnyClient, channel: string, options: UseChannelOptions<Data> = {}): ChannelState<Data> {
  const [value, setValue] = useState<ChannelState<Data>>(EMPTY);
  const latest = useRef(options);
  latest.current = options;
  useEffect(() => {
    const { keep = 100, rewind, position, token } = latest.current;
    const [subscription, release] = hold<Data>(client, channel, { rewind, position, token });
    setValue({ ...EMPTY, state: subscription.state });
    const change = (more: (before: ChannelState<Data>) => Partial<ChannelState<Data>>) =>
      setValue((before) => ({ ...before, ...more(before) }));
    const offs = [
      subscription.on('state', (state) => change(() => ({ state }))),
      subscription.on('error', (error) => change(() => ({ error }))),
      subscription.on('gap', (gap) => {
        latest.current.onGap?.(gap);
        change(() => ({ gap }));
      }),
      subscription.on('message', (message) => {
        latest.current.onMessage?.(message);
        change(({ messages }) => ({ messages: [...messages, message].slice(-keep) }));
      }),
    ];
    return () => {
      for (const off of offs) off();
      release();
    };
    // A channel is begun anew when it is another, or another client's.
  }, [client, channel]);
  return value;
}

/** Who is in a channel. */
export interface PresenceState<Info> {
  /** In the order in which they were seen. */
  members: Member<Info>[];
  /** Whether the list has been read since the channel was last subscribed. */
  isCurrent: boolean;
}

/** Subscribes while the component is mounted, and gives the members; the namespace needs `presence` and `join_leave`. */
export function usePresence<Info = unknown>(client: AnyClient, channel: string): PresenceState<Info> {
  const [value, setValue] = useState<PresenceState<Info>>({ members: [], isCurrent: false });
  useEffect(() => {
    const [subscription, release] = hold(client, channel, {});
    const members = new Map<string, Member<Info>>();
    // Who left while the list was on its way is not put back by it.
    const left = new Set<string>();
    let isMounted = true;
    const show = (isCurrent: boolean) => isMounted && setValue({ members: [...members.values()], isCurrent });
    const load = async () => {
      const found = new Map<string, Member<Info>>();
      left.clear();
      let page: string | undefined;
      do {
        const result = await client.presence<Info>(channel, { page });
        for (const member of result.members) found.set(member.session, member);
        page = result.next_page;
      } while (page && isMounted);
      for (const session of [...members.keys()]) if (!found.has(session)) members.delete(session);
      for (const [session, member] of found) if (!left.has(session)) members.set(session, member);
      show(true);
    };
    const reload = () => void load().catch(() => show(false));
    const offs = [
      subscription.on('subscribed', reload),
      subscription.on('join', (member) => {
        left.delete(member.session);
        members.set(member.session, member as Member<Info>);
        show(true);
      }),
      subscription.on('leave', ({ session }) => {
        left.add(session);
        members.delete(session);
        show(true);
      }),
    ];
    if (subscription.state === 'subscribed') reload();
    return () => {
      isMounted = false;
      for (const off of offs) off();
      release();
    };
  }, [client, channel]);
  return value;
}

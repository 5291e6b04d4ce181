// `@switchboard/client/react`: a channel, and who is in it, as state of a component. Reading order: `stores.ts`, this.

import { useEffect, useMemo, useRef, useState, useSyncExternalStore } from 'react';

import type { Start } from '../machine/subscription.js';
import type { Gap, Message } from '../protocol.js';
import { type AnyClient, type ChannelState, type ChannelStore, latest, type PresenceState, Store, storeOf } from './stores.js';

export type { AnyClient, ChannelState, PresenceState } from './stores.js';

/** Options of `useChannel`. Where a channel begins is said by the first component that uses it. */
export interface UseChannelOptions<Data> extends Start {
  /** How many of the latest messages are kept. Default 100. */
  keep?: number;
  onMessage?(message: Message<Data>): void;
  /** Something may have been missed: reload what the channel describes. */
  onGap?(gap: Gap): void;
}

const NO_CHANNEL = new Store<ChannelState<never>>({ state: 'subscribing', messages: [], gap: undefined, error: undefined });
const NO_PRESENCE = new Store<PresenceState<never>>({ members: [], isCurrent: false, error: undefined });

/** Subscribes while the component is mounted, and gives state and latest messages. Components that use the same channel share one subscription. */
export function useChannel<Data = unknown>(client: AnyClient, channel: string, options: UseChannelOptions<Data> = {}): ChannelState<Data> {
  const given = useRef(options);
  useEffect(() => {
    given.current = options;
  });
  const [store, setStore] = useState<ChannelStore<Data>>();
  useEffect(() => {
    const { keep = 100, rewind, position, token } = given.current;
    const used = storeOf<Data>(client, channel, { rewind, position, token });
    const ends = [
      used.subscription.on('message', (message) => given.current.onMessage?.(message)),
      used.subscription.on('gap', (gap) => given.current.onGap?.(gap)),
      used.use(keep),
    ];
    setStore(used);
    return () => {
      for (const end of ends) end();
      setStore(undefined);
    };
  }, [client, channel]);
  const shown: Store<ChannelState<Data>> = store?.channel ?? NO_CHANNEL;
  const value = useSyncExternalStore(shown.listen, shown.read, NO_CHANNEL.read);
  const { keep = 100 } = options;
  return useMemo(() => ({ ...value, messages: latest(value.messages, keep) }), [value, keep]);
}

/** Subscribes while the component is mounted, and gives the members; the namespace needs `presence` and `join_leave`. */
export function usePresence<Info = unknown>(client: AnyClient, channel: string): PresenceState<Info> {
  const [store, setStore] = useState<ChannelStore<unknown>>();
  useEffect(() => {
    const used = storeOf(client, channel, {});
    const ends = [used.watch(), used.use(0)];
    setStore(used);
    return () => {
      for (const end of ends) end();
      setStore(undefined);
    };
  }, [client, channel]);
  const shown = (store?.presence ?? NO_PRESENCE) as Store<PresenceState<Info>>;
  return useSyncExternalStore(shown.listen, shown.read, NO_PRESENCE.read);
}

// What pages and their shared worker say to each other. Either side's messages are handled in the order in which they were said.

import type { SwitchboardError } from '../errors.js';
import type { ConnectionState } from '../machine/connection.js';
import type { TransportName } from '../machine/ladder.js';
import type { Start } from '../machine/subscription.js';
import type { Frame, Message, Reply, Requests, SubscribeResult, Verb, WireError } from '../protocol.js';
import type { TokenReason } from '../tokens.js';

/** A page says. What comes before `hello`, or after `bye`, is passed over. */
export type FromPage =
  | { do: 'hello'; hasToken: boolean }
  /** The page holds this Web Lock as long as it lives: whoever gets it after the page knows that it is gone. */
  | { do: 'lock'; lock: string }
  | { do: 'connect' }
  /** The page leaves, or will be frozen. */
  | { do: 'bye' }
  /** `id` is new each time: what is told of the channel bears it, so that what was told of an earlier one is not mistaken for it. */
  | { do: 'subscribe'; id: number; channel: string; start: Start }
  | { do: 'unsubscribe'; channel: string }
  | { do: 'ask'; id: number; verb: Verb; body: Requests[Verb]; safe: boolean; timeoutMs: number }
  | { do: 'token'; id: number; token?: string; error?: WireError };

/** The worker says. */
export type FromWorker =
  | { tell: 'state'; state: ConnectionState; transport: TransportName; session?: string; code?: string; message?: string }
  /** Past all channels. */
  | { tell: 'message'; message: Message }
  /** The server subscribed the session to a channel that no page had asked for; it is told with the id 0. */
  | { tell: 'found'; channel: string }
  | { tell: 'channel'; id: number; channel: string; event: ChannelEvent }
  | { tell: 'reply'; reply: Reply }
  | { tell: 'token'; id: number; reason: TokenReason };

/** What happened in a channel. The page has a machine of its own, which keeps the page's position. */
export type ChannelEvent =
  | { on: 'subscribing' }
  | { on: 'subscribed'; result: SubscribeResult }
  | { on: 'frame'; frame: Frame }
  | { on: 'ended'; error?: WireError };

/** An error as it passes between them. */
export function wire(error: unknown): WireError {
  const { code = 'internal', message = String(error), retryable = false, retryAfter = 0 } = error as Partial<SwitchboardError>;
  return { code, message, retryable, retry_after: retryAfter };
}

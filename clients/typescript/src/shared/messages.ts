// What pages and their shared worker say to each other.

import type { ConnectionState } from '../machine/connection.js';
import type { TransportName } from '../machine/ladder.js';
import type { Start, SubscriptionState } from '../machine/subscription.js';
import type { Policy, Position } from '../protocol.js';
import type { TokenReason } from '../tokens.js';

/** What a page may ask of the worker's client. */
export type SharedVerb = 'publish' | 'presence' | 'history' | 'call' | 'ping';

/** A page says. */
export type FromPage =
  /** `lock` is held by the page as long as it lives. */
  | { do: 'hello'; lock: string; hasToken: boolean }
  | { do: 'connect' | 'disconnect' | 'bye' }
  | { do: 'subscribe'; channel: string; start?: Start }
  | { do: 'unsubscribe'; channel: string }
  | { do: 'ask'; id: number; verb: SharedVerb; args: unknown[] }
  | { do: 'abort'; id: number }
  | { do: 'token'; id: number; token?: string; error?: SharedError };

/** The worker says. */
export type FromWorker =
  | { tell: 'state'; state: ConnectionState; transport: TransportName; code?: string; message?: string }
  | { tell: 'message'; value: unknown }
  | { tell: 'channel'; channel: string; name: string; value: unknown; standing: Standing }
  | { tell: 'answer'; id: number; value?: unknown; error?: SharedError }
  | { tell: 'token'; id: number; reason: TokenReason };

/** How a subscription stands in the worker. */
export interface Standing {
  state: SubscriptionState;
  position: Position | undefined;
  policy: Policy;
}

/** An error, as it passes between them. */
export interface SharedError {
  code: string;
  message: string;
  retryable: boolean;
  retryAfter: number;
}

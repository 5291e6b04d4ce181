// `@switchboard/client`: the client, JSON built in. Reading order: `protocol.ts`; the machines in `machine/` (verdict, backoff, ladder,
// connection, subscription), which are pure; `transport/`, which is the I/O; `session.ts`, `requests.ts`, `asker.ts` and `tokens.ts`;
// `client.ts`, which joins them.

export { Client, type ClientEvents, type ClientOptions } from './client.js';
export { type Codec, json } from './codec.js';
export { Emitter, type IterateOptions } from './emitter.js';
export { type LocalCode, SwitchboardError } from './errors.js';
export type { BackoffOptions } from './machine/backoff.js';
export type { ConnectionState, Timing } from './machine/connection.js';
export type { LadderOptions, TransportName } from './machine/ladder.js';
export type { Start, SubscriptionState } from './machine/subscription.js';
export type {
  Gap,
  GapReason,
  HistoryResult,
  Member,
  Message,
  Open,
  Policy,
  Position,
  PresenceResult,
  SubscribeResult,
} from './protocol.js';
export type { RequestOptions } from './requests.js';
export {
  type HistoryOptions,
  type PresenceOptions,
  type PublishOptions,
  Subscription,
  type SubscriptionEvent,
  type SubscriptionEvents,
} from './subscription.js';
export type { GetToken, TokenReason } from './tokens.js';
export type { WebSocketConstructor, WebSocketLike } from './transport/link.js';

// The client protocol's commands and frames, as `proto/PROTOCOL.md` tells them. Fields are spelled as on the wire.

/** A place in a channel's order of publications. The epoch is opaque: compare it for equality, nothing else. */
export interface Position {
  epoch: string;
  offset: number;
}

/** What a channel offers. */
export interface Policy {
  /** What was missed can be recovered from a position. */
  recovery?: boolean;
  /** Members are tracked. */
  presence?: boolean;
  /** `join` and `leave` are sent. */
  join_leave?: boolean;
  /** The user has a mark in the channel that acknowledgements move. */
  durable?: boolean;
}

/** One session that is present in a channel. */
export interface Member<Info = unknown> {
  session: string;
  user?: string;
  info?: Info;
}

/** A publication. `data` is a Uint8Array where `binary` is true. */
export interface Message<Data = unknown> {
  /** Absent: a service sent it to this session or user directly. */
  channel?: string;
  /** Absent: it is not in history. */
  offset?: number;
  data: Data;
  binary?: boolean;
  /** The publisher's idempotency id. */
  id?: string;
  /** The client that published; absent when it was a service. */
  from?: { user?: string; session?: string };
  /** Milliseconds since 1970. */
  time?: number;
  tags?: Record<string, string>;
}

/** Why continuity was lost; ones that are not listed here may be added. */
export type GapReason = 'trimmed' | 'epoch_changed' | 'slow_consumer' | 'interrupted' | (string & {});

/** What lay before `position` may have been missed: reload, then go on from there. */
export interface Gap {
  channel: string;
  position: Position;
  reason: GapReason;
}

/** Why a command failed. */
export interface WireError {
  code: string;
  message: string;
  retryable?: boolean;
  retry_after?: number;
}

/** The first frame of a session. */
export interface Open {
  session: string;
  user?: string;
  node?: string;
  time: number;
  expires_at?: number;
  ping_interval?: number;
  key?: string;
  limits?: { command_bytes_max?: number; subscriptions_max?: number };
}

/** How a subscription stands. */
export interface SubscribeResult {
  position: Position;
  recovered?: boolean;
  policy?: Policy;
}

/** One page of members. */
export interface PresenceResult<Info = unknown> {
  members: Member<Info>[];
  count: number;
  users: number;
  next_page?: string;
}

/** What was read of a channel's history. */
export interface HistoryResult<Data = unknown> {
  publications: Message<Data>[];
  position: Position;
}

/** What each command asks, by its name. */
export interface Requests {
  subscribe: { channel: string; position?: Position; rewind?: number; token?: string };
  unsubscribe: { channel: string };
  publish: { channel: string; data: unknown; binary?: boolean; id?: string };
  presence: { channel: string; limit?: number; page?: string };
  history: { channel: string; position?: Position; limit?: number; reverse?: boolean };
  call: { method: string; data?: unknown; binary?: boolean };
  ack: { channel: string; offset: number };
  refresh: { token: string };
  ping: Record<string, never>;
}

/** What each command is answered with, by its name. */
export interface Results {
  subscribe: SubscribeResult;
  unsubscribe: Record<string, never>;
  publish: { position?: Position };
  presence: PresenceResult;
  history: HistoryResult;
  call: { data?: unknown; binary?: boolean };
  ack: Record<string, never>;
  refresh: { expires_at?: number };
  ping: { time: number };
}

/** A command's name. */
export type Verb = keyof Requests;

/** A command: its id, and under its name what it asks. */
export type Command = { id?: number } & { [V in Verb]?: Requests[V] };

/** The answer to the command of the same id: the result under the command's name, or `error`. */
export type Reply = { id: number; error?: WireError } & { [V in Verb]?: Results[V] };

/** The last frame of a session. */
export interface Close {
  code: number;
  reason?: string;
  reconnect?: boolean;
  reconnect_after?: number;
}

/** What the hub says. Exactly one is set; a kind that is not known here leaves all unset, and is passed over. */
export interface Frame {
  open?: Open;
  reply?: Reply;
  message?: Message;
  join?: { channel: string; member: Member };
  leave?: { channel: string; member: Member };
  gap?: Gap;
  subscribed?: SubscribeResult & { channel: string };
  unsubscribed?: { channel: string; reason?: string; resubscribe?: boolean };
  expiring?: { expires_at: number };
  draining?: { reconnect_after?: number };
  heartbeat?: { time: number };
  close?: Close;
}

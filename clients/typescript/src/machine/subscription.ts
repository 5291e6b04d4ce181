// One channel's place in its order of publications, across connections. No I/O: it says what to ask, and what a frame means.

import type { Gap, Message, Policy, Position, Requests, SubscribeResult } from '../protocol.js';

/** Where a subscription stands. */
export type SubscriptionState = 'unsubscribed' | 'subscribing' | 'subscribed';

/** Where a subscription begins. */
export interface Start {
  /** With the last so many publications. */
  rewind?: number;
  /** After this position, such as one that was kept from an earlier visit. */
  position?: Position;
  /** A token that grants this one channel. */
  token?: string;
}

/** What to do with a publication. */
export type Judgement =
  | { deliver: true; gap?: Gap }
  /** It was delivered before, or belongs to a place that is being left. */
  | { deliver: false };

/** The machine of one subscription. */
export class SubscriptionMachine {
  state: SubscriptionState = 'unsubscribed';
  /** The last place seen: the next connection goes on after it. */
  position: Position | undefined;
  /** What the channel offers. */
  policy: Policy = {};
  #rewind: number | undefined;
  readonly #token: string | undefined;

  constructor(
    readonly channel: string,
    start: Start = {},
  ) {
    this.position = start.position;
    this.#rewind = start.rewind;
    this.#token = start.token;
  }

  /** A session stands that does not have the channel yet: what to ask it. */
  ask(): Requests['subscribe'] {
    this.state = 'subscribing';
    const request: Requests['subscribe'] = { channel: this.channel };
    if (this.#token) request.token = this.#token;
    if (this.position) request.position = this.position;
    else if (this.#rewind) request.rewind = this.#rewind;
    return request;
  }

  /** The session has the channel: by the reply, or by `subscribed`, whichever came first. Says whether that is news. */
  begin(result: SubscribeResult): boolean {
    if (this.state === 'subscribed') return false;
    this.state = 'subscribed';
    this.policy = result.policy ?? {};
    const { epoch, offset = 0 } = result.position;
    // A session that goes on from a cursor may begin before what was seen: what is seen twice is told by its offset.
    const seen = this.position?.epoch === epoch ? this.position.offset : 0;
    this.position = { epoch, offset: result.recovered ? Math.max(offset, seen) : offset };
    return true;
  }

  /** Whether the server's hand began elsewhere than this subscription has to go on: then ask anew. */
  mustAskAnew({ position, recovered }: SubscribeResult): boolean {
    const mine = this.position;
    return mine !== undefined && !recovered && (mine.epoch !== position.epoch || mine.offset < (position.offset ?? 0));
  }

  /** A publication came. */
  message({ offset }: Message): Judgement {
    if (this.state !== 'subscribed') return { deliver: false };
    const at = this.position;
    if (!offset || !at) return { deliver: true };
    if (offset <= at.offset) return { deliver: false };
    const missed = offset > at.offset + 1;
    this.position = { epoch: at.epoch, offset };
    // The hub announces its holes; one that comes unannounced is told all the same, and never passed over in silence.
    if (missed)
      return { deliver: true, gap: { channel: this.channel, position: { epoch: at.epoch, offset: offset - 1 }, reason: 'interrupted' } };
    return { deliver: true };
  }

  /** The hub announced a hole: the channel goes on after its position. Says whether it is of the present session. */
  gap(gap: Gap): boolean {
    if (this.state !== 'subscribed') return false;
    this.position = { epoch: gap.position.epoch, offset: gap.position.offset ?? 0 };
    return true;
  }

  /** The connection is gone, and with it what the session had. */
  lost(): void {
    if (this.state === 'subscribed') this.state = 'subscribing';
  }

  /** It ends, for good or until it is asked for again. */
  end(): void {
    this.state = 'unsubscribed';
  }
}

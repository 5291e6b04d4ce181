// A page that comes to a channel which other pages have already: what it would have been sent first, had it subscribed by itself, is read
// from history. Where that is not possible, a page that named a position is told of a gap.

import type { Asker } from '../asker.js';
import type { Start } from '../machine/subscription.js';
import type { GapReason, Message, Position, SubscribeResult } from '../protocol.js';
import type { Subscription } from '../subscription.js';
import type { ChannelEvent } from './messages.js';

/** A page that has missed more reloads what the channel describes. */
const MISSED_MAX = 10_000;

/** What the page is told before all that has happened since this was called. It fails never. */
export async function late(client: Pick<Asker<object>, 'history'>, subscription: Subscription, start: Start): Promise<ChannelEvent[]> {
  const { channel, policy, position: at } = subscription;
  if (!at) return [];
  const begins = (position: Position, recovered: boolean): ChannelEvent => {
    return { on: 'subscribed', result: { position, recovered, policy } satisfies SubscribeResult };
  };
  const frames = (messages: Message[]) => messages.map((message): ChannelEvent => ({ on: 'frame', frame: { message } }));
  const gap = (reason: GapReason): ChannelEvent[] => [
    begins(at, false),
    { on: 'frame', frame: { gap: { channel, position: at, reason } } },
  ];

  const { position, rewind } = start;
  if (position) {
    if (position.epoch !== at.epoch) return gap('epoch_changed');
    if (position.offset >= at.offset) return [begins(at, true)];
    if (at.offset - position.offset > MISSED_MAX) return gap('trimmed');
    try {
      const missed = await between(client, channel, position, at);
      return missed ? [begins(position, true), ...frames(missed)] : gap('trimmed');
    } catch {
      return gap('interrupted');
    }
  }
  if (!rewind) return [begins(at, false)];
  // Not to be had: it was a wish, and nothing that the page has seen lies before it.
  const latest = await client.history(channel, { limit: rewind, reverse: true }).catch(() => undefined);
  const messages = (latest?.publications ?? []).filter(({ offset = 0 }) => offset > 0 && offset <= at.offset).reverse();
  const from = (messages[0]?.offset ?? at.offset + 1) - 1;
  return [begins({ epoch: at.epoch, offset: from }, false), ...frames(messages)];
}

/** All publications after `from` up to `to`; nothing when some of them are gone. */
async function between(
  client: Pick<Asker<object>, 'history'>,
  channel: string,
  from: Position,
  to: Position,
): Promise<Message[] | undefined> {
  const messages: Message[] = [];
  for (let position = from; position.offset < to.offset; ) {
    const page = await client.history(channel, { position });
    if (page.position.epoch !== to.epoch) return undefined;
    for (const message of page.publications) {
      if (message.offset !== position.offset + 1) return undefined;
      position = { epoch: to.epoch, offset: message.offset };
      if (message.offset <= to.offset) messages.push(message);
    }
    if (page.publications.length === 0) return undefined;
  }
  return messages;
}

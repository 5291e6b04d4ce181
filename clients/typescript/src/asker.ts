// What an application may ask of the hub, whoever brings the commands there: a client of its own, or the worker that pages share.

import { Emitter } from './emitter.js';
import type { HistoryResult, Position, PresenceResult, Requests, Results, Verb } from './protocol.js';
import type { RequestOptions } from './requests.js';
import type { HistoryOptions, PresenceOptions, PublishOptions } from './subscription.js';

/** The commands, each a promise with a deadline. */
export abstract class Asker<Events extends object> extends Emitter<Events> {
  /** @internal Brings a command to the hub. One that is `safe` may be carried out twice. */
  abstract ask<V extends Verb>(verb: V, body: Requests[V], safe: boolean, options?: RequestOptions): Promise<Results[V]>;

  /** Publishes. It is repeated until it is answered or its time is over, and happens once. */
  publish(channel: string, data: unknown, { id = randomId(), ...options }: PublishOptions = {}): Promise<{ position?: Position }> {
    return this.ask('publish', { channel, data: data ?? null, id, ...binary(data) }, true, options);
  }

  /** Who is present. */
  async presence<Info = unknown>(channel: string, { limit, page, ...options }: PresenceOptions = {}): Promise<PresenceResult<Info>> {
    const result = await this.ask('presence', { channel, limit, page }, true, options);
    return { ...result, members: result.members ?? [] } as PresenceResult<Info>;
  }

  /** What the channel retains. */
  async history<Data = unknown>(channel: string, options: HistoryOptions = {}): Promise<HistoryResult<Data>> {
    const { position, limit, reverse, ...rest } = options;
    const result = await this.ask('history', { channel, position, limit, reverse }, true, rest);
    return { ...result, publications: result.publications ?? [] } as HistoryResult<Data>;
  }

  /** Asks a service. It is not repeated: when the connection is lost before the answer it fails with `unavailable`. */
  async call<Answer = unknown>(method: string, data?: unknown, options: RequestOptions = {}): Promise<Answer> {
    const { data: answer } = await this.ask('call', { method, data, ...binary(data) }, false, options);
    return answer as Answer;
  }

  /**
   * Acknowledges a durable channel up to this offset, which must have come. It is not repeated (an offset means another message in another
   * epoch): when it fails, the next one covers it.
   */
  async ack(channel: string, offset: number, options: RequestOptions = {}): Promise<void> {
    await this.ask('ack', { channel, offset }, false, options);
  }

  /** The hub's clock, in milliseconds since 1970. */
  async ping(options?: RequestOptions): Promise<number> {
    return (await this.ask('ping', {}, true, options)).time;
  }
}

const binary = (data: unknown): { binary?: true } => (data instanceof Uint8Array ? { binary: true } : {});

/** 128 random bits in hexadecimal; `randomUUID` is missing where a page is not served securely. */
export function randomId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}

// The services' side of the hub: unary gRPC over node:http2, with the few messages that scenarios need.

import { connect } from 'node:http2';

import { bytes, fields, first, number, present } from './wire.mjs';

/** What one PublishBatch may carry: the hub's default for items, and well below it for bytes. */
const BATCH_ITEMS = 1000;
const BATCH_BYTES = 1 << 20;
const DEADLINE_MS = 20_000;

/** A connection to the control API, opened anew when it has ended. */
export class Services {
  #address;
  #key;
  #session;

  constructor(address, key) {
    this.#address = address;
    this.#key = key;
  }

  close() {
    this.#session?.destroy();
  }

  /** One unary call: the request's bytes to the answer's bytes. */
  #call(method, request) {
    if (!this.#session || this.#session.closed || this.#session.destroyed) {
      this.#session = connect(`http://${this.#address}`);
      const session = this.#session;
      // What is under way ends by itself; the next call opens another.
      session.on('error', () => {}).on('goaway', () => {
        if (this.#session === session) this.#session = undefined;
        session.close();
      });
    }
    const head = Buffer.alloc(5);
    head.writeUInt32BE(request.length, 1);
    return new Promise((resolve, reject) => {
      const stream = this.#session.request({
        ':method': 'POST',
        ':path': `/switchboard.api.v1.${method}`,
        'content-type': 'application/grpc',
        te: 'trailers',
        authorization: `Bearer ${this.#key}`,
      });
      const body = [];
      let status;
      const hear = (headers) => {
        if (headers['grpc-status'] !== undefined) status = [headers['grpc-status'], headers['grpc-message'] ?? ''];
      };
      stream.setTimeout(DEADLINE_MS, () => stream.destroy(new Error(`${method}: no answer`)));
      stream.on('response', hear).on('trailers', hear);
      stream.on('data', (chunk) => body.push(chunk));
      stream.on('error', reject);
      stream.on('end', () => {
        if (status?.[0] === '0') resolve(Buffer.concat(body).subarray(5));
        else reject(new Error(`${method}: gRPC status ${status?.[0]}: ${decodeURIComponent(status?.[1] ?? '')}`));
      });
      stream.end(Buffer.concat([head, request]));
    });
  }

  /** Publishes items `{channel, data, id, tags, skip_history}` in order and gives the position of each. */
  async publish(items) {
    const positions = [];
    for (const batch of batches(items.map((item) => bytes(1, encoded(item))))) {
      const answer = await this.#call('PublishService/PublishBatch', Buffer.concat(batch));
      for (const [, result] of fields(answer)) {
        const refused = first(result, 2);
        if (refused) throw new Error(`publish: ${first(refused, 1)}: ${first(refused, 2)}`);
        const position = first(first(result, 1), 1) ?? Buffer.alloc(0);
        positions.push({ epoch: String(first(position, 1) ?? ''), offset: first(position, 2) ?? 0 });
      }
    }
    return positions;
  }

  /** Sends a payload to a session or to all sessions of a user, past all channels. */
  async send(target, data) {
    await this.#call('SessionService/Send', Buffer.concat([targeted(target), bytes(2, JSON.stringify(data ?? null))]));
  }

  /** Subscribes sessions by the server's hand. */
  async subscribe(target, channel) {
    await this.#call('SessionService/Subscribe', Buffer.concat([targeted(target), bytes(2, channel)]));
  }

  /** Unsubscribes sessions by the server's hand. */
  async unsubscribe(target, { channel, reason, resubscribe }) {
    const request = [targeted(target), bytes(2, channel), bytes(3, reason), number(4, resubscribe)];
    await this.#call('SessionService/Unsubscribe', Buffer.concat(request));
  }

  /** Ends sessions with a close code. */
  async disconnect(target, { code, reason, reconnect }) {
    const request = [targeted(target), code === undefined ? Buffer.alloc(0) : present(2, code), bytes(3, reason), number(4, reconnect)];
    await this.#call('SessionService/Disconnect', Buffer.concat(request));
  }
}

/** Items as batches that the hub takes, in order. */
function* batches(items) {
  let batch = [];
  let length = 0;
  for (const item of items) {
    if (batch.length === BATCH_ITEMS || (batch.length > 0 && length + item.length > BATCH_BYTES)) {
      yield batch;
      batch = [];
      length = 0;
    }
    batch.push(item);
    length += item.length;
  }
  if (batch.length > 0) yield batch;
}

function encoded({ channel, data, id, tags = {}, skip_history }) {
  const labels = Object.entries(tags).map(([name, value]) => bytes(5, Buffer.concat([bytes(1, name), bytes(2, value)])));
  return Buffer.concat([bytes(1, channel), bytes(2, JSON.stringify(data ?? null)), bytes(4, id), ...labels, number(8, skip_history)]);
}

function targeted({ session, user }) {
  if (!session && !user) throw new Error('name a `session` or a `user`');
  return bytes(1, session ? bytes(1, session) : bytes(2, user));
}

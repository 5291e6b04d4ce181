// `client.proto` as tables: for each message its fields by number, with the name that JSON has and the kind.
// What is left out of a table is passed over.

import { read, readText, type Value, Writer, writeText } from './wire.js';

type Fields = Record<string, unknown>;

/** How a field is read and written. A function gives the table of a message within, so that tables may come in any order. */
type Kind = 'text' | 'number' | 'present' | 'flag' | 'json' | 'tags' | { message: () => Table } | { repeated: () => Table };
type Table = Record<number, [name: string, kind: Kind]>;

const message = (of: () => Table): Kind => ({ message: of });
const repeated = (of: () => Table): Kind => ({ repeated: of });

const EMPTY: Table = {};
const POSITION: Table = { 1: ['epoch', 'text'], 2: ['offset', 'number'] };
const CHANNEL: Table = { 1: ['channel', 'text'] };
const MEMBER: Table = { 1: ['session', 'text'], 2: ['user', 'text'], 3: ['info', 'json'] };
const POLICY: Table = { 1: ['recovery', 'flag'], 2: ['presence', 'flag'], 3: ['join_leave', 'flag'], 4: ['durable', 'flag'] };
const PAYLOAD: Table = { 2: ['data', 'json'], 3: ['binary', 'flag'] };

export const COMMAND: Table = {
  1: ['id', 'present'],
  2: [
    'subscribe',
    message(() => ({ ...CHANNEL, 2: ['position', message(() => POSITION)], 3: ['rewind', 'present'], 4: ['token', 'text'] })),
  ],
  3: ['unsubscribe', message(() => CHANNEL)],
  4: ['publish', message(() => ({ ...CHANNEL, ...PAYLOAD, 4: ['id', 'text'] }))],
  5: ['presence', message(() => ({ ...CHANNEL, 2: ['limit', 'present'], 3: ['page', 'text'] }))],
  6: [
    'history',
    message(() => ({ ...CHANNEL, 2: ['position', message(() => POSITION)], 3: ['limit', 'present'], 4: ['reverse', 'flag'] })),
  ],
  7: ['call', message(() => ({ 1: ['method', 'text'], ...PAYLOAD }))],
  8: ['ack', message(() => ({ ...CHANNEL, 2: ['offset', 'number'] }))],
  9: ['refresh', message(() => ({ 1: ['token', 'text'] }))],
  10: ['ping', message(() => EMPTY)],
};

const MESSAGE: Table = {
  1: ['channel', 'text'],
  2: ['offset', 'number'],
  3: ['data', 'json'],
  4: ['binary', 'flag'],
  5: ['id', 'text'],
  6: ['from', message(() => ({ 1: ['user', 'text'], 2: ['session', 'text'] }))],
  7: ['time', 'number'],
  8: ['tags', 'tags'],
};

const STANDING: Table = { 1: ['position', message(() => POSITION)], 2: ['recovered', 'flag'], 3: ['policy', message(() => POLICY)] };

const REPLY: Table = {
  1: ['id', 'number'],
  2: ['error', message(() => ({ 1: ['code', 'text'], 2: ['message', 'text'], 3: ['retryable', 'flag'], 4: ['retry_after', 'number'] }))],
  3: ['subscribe', message(() => STANDING)],
  4: ['unsubscribe', message(() => EMPTY)],
  5: ['publish', message(() => ({ 1: ['position', message(() => POSITION)] }))],
  6: [
    'presence',
    message(() => ({ 1: ['members', repeated(() => MEMBER)], 2: ['count', 'number'], 3: ['users', 'number'], 4: ['next_page', 'text'] })),
  ],
  7: ['history', message(() => ({ 1: ['publications', repeated(() => MESSAGE)], 2: ['position', message(() => POSITION)] }))],
  8: ['call', message(() => ({ 1: ['data', 'json'], 2: ['binary', 'flag'] }))],
  9: ['ack', message(() => EMPTY)],
  10: ['refresh', message(() => ({ 1: ['expires_at', 'number'] }))],
  11: ['ping', message(() => ({ 1: ['time', 'number'] }))],
};

const MEMBERSHIP: Table = { 1: ['channel', 'text'], 2: ['member', message(() => MEMBER)] };

export const FRAME: Table = {
  1: [
    'open',
    message(() => ({
      1: ['session', 'text'],
      2: ['user', 'text'],
      3: ['node', 'text'],
      4: ['time', 'number'],
      5: ['expires_at', 'number'],
      6: ['ping_interval', 'number'],
      7: ['key', 'text'],
      8: ['limits', message(() => ({ 1: ['command_bytes_max', 'number'], 2: ['subscriptions_max', 'number'] }))],
    })),
  ],
  2: ['reply', message(() => REPLY)],
  3: ['message', message(() => MESSAGE)],
  4: ['join', message(() => MEMBERSHIP)],
  5: ['leave', message(() => MEMBERSHIP)],
  6: ['gap', message(() => ({ ...CHANNEL, 2: ['position', message(() => POSITION)], 3: ['reason', 'text'] }))],
  7: [
    'subscribed',
    message(() => ({
      ...CHANNEL,
      2: ['position', message(() => POSITION)],
      3: ['recovered', 'flag'],
      4: ['policy', message(() => POLICY)],
    })),
  ],
  8: ['unsubscribed', message(() => ({ ...CHANNEL, 2: ['reason', 'text'], 3: ['resubscribe', 'flag'] }))],
  9: ['expiring', message(() => ({ 1: ['expires_at', 'number'] }))],
  10: ['draining', message(() => ({ 1: ['reconnect_after', 'number'] }))],
  11: ['heartbeat', message(() => ({ 1: ['time', 'number'] }))],
  12: [
    'close',
    message(() => ({ 1: ['code', 'number'], 2: ['reason', 'text'], 3: ['reconnect', 'flag'], 4: ['reconnect_after', 'number'] })),
  ],
};

/** Writes the fields of a message. */
export function encode(table: Table, fields: Fields, writer = new Writer()): Writer {
  for (const [key, [name, kind]] of Object.entries(table)) {
    const number = Number(key);
    const value = fields[name];
    if (value === undefined) continue;
    if (kind === 'text') writer.text(number, value as string);
    else if (kind === 'number' || kind === 'flag') writer.number(number, value as number);
    else if (kind === 'present') writer.present(number, value as number);
    else if (kind === 'json') writer.bytes(number, value instanceof Uint8Array ? value : writeText(JSON.stringify(value)));
    else if (kind === 'tags') throw new Error('no command has tags');
    else if ('message' in kind) writer.message(number, (inner) => encode(kind.message(), value as Fields, inner));
    else for (const item of value as Fields[]) writer.message(number, (inner) => encode(kind.repeated(), item, inner));
  }
  return writer;
}

/** Reads the fields of a message, under the names that JSON has. */
export function decode(table: Table, bytes: Uint8Array): Fields {
  const fields: Fields = {};
  for (const [name, kind] of Object.values(table)) if (typeof kind === 'object' && 'repeated' in kind) fields[name] = [];
  let payload: [name: string, bytes: Uint8Array] | undefined;
  read(bytes, (number, value) => {
    const entry = table[number];
    if (!entry) return;
    const [name, kind] = entry;
    if (kind === 'json') payload = [name, value.bytes];
    else if (kind === 'tags') fields[name] = { ...(fields[name] as object), ...tag(value) };
    else if (typeof kind === 'object' && 'repeated' in kind) (fields[name] as Fields[]).push(decode(kind.repeated(), value.bytes));
    else fields[name] = scalar(kind, value);
  });
  // Only now is it known whether it is JSON.
  if (payload) fields[payload[0]] = fields.binary ? payload[1].slice() : JSON.parse(readText(payload[1]));
  return fields;
}

function scalar(kind: Exclude<Kind, 'json' | 'tags' | { repeated: () => Table }>, { number, bytes }: Value): unknown {
  if (kind === 'text') return readText(bytes);
  if (kind === 'flag') return number !== 0;
  return typeof kind === 'object' ? decode(kind.message(), bytes) : number;
}

function tag({ bytes }: Value): Record<string, string> {
  const entry = decode({ 1: ['key', 'text'], 2: ['value', 'text'] }, bytes);
  return { [String(entry.key ?? '')]: String(entry.value ?? '') };
}

// The golden frames that hub and clients of all languages read.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { json, readFrame, writeCommand } from '../../src/codec.js';
import { protobuf } from '../../src/protobuf/index.js';
import { COMMAND, decode, encode, FRAME } from '../../src/protobuf/schema.js';
import type { Command, Frame } from '../../src/protocol.js';
import { EventStreamParser } from '../../src/transport/event-stream.js';
import { CLIENTS } from '../conformance/start.js';

const text = (name: string) => readFileSync(new URL(`fixtures/${name}`, CLIENTS), 'utf8');
const lines = (name: string) => text(name).trim().split('\n');

test('every golden frame is read', () => {
  const frames = lines('frames.jsonl');
  assert.ok(frames.length > 20);
  for (const line of frames) {
    const raw = JSON.parse(line) as Frame;
    const frame = json.decode(line);
    assert.deepEqual(Object.keys(frame), Object.keys(raw), line);
    if (raw.message?.binary) assert.deepEqual(frame.message?.data, new Uint8Array([0, 1, 255]));
    else assert.deepEqual(frame.message, raw.message);
    for (const [index, message] of (raw.reply?.history?.publications ?? []).entries()) {
      const data = frame.reply?.history?.publications[index]?.data;
      if (message.binary) assert.deepEqual(data, new Uint8Array([0, 1, 255]));
      else assert.deepEqual(data, message.data);
    }
  }
});

test('the event stream gives the same frames, however it is cut', () => {
  const wanted = lines('frames.jsonl').map((line) => JSON.parse(line) as Frame);
  const stream = text('sse.txt');
  for (const size of [1, 7, 64, stream.length]) {
    const parser = new EventStreamParser();
    const events: { type: string; data: string }[] = [];
    for (let at = 0; at < stream.length; at += size) events.push(...parser.push(stream.slice(at, at + size)));
    assert.deepEqual(
      events.map(({ type, data }) => ({ [type]: JSON.parse(data) as unknown })),
      wanted,
      `in pieces of ${size}`,
    );
  }
});

test('commands are written as the hub reads them', () => {
  for (const line of lines('commands.jsonl')) {
    const command = JSON.parse(line) as Command;
    assert.deepEqual(JSON.parse(writeCommand(command)), command);
  }
  const bytes: Command = { id: 6, publish: { channel: 'chat:1', data: new Uint8Array([0, 1, 255]) } };
  assert.deepEqual(JSON.parse(writeCommand(bytes)), { id: 6, publish: { channel: 'chat:1', data: 'AAH/', binary: true } });
});

test('protobuf says the same as JSON, frame for frame', () => {
  for (const line of lines('frames.jsonl')) {
    const frame = readFrame(JSON.parse(line) as Frame);
    // What an absent field means is left out in either.
    const plain = (value: unknown): unknown =>
      JSON.parse(JSON.stringify(value, (_, inner: unknown) => (inner === false || inner === 0 || inner === '' ? undefined : inner)));
    const bytes = encode(FRAME, withoutTags(frame)).finish();
    assert.deepEqual(plain(protobuf.decode(bytes.buffer)), plain(withoutTags(frame)), line);
  }
});

test('protobuf commands carry what JSON carries', () => {
  for (const line of lines('commands.jsonl')) {
    const command = JSON.parse(line) as Command;
    if (command.publish?.binary) command.publish.data = new Uint8Array([0, 1, 255]);
    const bytes = protobuf.encode(command) as Uint8Array;
    assert.deepEqual(decode(COMMAND, bytes), { ...command }, line);
  }
});

test('protobuf bytes are those that other libraries write', () => {
  const hex = (command: Command) => Buffer.from(protobuf.encode(command) as Uint8Array).toString('hex');
  // By `protoc --encode=switchboard.client.v1.Command`.
  assert.equal(hex({ id: 0, ping: {} }), '08005200');
  assert.equal(hex({ id: 300, subscribe: { channel: 'a:1', rewind: 0 } }), '08ac0212070a03613a311800');
  assert.throws(() => protobuf.decode('text'), /text message/);
  assert.throws(() => protobuf.decode(new Uint8Array([0x1a, 5, 1]).buffer), /cut short/);
  assert.deepEqual(protobuf.decode(new Uint8Array(Buffer.from('1a0e420c0a046b696e6412046e6f7465', 'hex')).buffer), {
    message: { tags: { kind: 'note' } },
  });
});

/** The codec writes commands, which have no tags; only reading knows them. */
function withoutTags(frame: Frame): Record<string, unknown> {
  return JSON.parse(
    JSON.stringify(frame, (key, value: unknown) => (key === 'tags' ? undefined : value)),
    (_, value: unknown) => {
      const bytes = value as Record<string, number> | null;
      const isBytes = typeof bytes === 'object' && bytes !== null && bytes['0'] === 0 && bytes['2'] === 255;
      return isBytes ? new Uint8Array([0, 1, 255]) : value;
    },
  ) as Record<string, unknown>;
}

// Between frames and what travels on a WebSocket. JSON is built in; protobuf is an entry of its own.

import type { Command, Frame } from './protocol.js';

/** One format of the wire. */
export interface Codec {
  /** The WebSocket subprotocol that selects it. */
  readonly subprotocol: string;
  /** Whether socket messages are binary. */
  readonly binary: boolean;
  encode(command: Command): string | Uint8Array<ArrayBuffer>;
  /** Throws on what is no frame. */
  decode(message: string | ArrayBuffer): Frame;
}

const toBytes = (base64: string): Uint8Array => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));

function toBase64(bytes: Uint8Array): string {
  let text = '';
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}

/** JSON has no bytes: where `binary` is true they are base64 on the wire. */
interface Payload {
  data?: unknown;
  binary?: boolean;
}

function revive<P extends Payload>(payload: P | undefined): void {
  if (payload?.binary && typeof payload.data === 'string') payload.data = toBytes(payload.data);
}

/** A frame's payloads as the application sees them. */
export function readFrame(frame: Frame): Frame {
  revive(frame.message);
  revive(frame.reply?.call);
  for (const message of frame.reply?.history?.publications ?? []) revive(message);
  return frame;
}

/** A command as a line of JSON. */
export function writeCommand(command: Command): string {
  const payload = command.publish ?? command.call;
  if (!(payload?.data instanceof Uint8Array)) return JSON.stringify(command);
  const written = { ...payload, data: toBase64(payload.data), binary: true };
  return JSON.stringify(command.publish ? { ...command, publish: written } : { ...command, call: written });
}

/** The format of every transport, and the default on WebSocket. */
export const json: Codec = {
  subprotocol: 'switchboard.v1.json',
  binary: false,
  encode: writeCommand,
  decode(message) {
    const frame: unknown = JSON.parse(typeof message === 'string' ? message : new TextDecoder().decode(message));
    if (typeof frame !== 'object' || frame === null) throw new Error('a message is no frame');
    return readFrame(frame as Frame);
  },
};

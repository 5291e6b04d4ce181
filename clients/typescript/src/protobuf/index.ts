// `@switchboard/client/protobuf`: the binary format of WebSocket, for those who give it as `codec`.

import type { Codec } from '../codec.js';
import type { Frame } from '../protocol.js';
import { COMMAND, decode, encode, FRAME } from './schema.js';

/** One `Command` or `Frame` of `client.proto` in each binary message. The other transports stay with JSON. */
export const protobuf: Codec = {
  subprotocol: 'switchboard.v1.protobuf',
  binary: true,
  encode: (command) => encode(COMMAND, { ...command }).finish(),
  decode(message) {
    if (typeof message === 'string') throw new Error('a text message, and protobuf was agreed on');
    return decode(FRAME, new Uint8Array(message)) as Frame;
  },
};

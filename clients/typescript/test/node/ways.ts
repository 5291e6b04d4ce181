// The ways to a hub that tests go: a name, a transport, and what else the client is made with.

import type { ClientOptions, TransportName } from '../../src/index.js';
import { protobuf } from '../../src/protobuf/index.js';

export const WAYS: [string, TransportName, ClientOptions][] = [
  ['websocket', 'websocket', {}],
  ['websocket with protobuf', 'websocket', { codec: protobuf }],
  ['sse', 'sse', {}],
  ['poll', 'poll', {}],
];

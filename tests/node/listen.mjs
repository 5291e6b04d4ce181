// A client of one transport made of well-known packages: listen.mjs websocket|sse CHANNEL COUNT.
//
// Says {"open": ...}, then {"message": ...} for each of COUNT messages, then publishes {"from": transport} itself and says what
// comes of it. The EventSource is left to itself: should its stream end, it reconnects by its own means.

import { load, say } from './packages.mjs';

const [transport, channel, count] = [process.argv[2], process.argv[3], Number(process.argv[4])];
const hub = process.env.SWITCHBOARD_HUB;
const authorization = `Bearer ${process.env.SWITCHBOARD_TOKEN}`;
const command = JSON.stringify({ id: 1, publish: { channel, data: { from: transport } } });
let heard = 0;

function message(body, publish, close) {
  say({ message: body });
  heard += 1;
  if (heard === count) publish();
  if (heard > count) close();
}

function overWebSocket() {
  const WebSocket = load('ws');
  const address = `${hub.replace('http', 'ws')}/v1/ws?channel=${channel}`;
  const socket = new WebSocket(address, ['switchboard.v1.json'], { headers: { authorization }, perMessageDeflate: true });
  socket.on('open', () => say({ negotiated: { extensions: socket.extensions, subprotocol: socket.protocol } }));
  socket.on('message', (text) => {
    const frame = JSON.parse(text);
    if (frame.subscribed) say({ open: frame.subscribed });
    if (frame.message) message(frame.message, () => socket.send(command), () => socket.close(1000));
  });
}

function overSse() {
  const { EventSource } = load('eventsource');
  const fetchWithToken = (input, init) => fetch(input, { ...init, headers: { ...init.headers, authorization } });
  const source = new EventSource(`${hub}/v1/sse?channel=${channel}`, { fetch: fetchWithToken });
  let key = null;
  source.addEventListener('open', (event) => {
    if (event.data) ({ key } = JSON.parse(event.data));
  });
  source.addEventListener('subscribed', (event) => say({ open: JSON.parse(event.data) }));
  source.onmessage = (event) => {
    const publish = () => fetch(`${hub}/v1/commands?key=${key}`, { method: 'POST', body: command });
    message(JSON.parse(event.data), publish, () => source.close());
  };
}

if (transport === 'websocket') overWebSocket();
else overSse();

// A proxy between clients and the hub that can be told to misbehave. It knows the requests of the protocol apart, so that one
// transport can be broken while the others work.

import { createServer, request as ask } from 'node:http';
import { connect } from 'node:net';
import { Transform } from 'node:stream';

import { DEFAULTS, checked } from './faults.mjs';

const HOP_BY_HOP = new Set(['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'proxy-connection']);

/** What a request is for: `ws`, `sse`, `poll`, `commands`, or `why` (the plain GET after a failed handshake). */
function kindOf(incoming) {
  const path = incoming.url.split('?', 1)[0];
  if (path === '/v1/ws') return incoming.headers.upgrade ? 'ws' : 'why';
  return { '/v1/sse': 'sse', '/v1/poll': 'poll', '/v1/commands': 'commands' }[path] ?? 'other';
}

/** What lets a page of any origin read an answer of the proxy's own. */
const crossOrigin = ({ headers: { origin = '*' } }) => ({
  'access-control-allow-origin': origin,
  'access-control-allow-headers': 'authorization, content-type, cache-control',
  'access-control-expose-headers': 'retry-after',
});

function allow(incoming, outgoing) {
  outgoing.writeHead(204, crossOrigin(incoming));
  outgoing.end();
}

/** One listener with modes of its own. */
export class Proxy {
  #target;
  #server = createServer();
  #sockets = new Set();
  #open = new Map();
  #counts = {};
  #refused = 0;
  #refusedUpgrades = 0;
  #silent = new WeakSet();
  #lastWords = new WeakSet();
  #isPaused = false;
  #held = [];

  /** `target()` gives the hub's address, or nothing while there is none. */
  constructor(target, modes = {}) {
    this.#target = target;
    this.modes = { ...DEFAULTS, ...checked(modes) };
    this.#server.keepAliveTimeout = 60_000;
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.on('close', () => this.#sockets.delete(socket));
      if (this.modes.answer === 'close') socket.destroy();
    });
    this.#server.on('request', (incoming, outgoing) => this.#request(incoming, outgoing));
    this.#server.on('upgrade', (incoming, socket, head) => this.#upgrade(incoming, socket, head));
  }

  async listen() {
    await new Promise((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.#server.address().port}`;
    return this;
  }

  /** Changes some modes; what is open already keeps its own but for `delay_ms`. */
  set(change) {
    Object.assign(this.modes, checked(change));
  }

  /** How often each kind of request came, and what is open at the moment. */
  get state() {
    const open = {};
    for (const kind of this.#open.values()) open[kind] = (open[kind] ?? 0) + 1;
    return { url: this.url, modes: this.modes, requests: { ...this.#counts }, refused: this.#refused, refused_upgrades: this.#refusedUpgrades, open };
  }

  /** Resets every connection, or those that carry this kind. */
  cut(kind) {
    for (const [socket, carried] of this.#open) if (!kind || carried === kind) socket.resetAndDestroy();
    if (!kind) for (const socket of this.#sockets) socket.resetAndDestroy();
  }

  /** From now on nothing passes on what is open, either way, and nothing is closed: the peer looks alive and is not. */
  halfOpen() {
    for (const socket of this.#open.keys()) this.#silent.add(socket);
  }

  /** As `halfOpen`, once the hub has said one thing more. */
  lastWords() {
    for (const socket of this.#open.keys()) this.#lastWords.add(socket);
  }

  /** Nothing passes until `resume`, and nothing is lost. */
  pause() {
    this.#isPaused = true;
  }

  resume() {
    this.#isPaused = false;
    for (const pass of this.#held.splice(0)) pass();
  }

  close() {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #enter(incoming, socket) {
    const kind = kindOf(incoming);
    this.#counts[kind] = (this.#counts[kind] ?? 0) + 1;
    this.#open.set(socket, kind);
    // What was silenced on it was another exchange, and it has ended.
    this.#silent.delete(socket);
    return kind;
  }

  #request(incoming, outgoing) {
    const socket = incoming.socket;
    // A browser's preflight is nobody's request: what it would hide is the refusal that is to be seen.
    if (incoming.method === 'OPTIONS' && Number.isInteger(this.modes.answer)) return allow(incoming, outgoing);
    const kind = this.#enter(incoming, socket);
    outgoing.on('close', () => this.#open.delete(socket));
    const modes = { ...this.modes };
    const mode = modes[kind] ?? 'pass';
    const target = this.#target();
    if (modes.answer === 'close' || !target || mode === 'drop') return void socket.destroy();
    if (modes.answer !== 'pass' || mode === 'refuse') return this.#refuse(incoming, outgoing, mode === 'refuse' ? 502 : modes.answer);
    const upstream = ask({
      host: target.split(':')[0],
      port: target.split(':')[1],
      method: incoming.method,
      path: incoming.url,
      headers: incoming.headers,
      agent: false,
    });
    upstream.on('error', () => socket.destroy());
    outgoing.on('close', () => upstream.destroy());
    incoming.pipe(this.#wire(socket)).pipe(upstream);
    upstream.on('response', (answer) => {
      if (mode === 'lose') {
        answer.resume();
        return void answer.on('close', () => socket.destroy());
      }
      const send = () => {
        const headers = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.has(name));
        outgoing.writeHead(answer.statusCode, Object.fromEntries(headers));
        outgoing.flushHeaders();
      };
      answer.on('error', () => this.#break(socket));
      answer.on('aborted', () => this.#break(socket));
      if (mode === 'buffer') {
        const held = [];
        answer.on('data', (chunk) => held.push(chunk));
        return void answer.on('end', () => {
          send();
          outgoing.end(Buffer.concat(held));
        });
      }
      send();
      if (mode === 'kill') setTimeout(() => socket.resetAndDestroy(), modes.kill_after_ms);
      answer.pipe(this.#wire(socket, true)).pipe(outgoing);
    });
  }

  #upgrade(incoming, socket, head) {
    this.#enter(incoming, socket);
    socket.on('close', () => this.#open.delete(socket));
    const modes = { ...this.modes };
    const target = this.#target();
    if (modes.answer === 'close' || !target) return void socket.destroy();
    if (modes.ws === 'hang') return;
    const status = modes.answer !== 'pass' ? modes.answer : modes.ws === 'refuse' ? 502 : undefined;
    if (status) {
      this.#refusedUpgrades += 1;
      const retry = modes.retry_after_s ? `retry-after: ${modes.retry_after_s}\r\n` : '';
      return void socket.end(`HTTP/1.1 ${status} refused by the proxy\r\n${retry}content-length: 0\r\nconnection: close\r\n\r\n`);
    }
    const upstream = connect({ host: target.split(':')[0], port: Number(target.split(':')[1]), noDelay: true });
    upstream.on('error', () => this.#break(socket)).on('close', () => this.#break(socket));
    socket.on('close', () => upstream.destroy());
    const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`];
    for (let at = 0; at < incoming.rawHeaders.length; at += 2) {
      const name = incoming.rawHeaders[at];
      if (modes.ws === 'strip' && ['connection', 'upgrade'].includes(name.toLowerCase())) continue;
      lines.push(`${name}: ${incoming.rawHeaders[at + 1]}`);
    }
    if (modes.ws === 'strip') lines.push('connection: close');
    upstream.write(`${lines.join('\r\n')}\r\n\r\n`);
    upstream.write(head);
    socket.pipe(this.#wire(socket)).pipe(upstream);
    upstream.once('data', (first) => {
      // The answer's head goes through; with `stall` whatever shared a packet with it does not.
      const headEnd = first.indexOf('\r\n\r\n') + 4;
      const stalled = modes.ws === 'stall' || modes.ws === 'kill';
      socket.write(stalled && headEnd > 3 ? first.subarray(0, headEnd) : first);
      if (modes.ws === 'stall') return this.#silent.add(socket), void upstream.pipe(this.#wire(socket, true)).pipe(socket);
      if (modes.ws === 'kill') setTimeout(() => socket.resetAndDestroy(), modes.kill_after_ms);
      if (stalled && headEnd < first.length) socket.write(first.subarray(headEnd));
      upstream.pipe(this.#wire(socket, true)).pipe(socket);
    });
  }

  #refuse(incoming, outgoing, status) {
    const retry = this.modes.retry_after_s;
    this.#refused += 1;
    outgoing.writeHead(status, { ...crossOrigin(incoming), connection: 'close', ...(retry ? { 'retry-after': retry } : {}) });
    outgoing.end();
  }

  /** The hub's end is gone; the client's goes with it, but where nothing is to be heard. */
  #break(socket) {
    if (!this.#silent.has(socket)) socket.destroy();
  }

  /** What bytes go through, one way: late, once the proxy goes on, or never when the connection is half-open. */
  #wire(socket, isHubs = false) {
    return new Transform({
      // What a paused proxy holds is little, so that the hub feels a slow reader.
      highWaterMark: 16_384,
      transform: (chunk, _, done) => {
        const pass = () => {
          if (this.#silent.has(socket)) return; // never done: it takes nothing more, and the sender's buffers fill
          if (this.#isPaused) return void this.#held.push(pass);
          if (isHubs && this.#lastWords.delete(socket)) this.#silent.add(socket);
          done(null, chunk);
        };
        if (this.modes.delay_ms === 0) pass();
        else setTimeout(pass, this.modes.delay_ms);
      },
    });
  }
}

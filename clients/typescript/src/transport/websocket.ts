// A WebSocket. When it fails with nothing but 1006, a plain GET of the same address asks why.

import type { Loss } from '../machine/verdict.js';
import { address, broken, refusal, requestInit } from './http.js';
import { type LinkOptions, type OpenLink, once } from './link.js';

/** An upgrade is needed, and nothing else is wrong. */
const UPGRADE_REQUIRED = 426;
/** Closed with no status, and without a close frame. */
const NO_STATUS = 1005;
const ABNORMAL = 1006;

/** Opens a session over WebSocket. */
export const openWebSocket: OpenLink = (options, given) => {
  const events = once(given);
  const { WebSocket, codec, token, heartbeatS } = options;
  if (!WebSocket) {
    queueMicrotask(() => events.lost({ why: 'barred', message: 'there is no WebSocket here: give the option `WebSocket`' }));
    return { send: () => {}, close: events.end };
  }
  const url = address(options, 'ws', { heartbeat: heartbeatS });
  const protocols = [codec.subprotocol];
  if (token !== undefined) protocols.push(`switchboard.token.${token}`);
  const socket = new WebSocket(url.replace(/^http/, 'ws'), protocols);
  socket.binaryType = 'arraybuffer';
  const waiting: (string | Uint8Array<ArrayBuffer>)[] = [];
  const asking = new AbortController();
  let upgraded = false;
  let hasSession = false;
  socket.addEventListener('open', () => {
    upgraded = true;
  });
  socket.addEventListener('message', ({ data }) => {
    events.heard();
    let frame: ReturnType<typeof codec.decode>;
    try {
      frame = codec.decode(data as string | ArrayBuffer);
    } catch (error) {
      events.lost(broken(error));
      return socket.close();
    }
    if (frame.open) {
      hasSession = true;
      for (const message of waiting.splice(0)) socket.send(message);
    }
    if (!frame.close) return events.frame(frame);
    events.lost({ why: 'closed', close: frame.close, framed: true });
    socket.close();
  });
  socket.addEventListener('error', () => {});
  socket.addEventListener('close', ({ code, reason }) => {
    if (code !== ABNORMAL && code !== NO_STATUS) return events.lost({ why: 'closed', close: { code, reason }, framed: false });
    if (hasSession) return events.lost({ why: 'broken', message: `the socket closed with ${code}` });
    if (upgraded) return events.lost({ why: 'barred', message: 'the socket opened and was closed before it gave a session' });
    askWhy(options, asking.signal).then(events.lost);
  });
  return {
    send(commands) {
      for (const command of commands) {
        const message = codec.encode(command);
        if (hasSession) socket.send(message);
        else waiting.push(message);
      }
    },
    close() {
      if (!events.end()) return;
      asking.abort();
      socket.close(1000);
    },
  };
};

/** Asks by a plain GET why a handshake failed. */
async function askWhy(options: LinkOptions, signal: AbortSignal): Promise<Loss> {
  try {
    const init = { ...requestInit(options), signal: AbortSignal.any([signal, AbortSignal.timeout(options.requestMs)]) };
    const response = await options.fetch(address(options, 'ws', {}), init);
    if (response.status === UPGRADE_REQUIRED) return { why: 'barred', message: 'WebSocket upgrades do not get through' };
    return await refusal(response);
  } catch (error) {
    return broken(error);
  }
}

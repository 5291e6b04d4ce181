// Server-Sent Events: a plain EventSource, which resumes by itself with Last-Event-ID; commands by POST.
// The contract of a transport is in ws.js.

import { CommandPost } from '/commands.js';
import { askWhy } from '/problem.js';

const KINDS = ['open', 'reply', 'join', 'leave', 'gap', 'subscribed', 'unsubscribed', 'expiring', 'draining', 'heartbeat', 'close'];

export function openSse(query, hooks) {
  const path = `/v1/sse?${query}`;
  const source = new EventSource(path);
  const post = new CommandPost(hooks);
  let opened = false;
  let closed = false;

  const finish = (how) => {
    closed = true;
    source.close();
    post.drop();
    hooks.end({ opened, code: null, reason: '', problem: null, ...how });
  };

  // The cursor goes with every event that carries an `id:`.
  const receive = (kind, event) => {
    if (closed || typeof event.data !== 'string') return;
    if (event.lastEventId) hooks.cursor(event.lastEventId);
    const body = JSON.parse(event.data);
    if (kind === 'open') {
      opened = true;
      post.key = body.key;
    }
    hooks.frame(kind, body);
    // EventSource comes back by itself at the pace of `retry:`. Not where the hub says stay away, and not with the
    // token in its URL where a new one is asked for.
    if (kind === 'close' && (!body.reconnect || (body.code >= 4100 && body.code < 4300))) {
      finish({ code: body.code, reason: body.reason });
    }
  };

  source.onmessage = (event) => receive('message', event);
  // EventSource also fires an `open` of its own, without data: `receive` passes it over.
  for (const kind of KINDS) source.addEventListener(kind, (event) => receive(kind, event));
  source.onerror = async () => {
    if (closed) return;
    post.drop();
    if (source.readyState !== EventSource.CLOSED) {
      hooks.lost();
      return;
    }
    const problem = await askWhy(path);
    if (!closed) finish({ code: 1006, problem });
  };

  return {
    send: (command) => post.send(command),
    close() {
      closed = true;
      source.close();
      post.drop();
    },
  };
}

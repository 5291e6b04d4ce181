// WebSocket: commands and frames on one socket, one JSON object a frame.
//
// Every transport is a function `open(query, hooks)` that returns `{send(command), close()}` and calls
//   hooks.frame(kind, body)   for each frame
//   hooks.cursor(cursor)      when the place to resume from moved (SSE and poll)
//   hooks.lost()              when it is reconnecting by itself
//   hooks.back()              when it got through again with the same session (poll)
//   hooks.failed(id, error)   when a command got no reply and will get none
//   hooks.end(how)            once, at last: {opened, code, reason, problem}; not after close()

import { askWhy } from '/problem.js';

export function openWs(query, hooks) {
  const path = `/v1/ws?${query}`;
  const socket = new WebSocket(new URL(path, location.href).href.replace(/^http/, 'ws'));
  let opened = false;
  let closed = false;

  socket.onopen = () => {
    opened = true;
  };
  socket.onmessage = (event) => {
    if (closed) return;
    const frame = JSON.parse(event.data);
    for (const kind of Object.keys(frame)) hooks.frame(kind, frame[kind]);
  };
  socket.onclose = async (event) => {
    if (closed) return;
    const how = { opened, code: event.code, reason: event.reason, problem: null };
    if (!opened) how.problem = await askWhy(path);
    if (!closed) hooks.end(how);
  };

  return {
    send(command) {
      if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(command));
      else hooks.failed(command.id, { code: 'unavailable', message: 'the socket is not open' });
    },
    close() {
      closed = true;
      socket.close(1000);
    },
  };
}

// An event stream, read by `fetch`: it works wherever there is `fetch`, takes headers, and shows comments as signs of life.

import { readFrame } from '../codec.js';
import type { Frame } from '../protocol.js';
import { EventStreamParser } from './event-stream.js';
import { address, broken, refusal, requestInit } from './http.js';
import type { LinkEvents, LinkOptions } from './link.js';
import { type Poster, posting } from './poster.js';

/** Opens a session over Server-Sent Events. */
export const openSse = posting(read);

async function read(options: LinkOptions, events: LinkEvents, poster: Poster, signal: AbortSignal): Promise<void> {
  try {
    const init = { ...requestInit(options, { accept: 'text/event-stream' }), signal };
    const response = await options.fetch(address(options, 'sse', { heartbeat: options.heartbeatS }), init);
    if (!response.ok || !response.body) return events.lost(await refusal(response));
    const parser = new EventStreamParser();
    const reader = response.body.getReader();
    const decoder = new TextDecoder();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return events.lost({ why: 'broken', message: 'the stream ended' });
      events.heard();
      for (const { type, data } of parser.push(decoder.decode(value, { stream: true }))) {
        const frame = readFrame({ [type]: JSON.parse(data) } as Frame);
        if (frame.close) return events.lost({ why: 'closed', close: frame.close, framed: true });
        if (frame.open) poster.key = frame.open.key;
        events.frame(frame);
      }
    }
  } catch (error) {
    events.lost(broken(error));
  }
}

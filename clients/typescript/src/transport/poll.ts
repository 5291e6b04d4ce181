// Long poll. The cursor acknowledges what came before it: an answer that is lost is asked for again.

import { readFrame } from '../codec.js';
import type { Frame } from '../protocol.js';
import { address, broken, refusal, requestInit } from './http.js';
import type { LinkEvents, LinkOptions } from './link.js';
import { type Poster, posting } from './poster.js';

/** A poll that failed is repeated so often before the session is given up. */
const TRIES_MAX = 3;
/** How long beyond its wait an answer may take. */
const GRACE_MS = 10_000;
const PAUSE_MS = 250;

interface Batch {
  key: string;
  cursor: string;
  frames: Frame[];
}

/** Opens a session over long poll. */
export const openPoll = posting(run);

async function run(options: LinkOptions, events: LinkEvents, poster: Poster, signal: AbortSignal): Promise<void> {
  let at: { key?: string; cursor?: string } = {};
  let tries = 0;
  while (!signal.aborted) {
    try {
      const query = at.key === undefined ? { heartbeat: options.heartbeatS } : { ...at, wait: options.pollWaitS };
      const within = AbortSignal.timeout(options.pollWaitS * 1000 + GRACE_MS);
      const init = { ...requestInit(options), signal: AbortSignal.any([signal, within]) };
      const response = await options.fetch(address(options, 'poll', query), init);
      if (!response.ok) return events.lost(await refusal(response));
      const batch = (await response.json()) as Batch;
      tries = 0;
      events.heard();
      at = { key: batch.key, cursor: batch.cursor };
      for (const frame of batch.frames.map(readFrame)) {
        if (frame.close) return events.lost({ why: 'closed', close: frame.close, framed: true });
        // Also later: a node that does not know the key opens a new session in place of the old.
        if (frame.open) poster.key = frame.open.key ?? batch.key;
        events.frame(frame);
      }
    } catch (error) {
      tries += 1;
      if (at.key === undefined || tries >= TRIES_MAX) return events.lost(broken(error));
      await new Promise((resolve) => setTimeout(resolve, Math.random() * PAUSE_MS * 2 ** tries));
    }
  }
}

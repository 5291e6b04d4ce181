// Long poll: one request after another, each acknowledging what the former carried; commands by POST.
// The contract of a transport is in ws.js.

import { backoff, pause } from '/backoff.js';
import { CommandPost } from '/commands.js';
import { readProblem } from '/problem.js';

/** How long the hub may hold a poll, seconds: below the 30 to 60 s after which proxies lose patience. */
const WAIT_SECONDS = 25;
/** Lost polls in a row before the session is opened anew instead. */
const LOST_MAX = 5;
/** An empty answer sooner than this did not wait; do not ask again at once, ms. */
const TOO_SOON = 50;

export function openPoll(query, hooks) {
  const stop = new AbortController();
  const post = new CommandPost(hooks);
  let key = null;
  let cursor = null;

  const finish = (how) => {
    stop.abort();
    post.drop();
    hooks.end({ opened: key !== null, code: null, reason: '', problem: null, ...how });
  };

  const poll = async () => {
    const params = key === null ? query : new URLSearchParams({ key, cursor: cursor ?? '', wait: WAIT_SECONDS });
    const response = await fetch(`/v1/poll?${params}`, { cache: 'no-store', signal: stop.signal });
    return response.ok ? { body: await response.json() } : { problem: await readProblem(response) };
  };

  const run = async () => {
    let lost = 0;
    while (!stop.signal.aborted) {
      const asked = performance.now();
      let answer;
      try {
        answer = await poll();
      } catch {
        if (stop.signal.aborted) return;
        // What was not acknowledged is sent again, so the same request is safe to repeat.
        lost += 1;
        if (key === null || lost > LOST_MAX) return finish({ code: 1006, reason: 'the hub cannot be reached' });
        hooks.lost();
        await pause(backoff(lost), stop.signal);
        continue;
      }
      if (stop.signal.aborted) return;
      if (answer.problem) return finish({ problem: answer.problem });
      if (lost > 0) hooks.back();
      lost = 0;

      const { body } = answer;
      if (body.key && body.key !== key) key = post.key = body.key;
      const frames = body.frames ?? [];
      for (const frame of frames) {
        for (const kind of Object.keys(frame)) {
          hooks.frame(kind, frame[kind]);
          if (stop.signal.aborted) return;
          if (kind === 'close') return finish({ code: frame.close.code, reason: frame.close.reason });
        }
      }
      // Only now: a cursor acknowledges the frames that came with it.
      if (body.cursor !== undefined) {
        cursor = body.cursor;
        hooks.cursor(cursor);
      }
      if (frames.length === 0 && performance.now() - asked < TOO_SOON) await pause(backoff(1), stop.signal);
    }
  };
  run();

  return {
    send: (command) => post.send(command),
    close() {
      stop.abort();
      post.drop();
    },
  };
}

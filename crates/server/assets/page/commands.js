// Commands of an SSE or poll session travel by POST, a JSON command a line; the replies come back a line each.

import { readProblem } from '/problem.js';

/** The most commands one POST carries; the rest wait for the next one. */
const BATCH_COMMANDS_MAX = 64;

export class CommandPost {
  #key = null;
  #queue = [];
  #busy = false;
  #hooks;

  constructor(hooks) {
    this.#hooks = hooks;
  }

  /** The session's key, from its `open` frame or poll response. Commands wait until there is one. */
  set key(key) {
    this.#key = key;
    this.#flush();
  }

  send(command) {
    this.#queue.push(command);
    this.#flush();
  }

  /** Gives up whatever still waits: the session has gone. */
  drop() {
    this.#key = null;
    for (const command of this.#queue.splice(0)) this.#fail(command, { code: 'unavailable', message: 'the session has gone' });
  }

  // One POST at a time: two in flight could overtake each other, and commands are ordered.
  async #flush() {
    if (this.#busy || this.#key === null || this.#queue.length === 0) return;
    this.#busy = true;
    const batch = this.#queue.splice(0, BATCH_COMMANDS_MAX);
    try {
      const response = await fetch(`/v1/commands?${new URLSearchParams({ key: this.#key })}`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-ndjson' },
        body: batch.map((command) => `${JSON.stringify(command)}\n`).join(''),
      });
      if (response.ok) {
        const lines = (await response.text()).split('\n').filter((line) => line.trim());
        for (const line of lines) {
          const frame = JSON.parse(line);
          for (const kind of Object.keys(frame)) this.#hooks.frame(kind, frame[kind]);
        }
      } else {
        const problem = await readProblem(response);
        for (const command of batch) this.#fail(command, { code: problem.code, message: problem.detail, retry_after: problem.retryAfter });
      }
    } catch (error) {
      for (const command of batch) this.#fail(command, { code: 'unavailable', message: String(error.message ?? error) });
    } finally {
      this.#busy = false;
    }
    this.#flush();
  }

  #fail(command, error) {
    this.#hooks.failed(command.id, error);
  }
}

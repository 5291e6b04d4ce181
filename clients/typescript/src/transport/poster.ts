// Commands of an SSE or poll session: one POST after the other, so that they keep their order.

import { readFrame, writeCommand } from '../codec.js';
import type { Command, Frame } from '../protocol.js';
import { address, broken, refusal, requestInit } from './http.js';
import { type LinkEvents, type LinkOptions, type OpenLink, once } from './link.js';

/** One POST carries so many at most: half of what the hub takes by default. */
const COMMANDS_MAX = 128;
const BODY_LENGTH_MAX = 65_536;

/** Statuses that say what is wrong with these commands, not with the session. */
const OF_THE_COMMANDS = new Set([400, 413, 415, 429]);

/** Sends the commands of one session. */
export class Poster {
  #key: string | undefined;
  #waiting: Command[] = [];
  #isBusy = false;

  constructor(
    private readonly options: LinkOptions,
    private readonly events: LinkEvents,
    private readonly signal: AbortSignal,
  ) {}

  /** The session's key, from its `open` frame. What waited for another session is not for this one. */
  set key(key: string | undefined) {
    if (this.#key !== undefined && key !== this.#key) this.#waiting = [];
    this.#key = key;
    void this.#run();
  }

  send(commands: Command[]): void {
    this.#waiting.push(...commands);
    // Those of one turn go together.
    queueMicrotask(() => void this.#run());
  }

  async #run(): Promise<void> {
    if (this.#isBusy || this.#key === undefined) return;
    this.#isBusy = true;
    while (this.#waiting.length > 0 && !this.signal.aborted) await this.#post(this.#next());
    this.#isBusy = false;
  }

  #next(): Command[] {
    let length = 0;
    let count = 0;
    for (const command of this.#waiting.slice(0, COMMANDS_MAX)) {
      length += writeCommand(command).length;
      if (count > 0 && length > BODY_LENGTH_MAX) break;
      count += 1;
    }
    return this.#waiting.splice(0, count);
  }

  async #post(commands: Command[]): Promise<void> {
    const { options, events } = this;
    try {
      const response = await options.fetch(address(options, 'commands', { key: this.#key }), {
        // The key is the proof. A simple request needs no preflight.
        ...requestInit({ ...options, token: undefined }, { 'content-type': 'text/plain' }),
        method: 'POST',
        body: commands.map(writeCommand).join('\n'),
        signal: AbortSignal.any([this.signal, AbortSignal.timeout(options.requestMs)]),
      });
      if (response.ok) {
        for (const line of (await response.text()).split('\n')) if (line.trim() !== '') events.frame(readFrame(JSON.parse(line) as Frame));
        return;
      }
      const loss = await refusal(response);
      if (loss.why !== 'refused' || loss.code === '' || !OF_THE_COMMANDS.has(loss.status)) return events.lost(loss);
      const error = { code: loss.code, message: loss.message, retryable: loss.status === 429, retry_after: loss.retryAfter };
      for (const { id } of commands) if (id !== undefined) events.frame({ reply: { id, error } });
    } catch (error) {
      // Whether they were carried out is not known: the session is opened anew, from its positions.
      events.lost(broken(error));
    }
  }
}

/** What reads a session until the signal says that it is over. */
type Reading = (options: LinkOptions, events: LinkEvents, poster: Poster, signal: AbortSignal) => Promise<void>;

/** Opens links that `read` reads, and that send by POST. */
export function posting(read: Reading): OpenLink {
  return (options, given) => {
    const ending = new AbortController();
    const guarded = once(given);
    const events: LinkEvents = {
      ...guarded,
      lost(loss) {
        guarded.lost(loss);
        ending.abort();
      },
    };
    const poster = new Poster(options, events, ending.signal);
    void read(options, events, poster, ending.signal);
    return {
      send: (commands) => poster.send(commands),
      close() {
        guarded.end();
        ending.abort();
      },
    };
  };
}

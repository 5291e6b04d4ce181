// The format of `text/event-stream` (WHATWG HTML, section 9.2.6), as far as the hub writes it.

/** Cuts a stream of text into events, whatever the chunks. */
export class EventStreamParser {
  #rest = '';
  #type = '';
  #data: string[] = [];

  /** The events that this chunk completes. */
  push(chunk: string): { type: string; data: string }[] {
    const events: { type: string; data: string }[] = [];
    const lines = (this.#rest + chunk).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '') {
        if (this.#data.length > 0) events.push({ type: this.#type || 'message', data: this.#data.join('\n') });
        this.#type = '';
        this.#data = [];
        continue;
      }
      const colon = line.indexOf(':');
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
      if (name === 'event') this.#type = value;
      else if (name === 'data') this.#data.push(value);
    }
    return events;
  }
}

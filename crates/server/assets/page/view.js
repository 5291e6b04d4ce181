// What the page shows: rows of the stream, members, subscriptions. Draws what it is given; decides nothing.

/** Rows kept in the list. */
const ROWS_MAX = 800;
/** A payload's text in a closed row, characters. */
const SUMMARY_CHARACTERS = 400;

export const $ = (id) => document.getElementById(id);

export function element(name, className = '', text = '') {
  const node = document.createElement(name);
  if (className) node.className = className;
  if (text !== '') node.textContent = text;
  return node;
}

/** A duration given in ms, with three digits or so: "0.42 ms", "18.3 ms", "1.20 s", "3 min". */
export function milliseconds(value) {
  const size = Math.abs(value);
  if (size < 1) return `${value.toFixed(2)} ms`;
  if (size < 100) return `${value.toFixed(1)} ms`;
  if (size < 1000) return `${value.toFixed(0)} ms`;
  if (size < 60_000) return `${(value / 1000).toFixed(2)} s`;
  if (size < 5_400_000) return `${Math.round(value / 60_000)} min`;
  return `${Math.round(value / 3_600_000)} h`;
}

/** Wall time with ms: what a log has. */
export function timeOfDay(ms) {
  const date = new Date(ms);
  const pad = (number, width = 2) => String(number).padStart(width, '0');
  return `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}.${pad(date.getMilliseconds(), 3)}`;
}

/** One of a few hues for a name, always the same one. */
function hue(name) {
  let hash = 0;
  for (const character of String(name)) hash = (hash * 31 + character.codePointAt(0)) >>> 0;
  return `hue-${hash % 8}`;
}

/** The list of messages: rows are gathered and put in together, and it stays at its end unless scrolled away. */
export class Stream {
  #list = $('messages');
  #latest = $('latest');
  #waiting = [];
  #scheduled = false;
  #pinned = true;

  constructor() {
    this.#list.addEventListener('scroll', () => this.#look());
    this.#latest.addEventListener('click', () => this.#toEnd());
    // Opens and shuts the frame below a row. One listener for all rows.
    this.#list.addEventListener('click', (event) => {
      const button = event.target.closest('.payload');
      if (!button) return;
      const row = button.closest('.message');
      const open = button.getAttribute('aria-expanded') !== 'true';
      button.setAttribute('aria-expanded', String(open));
      if (open) row.append(element('pre', 'frame', JSON.stringify(row.frame, null, 2)));
      else row.querySelector('.frame')?.remove();
      this.#look();
    });
  }

  message(frame, { at, latency, latencyTitle }) {
    const row = element('div', 'message');
    row.dataset.channel = frame.channel ?? '';
    row.dataset.offset = frame.offset ?? '';
    row.frame = frame;
    const user = frame.from?.user ?? '';
    const name = element('span', `user ${user ? hue(user) : ''}`, user || 'service');
    if (frame.from?.session) name.title = `session ${frame.from.session}`;
    const payload = element('button', `payload ${isText(frame.data) ? '' : 'json'}`, summary(frame));
    payload.type = 'button';
    payload.setAttribute('aria-expanded', 'false');
    const taken = element('span', 'latency', latency === null ? '' : milliseconds(latency));
    if (latencyTitle) taken.title = latencyTitle;
    row.append(element('time', '', timeOfDay(at)), element('span', 'channel', frame.channel || 'direct'), element('span', 'offset', String(frame.offset ?? '')), name, payload, taken);
    this.#put(row);
  }

  /** Something was or may have been missed: never to be overlooked. */
  gap({ channel, reason, position }) {
    const row = element('div', 'gap');
    row.dataset.channel = channel ?? '';
    row.setAttribute('role', 'alert');
    row.append(
      element('time', '', timeOfDay(Date.now())),
      element('strong', '', 'gap'),
      element('span', 'text', `${channel}: messages before ${position.offset || 'this'} may be missing (${reason})`),
    );
    this.#put(row);
  }

  /** A small row for anything else. */
  note(kind, text, level = '') {
    const row = element('div', `note ${level}`);
    row.dataset.kind = kind;
    row.append(element('time', '', timeOfDay(Date.now())), element('span', 'kind', kind), element('span', 'text', text));
    this.#put(row);
  }

  clear() {
    this.#waiting = [];
    this.#list.replaceChildren();
    $('empty').hidden = false;
    this.#toEnd();
  }

  #look() {
    this.#pinned = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 24;
    this.#latest.hidden = this.#pinned;
  }

  #put(row) {
    this.#waiting.push(row);
    // A page in the background gets no animation frames; what nobody would ever see is let go.
    if (this.#waiting.length > ROWS_MAX) this.#waiting.shift();
    if (this.#scheduled) return;
    this.#scheduled = true;
    if (document.hidden) setTimeout(() => this.#flush(), 100);
    else requestAnimationFrame(() => this.#flush());
  }

  #flush() {
    this.#scheduled = false;
    $('empty').hidden = true;
    this.#list.append(...this.#waiting.splice(0));
    while (this.#list.childElementCount > ROWS_MAX) this.#list.firstElementChild.remove();
    if (this.#pinned) this.#toEnd();
  }

  #toEnd() {
    this.#list.scrollTop = this.#list.scrollHeight;
    this.#pinned = true;
    this.#latest.hidden = true;
  }
}

function isText(data) {
  return typeof data === 'string' || typeof data?.text === 'string';
}

function summary({ data }) {
  if (data instanceof Uint8Array) return `binary, ${data.length} bytes`;
  // Indented and folded again: JSON with spaces, which can be read and wrapped.
  const text = isText(data) ? data.text ?? data : (JSON.stringify(data, null, 1) ?? '').replace(/\n\s*/g, ' ');
  return text.length > SUMMARY_CHARACTERS ? `${text.slice(0, SUMMARY_CHARACTERS)}…` : text;
}

/** Members by channel; `own` holds the ids of this page's sessions. */
export function showMembers(channels, own) {
  const target = $('members');
  if (channels.size === 0) {
    target.replaceChildren(element('p', 'quiet', 'Connect to see who is here.'));
    return;
  }
  target.replaceChildren(
    ...[...channels].map(([channel, { members, count, error }]) => {
      const group = element('div', 'group');
      group.dataset.channel = channel;
      const head = element('h3', '', channel);
      head.append(element('span', 'count', error ? '' : String(count)));
      group.append(head);
      if (error) group.append(element('p', 'quiet', error));
      const list = element('ul');
      for (const member of members.values()) {
        const item = element('li', 'member');
        item.dataset.session = member.session;
        item.title = member.info === undefined ? '' : JSON.stringify(member.info);
        const user = member.user || 'anonymous';
        item.append(element('span', `face ${hue(user)}`, [...user][0].toUpperCase()), element('span', 'name', user), element('code', '', member.session));
        if (own.has(member.session)) item.append(element('span', 'tag', 'you'));
        list.append(item);
      }
      group.append(list);
      if (count > members.size) group.append(element('p', 'quiet', `and ${count - members.size} more`));
      return group;
    }),
  );
}

/** Subscriptions with their positions. */
export function showSubscriptions(subscriptions) {
  $('subscriptions').replaceChildren(
    ...subscriptions.map((subscription) => {
      const { channel, position, state } = subscription;
      const item = element('li', state === 'subscribed' ? 'live' : '');
      item.dataset.channel = channel;
      item.title = state;
      const remove = element('button', 'small icon', '×');
      remove.type = 'button';
      remove.setAttribute('aria-label', `Unsubscribe from ${channel}`);
      remove.addEventListener('click', () => subscription.unsubscribe());
      const where = element('code', 'position', position ? `${position.offset}` : '');
      where.title = position ? `epoch ${position.epoch}, offset ${position.offset}` : '';
      item.append(element('span', 'lamp'), element('span', 'name', channel), where, remove);
      return item;
    }),
  );
}

/** The channels one can publish to, keeping the choice. */
export function showTargets(names) {
  const target = $('target');
  if (names.join('\n') === [...target.options].map((option) => option.value).join('\n')) return;
  const chosen = target.value;
  target.replaceChildren(...names.map((name) => new Option(name, name)));
  if (names.includes(chosen)) target.value = chosen;
}

/** The terminal panel: a block per command, each with its copy button. */
export function showTerminal(commands, copied) {
  const titles = { ws: 'Listen over WebSocket', sse: 'Listen over SSE', poll: 'Long poll', publish: 'Publish over gRPC' };
  $('curl').replaceChildren(
    ...Object.entries(commands).map(([name, command]) => {
      const block = element('div', 'command');
      const copy = element('button', 'small', 'Copy');
      copy.type = 'button';
      copy.setAttribute('aria-label', `Copy: ${titles[name] ?? name}`);
      const code = element('pre', '', command);
      code.tabIndex = 0;
      copy.addEventListener('click', () => copied(command, copy, code));
      const head = element('div', 'bar');
      head.append(element('h3', '', titles[name] ?? name), element('span', 'spring'), copy);
      block.append(head, code);
      return block;
    }),
  );
}

// One logical session over whichever transport: commands and their replies, positions, reconnecting and resuming.
// It knows nothing of the page; the page learns of everything through the hooks given to the constructor.

import { backoff } from '/backoff.js';
import { openPoll } from '/poll.js';
import { isTemporary } from '/problem.js';
import { openSse } from '/sse.js';
import { openWs } from '/ws.js';

const TRANSPORTS = { ws: openWs, sse: openSse, poll: openPoll };
/** A reply that has not come by then will not, ms. */
const REPLY_TIMEOUT = 12_000;
/** A session that lasted this long, ms, was no failed attempt: the backoff starts over. */
const SETTLED = 5_000;
/** Ask the hub for a heartbeat after this many quiet seconds. */
const HEARTBEAT_SECONDS = 15;

/** A command's error reply: `code` is the stable one of the protocol. */
export class CommandError extends Error {
  constructor({ code, message, retry_after }) {
    super(message ?? code);
    this.code = code;
    this.retryAfter = Number(retry_after ?? 0);
  }
}

export class Session {
  /** What the hub said of this session when it opened, or null. */
  info = null;
  /** channel -> {position: {epoch, offset} or null, next: offset expected or null, live: subscribed or not} */
  channels = new Map();
  transport = 'ws';
  state = 'disconnected';

  #hooks;
  #credentials;
  #link = null;
  #wanted = false;
  #attempt = 0;
  #openedAt = 0;
  #cursor = null;
  #inUrl = new Set();
  #hint = null;
  #timer = null;
  #drain = null;
  #lastId = 0;
  #pending = new Map();
  #generation = 0;

  /**
   * `credentials()` resolves to a fresh token. Hooks: `state(state, note)`, `opened(info, resumed)`, `subscribed(channel,
   * {position, recovered, policy})`, `unsubscribed(channel)`, `frame(kind, body)` for every frame but replies, `refused(problem)`,
   * `note(text, channel, level)`.
   */
  constructor(credentials, hooks) {
    this.#credentials = credentials;
    this.#hooks = hooks;
  }

  /** Starts afresh with these channels: positions from before are forgotten. */
  connect(transport, channels) {
    this.disconnect();
    this.transport = transport;
    this.channels = new Map(channels.map((channel) => [channel, place()]));
    this.#wanted = true;
    this.#attempt = 0;
    this.#cursor = null;
    this.#open(false);
  }

  /** Goes on over another transport from where this one is. */
  moveTo(transport) {
    // A cursor may hold what only its own transport understands; positions mean the same everywhere.
    if (transport !== this.transport) this.#cursor = null;
    this.transport = transport;
    if (!this.#wanted) return;
    this.#drop();
    this.#open(this.#openedAt > 0);
  }

  disconnect(note = '') {
    this.#wanted = false;
    this.#drop();
    for (const entry of this.channels.values()) entry.live = false;
    this.#become('disconnected', note);
  }

  /** Sends a command and resolves to its result; rejects with a CommandError. */
  request(kind, fields = {}) {
    const id = ++this.#lastId;
    return new Promise((resolve, reject) => {
      if (!this.#link) return reject(new CommandError({ code: 'unavailable', message: 'not connected' }));
      const timer = setTimeout(() => this.#failed(id, { code: 'timeout', message: 'no reply came' }), REPLY_TIMEOUT);
      this.#pending.set(id, { kind, resolve, reject, timer });
      this.#link.send({ id, [kind]: fields });
    });
  }

  /** Subscribes, from the position known of the channel if there is one. */
  async subscribe(channel) {
    if (!this.channels.has(channel)) this.channels.set(channel, place());
    const entry = this.channels.get(channel);
    const position = entry.position ?? undefined;
    if (!position) entry.next = null;
    try {
      this.#subscribed(channel, await this.request('subscribe', { channel, position }));
    } catch (error) {
      if (error.code === 'already_subscribed') {
        // By the token's own list. A WebSocket has no cursor, so what was missed has to be asked for again.
        if (this.transport === 'ws' && position && !entry.live) {
          await this.request('unsubscribe', { channel });
          this.#subscribed(channel, await this.request('subscribe', { channel, position }));
        } else if (!entry.live) {
          this.#subscribed(channel, {});
        }
        return;
      }
      if (!entry.live && !['timeout', 'unavailable', 'rate_limited'].includes(error.code)) this.channels.delete(channel);
      throw error;
    }
  }

  async unsubscribe(channel) {
    await this.request('unsubscribe', { channel });
    this.channels.delete(channel);
    this.#hooks.unsubscribed(channel);
  }

  async #open(resuming) {
    const generation = ++this.#generation;
    this.#become('connecting');
    let token;
    try {
      token = await this.#credentials();
    } catch (error) {
      if (generation === this.#generation) this.#again(0, `no token: ${error.message}`);
      return;
    }
    if (generation !== this.#generation) return;

    // Where positions are all there is to resume from, they travel with subscribe commands once the session is open.
    const byUrl = !resuming || this.#cursor !== null;
    const query = new URLSearchParams();
    this.#inUrl = new Set(byUrl ? this.channels.keys() : []);
    for (const channel of this.#inUrl) query.append('channel', channel);
    if (this.#cursor !== null && this.transport !== 'ws') query.set('cursor', this.#cursor);
    query.set('heartbeat', HEARTBEAT_SECONDS);
    query.set('token', token);

    const mine = (hook) => (...values) => {
      if (generation === this.#generation) hook(...values);
    };
    this.#link = TRANSPORTS[this.transport](query, {
      frame: mine((kind, body) => this.#frame(kind, body)),
      cursor: mine((cursor) => (this.#cursor = cursor)),
      lost: mine(() => this.#lost()),
      back: mine(() => this.#become('connected')),
      failed: mine((id, error) => this.#failed(id, error)),
      end: mine((how) => this.#ended(how)),
    });
  }

  #frame(kind, body) {
    if (kind === 'reply') return this.#reply(body);
    if (kind === 'open') return this.#opened(body);
    if (kind === 'message') this.#track(body);
    if (kind === 'gap') this.#moveTo(body.channel, body.position);
    if (kind === 'subscribed') this.#subscribedByHub(body);
    if (kind === 'unsubscribed') this.#unsubscribedByHub(body);
    if (kind === 'expiring') this.#refresh();
    if (kind === 'close') this.#hint = body;
    if (kind === 'draining' && this.#drain === null) {
      const generation = this.#generation;
      this.#drain = setTimeout(() => {
        if (generation === this.#generation) this.moveTo(this.transport);
      }, Number(body.reconnect_after ?? 0));
    }
    this.#hooks.frame(kind, body);
  }

  #opened(info) {
    const resumed = this.#openedAt > 0;
    this.info = info;
    this.#openedAt = performance.now();
    this.#hint = null;
    this.#become('connected');
    this.#hooks.opened(info, resumed);
    this.#hooks.frame('open', info);
    for (const channel of this.channels.keys()) {
      if (!this.#inUrl.has(channel)) this.subscribe(channel).catch((error) => this.#hooks.note(`subscribe: ${error.message}`, channel, 'bad'));
    }
  }

  #reply(reply) {
    const asked = this.#pending.get(Number(reply.id));
    if (!asked) return;
    this.#pending.delete(Number(reply.id));
    clearTimeout(asked.timer);
    if (reply.error) asked.reject(new CommandError(reply.error));
    else asked.resolve(reply[asked.kind] ?? reply);
  }

  #failed(id, error) {
    this.#reply({ id, error });
  }

  #subscribed(channel, { position, recovered, policy }) {
    if (!this.channels.has(channel)) this.channels.set(channel, place());
    const entry = this.channels.get(channel);
    entry.live = true;
    // What is known from messages is older or equal: what was missed since is on its way. A gap says where it is not.
    if (position && entry.position === null) entry.position = position;
    this.#hooks.subscribed(channel, { position, recovered, policy });
  }

  #subscribedByHub(body) {
    // An EventSource that came back still has in its URL what was unsubscribed since.
    if (this.#inUrl.has(body.channel) && !this.channels.has(body.channel)) {
      this.request('unsubscribe', { channel: body.channel }).catch((error) => this.#hooks.note(`unsubscribe: ${error.message}`, body.channel, 'bad'));
      return;
    }
    this.#subscribed(body.channel, body);
  }

  #unsubscribedByHub({ channel, resubscribe }) {
    const entry = this.channels.get(channel);
    if (!entry) return;
    entry.live = false;
    if (resubscribe) {
      this.subscribe(channel).catch((error) => this.#hooks.note(`subscribe: ${error.message}`, channel, 'bad'));
    } else {
      this.channels.delete(channel);
      this.#hooks.unsubscribed(channel);
    }
  }

  // Follows the offsets, and says so when the hub breaks its promise: ascending, none twice, none left out without a gap.
  #track({ channel, offset }) {
    const entry = this.channels.get(channel);
    const at = Number(offset);
    if (!entry || !(at > 0)) return;
    if (entry.next !== null && at < entry.next) {
      this.#hooks.note(`offset ${at} came again`, channel, 'bad');
      return;
    }
    if (entry.next !== null && at > entry.next) {
      this.#hooks.note(`offsets ${entry.next} to ${at - 1} were not for this session`, channel, 'quiet');
    }
    entry.next = at + 1;
    if (entry.position) entry.position = { ...entry.position, offset };
  }

  #moveTo(channel, position) {
    const entry = this.channels.get(channel);
    if (!entry || !position) return;
    entry.position = position;
    entry.next = null;
  }

  async #refresh() {
    try {
      await this.request('refresh', { token: await this.#credentials() });
    } catch (error) {
      this.#hooks.note(`refresh: ${error.message}`, null, 'bad');
    }
  }

  #lost() {
    this.#forsake();
    this.#become('connecting', 'connection lost, resuming');
  }

  #ended({ opened, code, reason, problem }) {
    const hint = this.#hint;
    this.#link = null;
    this.#forsake();
    const why = problem ? problem.code : [code, reason || hint?.reason].filter(Boolean).join(' ');

    // A refused opening of a session that was lost (404, 410) starts over with what is known of its channels.
    const gone = problem && opened && (problem.status === 404 || problem.status === 410);
    if (gone) this.#hooks.note('the hub no longer knows this session: opening another from where it was', null, 'warn');
    else if (problem) this.#hooks.refused(problem);
    const stay = problem ? !gone && !isTemporary(problem) : hint ? !hint.reconnect : !asksBack(code);
    if (stay) {
      this.disconnect(why);
      return;
    }
    this.#again(Number(hint?.reconnect_after ?? problem?.retryAfter ?? 0), why);
  }

  // A wait that the hub asks for is already spread out between its clients; our own (for 0, no advice) has to be.
  #again(asked, why) {
    if (this.#openedAt > 0 && performance.now() - this.#openedAt > SETTLED) this.#attempt = 0;
    this.#attempt += 1;
    const wait = asked || backoff(this.#attempt);
    this.#become('connecting', `${why ? `${why}: ` : ''}again in ${(wait / 1000).toFixed(1)} s`);
    const generation = this.#generation;
    this.#timer = setTimeout(() => {
      if (this.#wanted && generation === this.#generation) this.#open(this.#openedAt > 0);
    }, wait);
  }

  /** Lets go of the transport, telling nobody. */
  #drop() {
    this.#generation += 1;
    clearTimeout(this.#timer);
    const link = this.#link;
    this.#link = null;
    link?.close();
    this.#forsake();
    if (!this.#wanted) this.#openedAt = 0;
  }

  #forsake() {
    clearTimeout(this.#drain);
    this.#drain = null;
    for (const entry of this.channels.values()) entry.live = false;
    for (const id of [...this.#pending.keys()]) this.#failed(id, { code: 'unavailable', message: 'the connection was lost' });
  }

  #become(state, note = '') {
    this.state = state;
    this.#hooks.state(state, note);
  }
}

function place() {
  return { position: null, next: null, live: false };
}

// The close codes of the protocol that ask for another try; a session that ended without one (1006, 1005) does too.
function asksBack(code) {
  if (code === null) return true;
  return [1001, 1005, 1006, 1011, 1012, 1013].includes(code) || (code >= 4000 && code < 4200);
}

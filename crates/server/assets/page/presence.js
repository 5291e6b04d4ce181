// Who is in each channel: a snapshot by the `presence` command, kept true by join and leave frames.

/** Members asked for in one command, and pages asked for before the rest is only counted. */
const PAGE_MEMBERS = 100;
const PAGES_MAX = 5;

export class Presence {
  /** channel -> {members: Map(session -> member), count, error} */
  channels = new Map();
  #session;
  #changed;
  // channel -> frames that came while its snapshot was on its way; the snapshot may be older than they are.
  #since = new Map();

  constructor(session, changed) {
    this.#session = session;
    this.#changed = changed;
  }

  async load(channel) {
    if (this.#since.has(channel)) return;
    this.#since.set(channel, []);
    const entry = { members: new Map(), count: 0, error: null };
    try {
      let page;
      for (let pages = 0; pages < PAGES_MAX; pages += 1) {
        const result = await this.#session.request('presence', { channel, limit: PAGE_MEMBERS, page });
        for (const member of result.members ?? []) entry.members.set(member.session, member);
        entry.count = Number(result.count ?? entry.members.size);
        page = result.next_page;
        if (!page) break;
      }
    } catch (error) {
      entry.error = error.message;
    }
    const since = this.#since.get(channel) ?? [];
    this.#since.delete(channel);
    if (!this.#session.channels.has(channel)) return;
    this.channels.set(channel, entry);
    for (const [kind, member] of since) apply(entry, kind, member);
    this.#changed();
  }

  /** The channel's policy has no presence. */
  none(channel) {
    this.channels.set(channel, { members: new Map(), count: 0, error: 'This channel tracks no members.' });
    this.#changed();
  }

  frame(kind, { channel, member }) {
    if (!member) return;
    this.#since.get(channel)?.push([kind, member]);
    const entry = this.channels.get(channel);
    if (!entry) return;
    apply(entry, kind, member);
    this.#changed();
  }

  forget(channel) {
    this.channels.delete(channel);
    this.#changed();
  }

  clear() {
    this.channels.clear();
    this.#changed();
  }
}

function apply(entry, kind, member) {
  const known = entry.members.has(member.session);
  if (kind === 'join') entry.members.set(member.session, member);
  else entry.members.delete(member.session);
  if (kind === 'join' && !known) entry.count += 1;
  if (kind === 'leave' && known) entry.count -= 1;
  entry.error = null;
}

// Who is in each channel: read once it is subscribed, and kept true by joins and leaves.

/** Members asked for at once, and pages asked for before the rest is only counted. */
const PAGE_MEMBERS = 100;
const PAGES_MAX = 5;

export class Presence {
  /** channel -> {members: Map(session -> member), count, error} */
  channels = new Map();
  #changed;
  // channel -> joins and leaves that came while its members were being read; what is read may be older than they are.
  #since = new Map();

  constructor(changed) {
    this.#changed = changed;
  }

  /** Reads the members of a subscription: when it begins, and when some comings and goings may have been missed. */
  async load(subscription) {
    const { channel } = subscription;
    if (!subscription.policy.presence) return this.#show(channel, { members: new Map(), count: 0, error: 'This channel tracks no members.' });
    const since = [];
    this.#since.set(channel, since);
    const entry = { members: new Map(), count: 0, error: null };
    try {
      let page;
      for (let pages = 0; pages < PAGES_MAX; pages += 1) {
        const result = await subscription.presence({ limit: PAGE_MEMBERS, page });
        for (const member of result.members) entry.members.set(member.session, member);
        entry.count = result.count;
        page = result.next_page;
        if (!page) break;
      }
    } catch (error) {
      entry.error = error.message;
    }
    // Read again meanwhile, or forgotten.
    if (this.#since.get(channel) !== since) return;
    this.#since.delete(channel);
    for (const [kind, member] of since) apply(entry, kind, member);
    this.#show(channel, entry);
  }

  /** A `join` or a `leave`. */
  change(channel, kind, member) {
    this.#since.get(channel)?.push([kind, member]);
    const entry = this.channels.get(channel);
    if (!entry) return;
    apply(entry, kind, member);
    this.#changed();
  }

  forget(channel) {
    this.#since.delete(channel);
    this.channels.delete(channel);
    this.#changed();
  }

  clear() {
    this.#since.clear();
    this.channels.clear();
    this.#changed();
  }

  #show(channel, entry) {
    this.channels.set(channel, entry);
    this.#changed();
  }
}

function apply(entry, kind, member) {
  const known = entry.members.has(member.session);
  if (kind === 'join') entry.members.set(member.session, member);
  else entry.members.delete(member.session);
  if (kind === 'join' && !known) entry.count += 1;
  if (kind === 'leave' && known) entry.count -= 1;
}

// A hub in memory behind a WebSocket that is none: as much of the protocol as the tests of pages and stores need.

import type { WebSocketConstructor, WebSocketLike } from '../../src/index.js';
import type { Command, Frame, Member, Message, Reply, WireError } from '../../src/protocol.js';

type Listener = (event: never) => void;

interface Channel {
  epoch: string;
  top: number;
  messages: Message[];
}

/** What the tests see and do at the hub's side. */
export class FakeHub {
  readonly sockets = new Set<FakeSocket>();
  /** All commands in their order, each as `verb channel`. */
  readonly heard: string[] = [];
  readonly tokens: string[] = [];
  readonly members: Member[] = [];
  /** The error that commands of a verb are answered with. */
  readonly refuse: Record<string, WireError | undefined> = {};
  /** How long the sessions' tokens are good, in milliseconds. */
  tokenMs = 3_600_000;
  /** While it is set answers to `history` and `presence` wait for it. */
  reading: Promise<void> | undefined;
  /** While it is set no session opens. */
  opening: Promise<void> | undefined;
  readonly #channels = new Map<string, Channel>();

  readonly WebSocket: WebSocketConstructor = ((hub: FakeHub) =>
    class extends FakeSocket {
      constructor(_: string, protocols: string[]) {
        super(hub, protocols);
      }
    })(this);

  channel(name: string): Channel {
    const channel = this.#channels.get(name) ?? { epoch: 'e1', top: 0, messages: [] };
    this.#channels.set(name, channel);
    return channel;
  }

  /** Publishes `{n}` for each offset that comes next. */
  publish(name: string, count = 1): void {
    for (let n = 0; n < count; n += 1) {
      const channel = this.channel(name);
      channel.top += 1;
      const message: Message = { channel: name, offset: channel.top, data: { n: channel.top } };
      channel.messages.push(message);
      for (const socket of this.sockets) if (socket.channels.has(name)) socket.say({ message });
    }
  }

  /** Says a frame in every session. */
  say(frame: Frame): void {
    for (const socket of this.sockets) socket.say(frame);
  }

  answer(socket: FakeSocket, command: Command): void {
    const { id = 0, ...rest } = command;
    const [verb = ''] = Object.keys(rest);
    const reply = (result: object): void => socket.say({ reply: { id, [verb]: result } as Reply });
    const name = (Object.values(rest)[0] as { channel?: string }).channel ?? '';
    this.heard.push(`${verb} ${name}`.trim());
    const error = this.refuse[verb];
    if (error) socket.say({ reply: { id, error } });
    else this.#carryOut(socket, command, name, reply);
  }

  #carryOut(socket: FakeSocket, command: Command, name: string, reply: (result: object) => void): void {
    const channel = this.channel(name);
    const { epoch, top, messages } = channel;
    if (command.subscribe) {
      const { position, rewind = 0 } = command.subscribe;
      const recovered = position?.epoch === epoch;
      const from = recovered ? position.offset : Math.max(0, top - rewind);
      socket.channels.add(name);
      reply({ position: { epoch, offset: from }, recovered, policy: { recovery: true } });
      for (const message of messages) if ((message.offset ?? 0) > from) socket.say({ message });
    } else if (command.history) {
      const { position, limit = 1000, reverse } = command.history;
      const after = messages.filter(({ offset = 0 }) => offset > (position?.offset ?? 0));
      const publications = (reverse ? [...after].reverse() : after).slice(0, limit);
      void Promise.resolve(this.reading).then(() => reply({ publications, position: { epoch, offset: top } }));
    } else if (command.presence) {
      const members = [...this.members];
      void Promise.resolve(this.reading).then(() => reply({ members, count: members.length, users: members.length }));
    } else if (command.publish) {
      this.publish(name);
      reply({ position: { epoch, offset: channel.top } });
    } else {
      if (command.unsubscribe) socket.channels.delete(name);
      reply(command.ping ? { time: Date.now() } : command.refresh ? { expires_at: Date.now() + this.tokenMs } : { data: 'answered' });
    }
  }
}

/** One connection. What is said arrives a turn later, as over a network. */
export class FakeSocket implements WebSocketLike {
  binaryType = '';
  readonly channels = new Set<string>();
  readonly #listeners = new Map<string, Listener[]>();
  readonly #hub: FakeHub;
  #isClosed = false;

  constructor(hub: FakeHub, protocols: string[]) {
    this.#hub = hub;
    hub.sockets.add(this);
    hub.tokens.push(protocols[1]?.replace('switchboard.token.', '') ?? '');
    void Promise.resolve(hub.opening).then(() => {
      this.#tell('open', {});
      this.say({ open: { session: `s${hub.tokens.length}`, time: 1000, expires_at: 1000 + hub.tokenMs } });
    });
  }

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, [...(this.#listeners.get(type) ?? []), listener]);
  }

  send(data: string | Uint8Array): void {
    const command = JSON.parse(String(data)) as Command;
    queueMicrotask(() => this.#hub.answer(this, command));
  }

  say(frame: Frame): void {
    const data = JSON.stringify(frame);
    queueMicrotask(() => this.#isClosed || this.#tell('message', { data }));
  }

  close(code = 1000): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#hub.sockets.delete(this);
    queueMicrotask(() => this.#tell('close', { code, reason: '' }));
  }

  #tell(type: string, event: object): void {
    for (const listener of this.#listeners.get(type) ?? []) listener(event as never);
  }
}

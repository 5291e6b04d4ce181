// The real hub, started with the configuration that the scenarios need; restarted, drained, with other settings.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { Services } from './services.mjs';

const READY_WITHIN_MS = 15_000;

/** The settings that every hub of the stage starts from; `set` overrides them by path. */
function base({ secret, issuer, audience, apiKey, origins }) {
  return {
    'clients.listen': '127.0.0.1:0',
    'clients.allowed_origins': origins,
    'api.listen': '127.0.0.1:0',
    'api.keys': [{ name: 'stage', secret: apiKey, scopes: ['publish', 'read', 'sessions', 'tokens', 'admin'] }],
    'admin.listen': '127.0.0.1:0',
    'tokens.issuer': [issuer],
    'tokens.audience': [audience],
    'tokens.leeway_s': 0,
    'tokens.keys': [{ id: 'stage', algorithms: ['HS256'], secret }],
    'namespaces.chat': { history_count: 10_000, history_bytes: 67_108_864 },
    'namespaces.room': { presence: true, join_leave: true, presence_grace_s: 0.3 },
    'namespaces.tiny': { history_count: 3 },
    'namespaces.live': { history_count: 0 },
    'namespaces.close': { slow_consumer: 'close', history_count: 10_000, history_bytes: 67_108_864 },
    'namespaces.drop': { slow_consumer: 'drop_oldest', history_count: 10_000, history_bytes: 67_108_864 },
    'namespaces.keep': { slow_consumer: 'keep_latest', history_count: 10_000, history_bytes: 67_108_864 },
    'limits.outbox_bytes_max': 262_144,
    'limits.expiring_notice_s': 2,
    'limits.expiry_grace_s': 1,
    'limits.poll_linger_s': 10,
    'limits.commands_per_second_max': 1000,
    'limits.command_burst_max': 1000,
    'drain.ready_delay_s': 0.2,
    'drain.window_s': 1,
    'drain.deadline_s': 6,
    'log.format': 'json',
    'log.level': 'info',
  };
}

/** A value as TOML: JSON's notation but for tables, whose keys are bare. */
function toml(value) {
  if (Array.isArray(value)) return `[${value.map(toml).join(', ')}]`;
  if (value !== null && typeof value === 'object') {
    return `{ ${Object.entries(value).map(([key, inner]) => `${key} = ${toml(inner)}`).join(', ')} }`;
  }
  return JSON.stringify(value);
}

/** Settings by path as a TOML document of dotted keys. */
const document = (settings) => Object.entries(settings).map(([path, value]) => `${path} = ${toml(value)}\n`).join('');

/** Starts hubs one after the other; `address` is where the present one listens to clients. */
export class Hub {
  #program;
  #directory;
  #identity;
  #set;
  #count = 0;
  #processes = new Set();
  #present;

  /** `set`: settings by path that override the stage's. */
  constructor({ program, directory, identity, set = {} }) {
    this.#program = program;
    this.#directory = directory;
    this.#identity = identity;
    this.#set = set;
  }

  /** Where clients connect, `127.0.0.1:PORT`; nothing while there is no hub. */
  get address() {
    return this.#present?.ready.clients;
  }

  /** The addresses of the present hub. */
  get addresses() {
    return this.#present?.ready;
  }

  get services() {
    if (!this.#present) throw new Error('the hub is stopped: POST /hub/start');
    return this.#present.services;
  }

  /** Starts a hub in place of the present one, which goes on until it is stopped. */
  async start(set) {
    const number = ++this.#count;
    const directory = join(this.#directory, `hub-${number}`);
    await mkdir(directory, { recursive: true });
    const settings = { ...base(this.#identity), ...this.#set, ...set };
    await writeFile(join(directory, 'hub.toml'), document(settings));
    const child = spawn(this.#program, ['serve', '--config', 'hub.toml', '--ready-file', 'ready.json'], {
      cwd: directory,
      env: { ...process.env, SWITCHBOARD_STATE_DIR: directory },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    const log = createWriteStream(join(directory, 'log'));
    child.stderr.pipe(log);
    const ended = once(child, 'exit');
    this.#processes.add(child);
    ended.then(() => this.#processes.delete(child));
    const ready = await readyFile(join(directory, 'ready.json'), child, join(directory, 'log'));
    await answers(ready.admin, '/readyz');
    this.#present = { child, ended, ready, services: new Services(ready.grpc, this.#identity.apiKey) };
  }

  /** Kills the present hub at once, as a crash does; what it held in memory is gone. */
  async stop() {
    const present = this.#present;
    this.#present = undefined;
    if (!present) return;
    present.services.close();
    present.child.kill('SIGKILL');
    await present.ended;
  }

  async restart(set) {
    await this.stop();
    await this.start(set);
  }

  /**
   * Starts a successor and asks the present hub to leave in good order: it tells its clients, each to come back at another time, and
   * ends. New connections go to the successor. Resolves when the successor is ready; `ended` resolves when the old one has gone.
   */
  async drain(set) {
    const leaving = this.#present;
    if (!leaving) throw new Error('there is no hub to drain');
    await this.start(set);
    leaving.services.close();
    leaving.child.kill('SIGTERM');
    return { ended: leaving.ended };
  }

  /** Ends every process that was started, and removes what they wrote. */
  async end() {
    this.#present?.services.close();
    for (const child of this.#processes) child.kill('SIGKILL');
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function readyFile(path, child, log) {
  const until = Date.now() + READY_WITHIN_MS;
  while (Date.now() < until && child.exitCode === null) {
    const text = await readFile(path, 'utf8').catch(() => '');
    if (text.trim().endsWith('}')) return JSON.parse(text);
    await sleep(20);
  }
  child.kill('SIGKILL');
  throw new Error(`the hub did not get ready; its log:\n${await readFile(log, 'utf8').catch(() => '')}`);
}

async function answers(address, path) {
  const until = Date.now() + READY_WITHIN_MS;
  while (Date.now() < until) {
    const answer = await fetch(`http://${address}${path}`).catch(() => undefined);
    if (answer?.ok) return;
    await sleep(20);
  }
  throw new Error(`http://${address}${path} is not ready`);
}

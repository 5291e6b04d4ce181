// Chromium over its own DevTools protocol. Playwright holds every page in focus and off the cache for ways back, so that it is never frozen,
// hidden or kept; here a page is what it is to a visitor.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import WebSocket from 'ws';

import { until } from '../node/until.js';
import { ARGUMENTS, program } from './chromium.js';

interface Answer {
  id?: number;
  result?: unknown;
  error?: { message: string };
}

/** A browser of its own, with a profile of its own. */
export class Devtools {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #socket: WebSocket;
  readonly #waiting = new Map<number, (answer: Answer) => void>();
  #lastId = 0;

  private constructor(child: ChildProcess, profile: string, socket: WebSocket) {
    this.#child = child;
    this.#profile = profile;
    this.#socket = socket;
    socket.on('message', (text) => {
      const answer = JSON.parse(String(text)) as Answer;
      if (answer.id !== undefined) this.#waiting.get(answer.id)?.(answer);
    });
  }

  static async launch(): Promise<Devtools> {
    const profile = await mkdtemp(join(tmpdir(), 'switchboard-chromium-'));
    const own = ['--headless=new', '--remote-debugging-port=0', '--no-first-run', `--user-data-dir=${profile}`, 'about:blank'];
    const child = spawn(program(), [...ARGUMENTS, ...own], { stdio: ['ignore', 'ignore', 'pipe'] });
    const address = await new Promise<string>((resolve, reject) => {
      let said = '';
      child.stderr.on('data', (chunk) => {
        said += chunk;
        const [, url] = /listening on (ws:\S+)/.exec(said) ?? [];
        if (url) resolve(url);
      });
      child.once('exit', (code) => reject(new Error(`Chromium ended with ${code}: ${said}`)));
    });
    const socket = new WebSocket(address);
    await once(socket, 'open');
    return new Devtools(child, profile, socket);
  }

  async send<T>(method: string, params: object = {}, sessionId?: string): Promise<T> {
    const id = ++this.#lastId;
    const answer = await new Promise<Answer>((resolve) => {
      this.#waiting.set(id, resolve);
      this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    });
    this.#waiting.delete(id);
    if (answer.error) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result as T;
  }

  /** Opens a page and waits until it offers what it is there for. */
  async open(url: string, offered: string): Promise<Tab> {
    const { targetId } = await this.send<{ targetId: string }>('Target.createTarget', { url });
    const { sessionId } = await this.send<{ sessionId: string }>('Target.attachToTarget', { targetId, flatten: true });
    const tab = new Tab(this, targetId, sessionId);
    await until(`${offered} of the page`, () => tab.run<boolean>(`typeof globalThis.${offered} !== 'undefined'`));
    return tab;
  }

  async close(): Promise<void> {
    const ended = once(this.#child, 'exit');
    await this.send('Browser.close').catch(() => this.#child.kill('SIGKILL'));
    await ended;
    this.#socket.terminate();
    await rm(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** One page. */
export class Tab {
  constructor(
    private readonly browser: Devtools,
    private readonly targetId: string,
    private readonly sessionId: string,
  ) {}

  send<T>(method: string, params: object = {}): Promise<T> {
    return this.browser.send(method, params, this.sessionId);
  }

  /** Evaluates, and awaits what comes of it. */
  async run<T>(expression: string): Promise<T> {
    const { result, exceptionDetails } = await this.send<{
      result: { value: T };
      exceptionDetails?: { exception?: { description?: string } };
    }>('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description}`);
    return result.value;
  }

  freeze(): Promise<void> {
    return this.send('Page.setWebLifecycleState', { state: 'frozen' });
  }

  resume(): Promise<void> {
    return this.send('Page.setWebLifecycleState', { state: 'active' });
  }

  async network(online: boolean): Promise<void> {
    await this.send('Network.enable');
    await this.send('Network.emulateNetworkConditions', { offline: !online, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  }

  navigate(url: string): Promise<void> {
    return this.send('Page.navigate', { url });
  }

  async back(): Promise<void> {
    const { currentIndex, entries } = await this.send<{ currentIndex: number; entries: { id: number }[] }>('Page.getNavigationHistory');
    await this.send('Page.navigateToHistoryEntry', { entryId: entries[currentIndex - 1]?.id });
  }

  async close(): Promise<void> {
    await this.browser.send('Target.closeTarget', { targetId: this.targetId });
  }
}

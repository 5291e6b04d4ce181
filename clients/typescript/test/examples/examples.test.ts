// The examples, each started by its one command, and driven in Chromium.

import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import type { Browser, Page } from 'playwright-core';

import { launch } from '../browser/chromium.js';
import { CLIENTS } from '../conformance/start.js';
import { until } from '../node/until.js';

const PACKAGE = fileURLToPath(new URL('typescript/', CLIENTS));

interface ProxyModule {
  Proxy: new (target: () => string, modes: object) => CutProxy;
}
interface CutProxy {
  url: string;
  listen(): Promise<CutProxy>;
  set(modes: object): void;
  cut(kind: string): void;
  close(): void;
}

let browser: Browser;
let running: ChildProcess | undefined;

before(async () => {
  // The examples serve what is built; it has to be of this source.
  execFileSync(join(PACKAGE, 'node_modules/.bin/tsc'), ['-p', 'tsconfig.build.json'], { cwd: PACKAGE });
  browser = await launch();
});
after(() => browser?.close());
afterEach(async () => {
  if (!running || running.exitCode !== null) return;
  // A test that failed has not ended it.
  const ended = once(running, 'exit');
  running.kill('SIGINT');
  await ended;
});

/** Starts an example and gives the address of its page. */
async function start(name: string, env: Record<string, string> = {}): Promise<string> {
  const program = fileURLToPath(new URL(`examples/${name}/start.mjs`, CLIENTS));
  const child = spawn(process.execPath, [program], { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'inherit'] });
  running = child;
  return new Promise((resolve, reject) => {
    createInterface(child.stdout).on('line', (line) => {
      const [, url] = /^open (\S+)/.exec(line) ?? [];
      if (url) resolve(url);
    });
    child.once('exit', (status) => reject(new Error(`${name} ended with ${status}`)));
  });
}

/** As Ctrl-C does; nothing of it answers afterwards. */
async function stop(url: string, hub: string): Promise<void> {
  const ended = once(running as ChildProcess, 'exit');
  running?.kill('SIGINT');
  assert.deepEqual(await ended, [0, null]);
  for (const address of [url, hub]) await assert.rejects(fetch(address), `${address} still answers`);
}

async function visit(url: string): Promise<Page> {
  const context = await browser.newContext();
  const page = await context.newPage();
  page.on('pageerror', (error) => console.log(`${url}: ${error}`));
  await page.goto(url);
  return page;
}

const items = (page: Page, list: string) => page.$$eval(`#${list} li`, (found) => found.map(({ textContent }) => textContent));
const shows = async (page: Page, list: string, wanted: string[]) => {
  let seen: unknown;
  const same = async () => {
    seen = await items(page, list);
    return JSON.stringify(seen) === JSON.stringify(wanted);
  };
  await until(wanted.join(', '), same).catch(() => assert.deepEqual(seen, wanted));
};
const post = (url: string, path: string, body: object) => fetch(`${url}${path}`, { method: 'POST', body: JSON.stringify(body) });

test('chat: two people talk, see each other come and go, and are greeted by the service', { timeout: 120_000 }, async () => {
  const url = await start('chat');
  const { hub } = (await (await fetch(`${url}/token?user=x`)).json()) as { hub: string };
  const ann = await visit(`${url}/?user=ann`);
  await shows(ann, 'messages', ['Welcome, ann!']);
  await ann.fill('#text', 'anybody here?');
  await ann.keyboard.press('Enter');
  await shows(ann, 'messages', ['Welcome, ann!', 'ann: anybody here?']);
  const bob = await visit(`${url}/?user=bob`);
  const all = ['Welcome, ann!', 'ann: anybody here?', 'Welcome, bob!', 'bob: <b>me</b>'];
  await shows(bob, 'messages', all.slice(0, 3));
  await bob.fill('#text', '<b>me</b>');
  await bob.click('text=Send');
  for (const page of [ann, bob]) {
    await shows(page, 'messages', all);
    await shows(page, 'members', ['ann', 'bob']);
  }
  await bob.close();
  await shows(ann, 'members', ['ann']);
  await ann.close();
  await stop(url, hub);
});

test('dashboard: figures come by EventSource alone, from before, live, and without a hole after a loss', {
  timeout: 120_000,
}, async (t) => {
  const url = await start('dashboard', { EVERY_MS: '100' });
  const { hub } = (await (await fetch(`${url}/hub`)).json()) as { hub: string };
  const points = async (page: Page) => ((await page.getAttribute('#graph', 'data-points')) ?? '').split(' ').filter(Boolean).map(Number);
  const reaches = (page: Page, n: number) => until(`point ${n}`, async () => ((await points(page)).at(-1) ?? -1) >= n);
  const first = await visit(url);
  const loads: string[] = [];
  // The way of the first page to the hub can be cut.
  const { Proxy: CutProxy } = (await import(new URL('conformance/proxy.mjs', CLIENTS).href)) as ProxyModule;
  const proxy = await new CutProxy(() => new URL(hub).host, {}).listen();
  t.after(() => proxy.close());
  await first.route('**/hub', (route) => route.fulfill({ json: { hub: proxy.url } }));
  first.on('request', (request) => loads.push(new URL(request.url()).pathname));
  await first.reload();
  await reaches(first, 20);
  assert.deepEqual([...new Set(loads)].sort(), ['/', '/dashboard.js', '/hub', '/v1/sse'], 'no library is loaded');
  assert.match((await first.textContent('#load')) ?? '', /^\d+\.\d\d$/);
  const second = await visit(url);
  await reaches(second, 21);
  assert.equal((await points(second))[0], 0, 'what came before is drawn');

  const before = (await points(first)).at(-1) ?? 0;
  proxy.set({ answer: 'close' });
  proxy.cut('sse');
  await until('the loss', async () => (await first.textContent('#state')) === 'connecting');
  await reaches(second, before + 20);
  proxy.set({ answer: 'pass' });
  await reaches(first, before + 40);
  assert.equal(await first.textContent('#state'), 'live');
  const seen = await points(first);
  assert.deepEqual(
    seen,
    seen.map((_, index) => (seen[0] ?? 0) + index),
  );
  await stop(url, hub);
});

test('inbox: what came while nobody looked is there on return, on another device, until it is read', { timeout: 120_000 }, async () => {
  const url = await start('inbox');
  const { hub } = (await (await fetch(`${url}/token`)).json()) as { hub: string };
  const phone = await visit(url);
  await until('a connection', async () => (await phone.textContent('#state')) === 'connected');
  await phone.fill('#text', 'one');
  await phone.click('text=Notify');
  await shows(phone, 'unread', ['one']);
  await phone.click('text=All read');
  await shows(phone, 'unread', []);
  await phone.close();
  for (const text of ['two', 'three']) assert.equal((await post(url, '/notify', { user: 'ann', text })).status, 200);
  await post(url, '/notify', { user: 'bob', text: 'not for ann' });
  const laptop = await visit(url);
  await shows(laptop, 'unread', ['two', 'three']);
  await laptop.close();
  const again = await visit(url);
  await shows(again, 'unread', ['two', 'three']);
  const tablet = await visit(url);
  await shows(tablet, 'unread', ['two', 'three']);
  await again.click('text=All read');
  await shows(again, 'unread', []);
  await post(url, '/notify', { user: 'ann', text: 'four' });
  await shows(again, 'unread', ['four']);
  await shows(tablet, 'unread', ['two', 'three', 'four']);
  await tablet.reload();
  await shows(tablet, 'unread', ['four']);
  await stop(url, hub);
});

// The hooks in a real Chromium, in StrictMode, which mounts everything twice.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import type { Browser, Page } from 'playwright-core';

import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from '../node/until.js';
import { bundle } from './bundle.js';
import { launch, servePages } from './chromium.js';
import type { Showing } from './react-page.js';

let browser: Browser;
let pages: Awaited<ReturnType<typeof servePages>>;
let stage: RunningStage;
let page: Page;
let proxy: { id: string; url: string };
let runs = 0;

before(async () => {
  // React's own development build, or StrictMode would mount nothing twice.
  const define = { 'process.env.NODE_ENV': '"development"' };
  pages = await servePages({ '/page.js': await bundle('test/browser/react-page.ts', { define }) });
  stage = await startStage({}, [pages.origin]);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await stage?.end();
  pages?.close();
});
beforeEach(async () => {
  runs += 1;
  proxy = await stage.addProxy();
  page = await browser.newPage();
  // What the network does is no fault of the page's.
  page.on('console', (entry) => entry.type() === 'error' && !entry.text().includes('net::') && errors.push(entry.text()));
  page.on('pageerror', (error) => errors.push(String(error)));
  await page.goto(pages.origin);
  await page.waitForFunction(() => typeof globalThis.begin === 'function');
  await page.evaluate(([hub, control, user]) => globalThis.begin(hub, control, user), [proxy.url, stage.control, `ann-${runs}`] as const);
  await page.waitForFunction(() => typeof globalThis.show === 'function');
});
const errors: string[] = [];
afterEach(async () => {
  await page.close();
  await stage.remove(proxy.id);
  assert.deepEqual(errors.splice(0), [], 'the console of the page');
});

const show = (showing: Showing | undefined) => page.evaluate((given) => globalThis.show(given), showing);
const text = (id: string) => page.evaluate((name) => document.getElementById(name)?.textContent ?? '', id);
const shows = (id: string, wanted: string) => until(`${wanted} in ${id}`, async () => (await text(id)) === wanted);
const commands = () => page.evaluate(() => globalThis.react.commands.filter((command) => !command.startsWith('ping')));

test('messages and members are shown, and subscribed for once', { timeout: 60_000 }, async () => {
  const channel = `room:react-${runs}`;
  await stage.post('/publish', { channel, count: 4 });
  await show({ channel, rewind: 2, keep: 3 });
  await shows('first', 'subscribed|2 3||');
  await shows('members', `true|ann-${runs}`);
  await stage.post('/publish', { channel, count: 2, from: 4 });
  await shows('first', 'subscribed|3 4 5||');
  assert.deepEqual(await page.evaluate(() => globalThis.react.called), ['2', '3', '4', '5'], 'onMessage, once each');
  const subscribes = (await commands()).filter((command) => command.startsWith('subscribe') || command.startsWith('unsubscribe'));
  assert.deepEqual(subscribes, [`subscribe ${channel}`]);
});

test('a component that mounts later shows the same', { timeout: 60_000 }, async () => {
  const channel = `chat:react-${runs}`;
  await show({ channel });
  await shows('first', 'subscribed|||');
  await stage.post('/publish', { channel, count: 2 });
  await shows('first', 'subscribed|0 1||');
  await show({ channel, twice: true });
  await shows('second', 'subscribed|0 1||');
  await show({ channel });
  await stage.post('/publish', { channel, count: 1, from: 2 });
  await shows('first', 'subscribed|0 1 2||');
});

test('another channel begins empty, and the old one is left; so is the last when all unmount', { timeout: 60_000 }, async () => {
  const [one, other] = [`chat:one-${runs}`, `chat:other-${runs}`];
  await show({ channel: one });
  await shows('first', 'subscribed|||');
  await stage.post('/publish', { channel: one, count: 1 });
  await shows('first', 'subscribed|0||');
  await show({ channel: other });
  await shows('first', 'subscribed|||');
  await until('the end of the first', async () => (await commands()).includes(`unsubscribe ${one}`));
  await show(undefined);
  await until('the end of the second', async () => (await commands()).includes(`unsubscribe ${other}`));
  assert.equal(await page.evaluate(() => globalThis.react.client.subscriptions.size), 0);
});

test('a loss, a gap and a refusal are shown', { timeout: 60_000 }, async () => {
  const channel = `tiny:react-${runs}`;
  await show({ channel });
  await shows('first', 'subscribed|||');
  await stage.post(`/proxies/${proxy.id}`, { answer: 'close' });
  await stage.post(`/proxies/${proxy.id}/cut`);
  await shows('first', 'subscribing|||');
  await stage.post('/publish', { channel, count: 9 });
  await stage.post(`/proxies/${proxy.id}`, { answer: 'pass' });
  await shows('first', 'subscribed||trimmed|');
  await show({ channel: 'nowhere:1' });
  await shows('first', 'unsubscribed|||unknown_namespace');
});

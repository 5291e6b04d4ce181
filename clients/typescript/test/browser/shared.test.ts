// Pages that share one connection: a real SharedWorker in a real Chromium, a real hub of another origin.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, test } from 'node:test';

import type { Browser, BrowserContext, Page } from 'playwright-core';

import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from '../node/until.js';
import { bundle } from './bundle.js';
import { launch, servePages } from './chromium.js';
import type { Joining } from './shared-page.js';

let browser: Browser;
let pages: Awaited<ReturnType<typeof servePages>>;
let stage: RunningStage;
let context: BrowserContext;
let proxy: { id: string; url: string };
let runs = 0;

before(async () => {
  pages = await servePages({
    '/page.js': await bundle('test/browser/shared-page.ts'),
    '/worker.js': await bundle('test/browser/shared-worker.ts'),
  });
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
  context = await browser.newContext();
  proxy = await stage.addProxy();
});
afterEach(async () => {
  await context.close();
  await stage.remove(proxy.id);
});

async function join(more: Partial<Joining> = {}): Promise<Page> {
  const page = await context.newPage();
  await page.goto(pages.origin);
  await page.waitForFunction(() => typeof globalThis.joinShared === 'function');
  await page.evaluate((joining) => globalThis.joinShared(joining), {
    control: stage.control,
    hub: proxy.url,
    user: `user-${runs}`,
    ...more,
  });
  return page;
}

const hear = (page: Page, channel: string, start: object = {}) =>
  page.evaluate(([name, begin]) => globalThis.shared.hear(name, begin), [channel, start] as const);
const told = (page: Page, channel: string): Promise<string[]> => page.evaluate((name) => globalThis.shared.told[name] ?? [], channel);
const untilTold = (page: Page, channel: string, last: string) =>
  until(`${last} in ${channel}`, async () => (await told(page, channel)).includes(last));
const connections = async () => {
  const { requests, open } = await stage.get<{ requests: { ws?: number }; open: { ws?: number } }>(`/proxies/${proxy.id}`);
  return { opened: requests.ws ?? 0, open: open.ws ?? 0 };
};
/** How many sessions have the room, as another client sees it. */
const members = (page: Page, room: string) =>
  page.evaluate(async (channel) => (await globalThis.shared.client.presence(channel)).count, room);

test('two pages have one connection; both hear all, also one that comes later', { timeout: 60_000 }, async () => {
  const channel = `chat:shared-${runs}`;
  const first = await join();
  await hear(first, channel);
  await stage.post('/publish', { channel, count: 3 });
  await untilTold(first, channel, '2');
  const second = await join();
  await hear(second, channel, { rewind: 2 });
  await stage.post('/publish', { channel, count: 3, from: 3 });
  await untilTold(first, channel, '5');
  await untilTold(second, channel, '5');
  assert.deepEqual(await told(first, channel), ['0', '1', '2', '3', '4', '5']);
  assert.deepEqual(await told(second, channel), ['1', '2', '3', '4', '5']);
  assert.deepEqual(await connections(), { opened: 1, open: 1 });
  const sessions = await Promise.all([first, second].map((page) => page.evaluate(() => globalThis.shared.client.session)));
  assert.ok(sessions[0]);
  assert.equal(sessions[0], sessions[1]);
});

test('each page publishes and asks for itself', { timeout: 60_000 }, async () => {
  const channel = `chat:asking-${runs}`;
  const [first, second] = [await join(), await join()];
  await hear(first, channel);
  await hear(second, channel);
  const publish = (page: Page, n: number) =>
    page.evaluate(async ([name, data]) => (await globalThis.shared.client.publish(name, { n: data })).position?.offset, [
      channel,
      n,
    ] as const);
  assert.deepEqual([await publish(first, 0), await publish(second, 1)], [1, 2]);
  await untilTold(first, channel, '1');
  await untilTold(second, channel, '1');
  const code = await second.evaluate(() => globalThis.shared.client.call('quote').catch((error) => `${error.name} ${error.code}`));
  assert.equal(code, 'SwitchboardError no_service');
  const history = await first.evaluate(async (name) => (await globalThis.shared.client.history(name)).publications.length, channel);
  assert.equal(history, 2);
});

test('members who come and go are told to every page, whose own session is one', { timeout: 60_000 }, async () => {
  const room = `room:shared-${runs}`;
  const [first, second] = [await join(), await join()];
  await hear(first, room);
  await hear(second, room);
  assert.equal(await members(first, room), 1);
  const other = await join({ user: `other-${runs}` });
  await hear(other, room);
  for (const page of [first, second]) await untilTold(page, room, `+other-${runs}`);
  assert.equal(await members(second, room), 2);
  await other.close();
  for (const page of [first, second]) await untilTold(page, room, `-other-${runs}`);
});

for (const isMute of [false, true]) {
  const how = isMute ? 'dies without a word' : 'is closed';
  test(`a page that ${how} drops what only it had, and no more`, { timeout: 60_000 }, async () => {
    const [common, room] = [`chat:common-${runs}`, `room:only-${runs}`];
    const keeper = await join();
    const leaving = await join({ isMute });
    await hear(keeper, common);
    await hear(leaving, common);
    await hear(leaving, room);
    assert.equal(await members(keeper, room), 1);
    await leaving.close();
    await until('the end of the membership', async () => (await members(keeper, room)) === 0);
    await stage.post('/publish', { channel: common, count: 1 });
    await untilTold(keeper, common, '0');
    assert.deepEqual(await told(keeper, common), ['0']);
    assert.deepEqual(await connections(), { opened: 1, open: 1 });
  });
}

test('the last page ends the connection', { timeout: 60_000 }, async () => {
  const [first, second] = [await join(), await join()];
  await hear(first, `chat:end-${runs}`);
  await hear(second, `chat:end-${runs}`);
  await first.close();
  assert.equal((await connections()).open, 1);
  await second.close();
  await until('the end of the connection', async () => (await connections()).open === 0);
});

test('a gap is told to every page, and then what comes after it', { timeout: 60_000 }, async () => {
  const channel = `tiny:shared-${runs}`;
  const both = [await join(), await join()];
  for (const page of both) await hear(page, channel);
  await stage.post('/publish', { channel, count: 1 });
  for (const page of both) await untilTold(page, channel, '0');
  await stage.post(`/proxies/${proxy.id}`, { answer: 'close' });
  await stage.post(`/proxies/${proxy.id}/cut`);
  for (const page of both) await untilTold(page, channel, 'subscribing');
  await stage.post('/publish', { channel, count: 10, from: 1 });
  await stage.post(`/proxies/${proxy.id}`, { answer: 'pass' });
  for (const page of both) await untilTold(page, channel, 'trimmed');
  await stage.post('/publish', { channel, count: 1, from: 11 });
  for (const page of both) {
    await untilTold(page, channel, '11');
    assert.deepEqual(await told(page, channel), ['0', 'subscribing', 'trimmed', '11']);
  }
});

test('a token is renewed by a page that is still there, in the same session', { timeout: 60_000 }, async () => {
  const channel = `chat:token-${runs}`;
  const keeper = await join({ ttl_s: 4 });
  const first = await join({ ttl_s: 4 });
  await hear(first, channel);
  await hear(keeper, channel);
  assert.deepEqual(await Promise.all([first, keeper].map((page) => page.evaluate(() => globalThis.shared.tokens))), [1, 0]);
  await first.close();
  await until('two more tokens', () => keeper.evaluate(() => globalThis.shared.tokens >= 2));
  await stage.post('/publish', { channel, count: 1 });
  await untilTold(keeper, channel, '0');
  assert.deepEqual(await connections(), { opened: 1, open: 1 });
});

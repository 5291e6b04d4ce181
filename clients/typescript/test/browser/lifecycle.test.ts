// What a real browser does to a page: it freezes it, keeps it for a way back, loses the network. Once for a page with a connection of its own,
// and once for pages that share one.

import assert from 'node:assert/strict';
import { after, afterEach, before, beforeEach, describe, test } from 'node:test';

import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from '../node/until.js';
import { bundle } from './bundle.js';
import { servePages } from './chromium.js';
import { Devtools, type Tab } from './devtools.js';
import type { Joining } from './shared-page.js';

let browser: Devtools;
let pages: Awaited<ReturnType<typeof servePages>>;
let stage: RunningStage;
let proxy: { id: string; url: string };
const tabs: Tab[] = [];
let runs = 0;

before(async () => {
  pages = await servePages({
    '/page.js': await bundle('test/browser/shared-page.ts'),
    '/worker.js': await bundle('test/browser/shared-worker.ts'),
    '/away': '<!doctype html><title>away</title>',
  });
  stage = await startStage({}, [pages.origin]);
  browser = await Devtools.launch();
});
after(async () => {
  await browser?.close();
  await stage?.end();
  pages?.close();
});
beforeEach(async () => {
  runs += 1;
  proxy = await stage.addProxy();
});
afterEach(async () => {
  await Promise.all(tabs.splice(0).map((tab) => tab.close()));
  await stage.remove(proxy.id);
});

async function join(more: Partial<Joining>): Promise<Tab> {
  const tab = await browser.open(pages.origin, 'joinShared');
  tabs.push(tab);
  const joining: Joining = { control: stage.control, hub: proxy.url, user: `life-${runs}`, ...more };
  await tab.run(`globalThis.joinShared(${JSON.stringify(joining)})`);
  return tab;
}

const hear = (tab: Tab, channel: string) => tab.run(`globalThis.shared.hear('${channel}')`);
const told = (tab: Tab, channel: string) => tab.run<string[]>(`globalThis.shared?.told['${channel}'] ?? []`);
const untilTold = (tab: Tab, channel: string, last: string) =>
  until(`${last} in ${channel}`, async () => (await told(tab, channel)).includes(last));
const open = async () => (await stage.get<{ open: { ws?: number } }>(`/proxies/${proxy.id}`)).open.ws ?? 0;
const members = (tab: Tab, room: string) => tab.run<number>(`globalThis.shared.client.presence('${room}').then(({ count }) => count)`);

describe('a page with a connection of its own', () => {
  test('that is frozen holds none, and misses nothing once it is awake', { timeout: 60_000 }, async () => {
    const channel = `chat:frozen-${runs}`;
    const tab = await join({ alone: {} });
    await hear(tab, channel);
    await stage.post('/publish', { channel, count: 2 });
    await untilTold(tab, channel, '1');
    await tab.freeze();
    await until('the end of the connection', async () => (await open()) === 0);
    await stage.post('/publish', { channel, count: 3, from: 2 });
    await tab.resume();
    await untilTold(tab, channel, '4');
    assert.deepEqual(await told(tab, channel), ['0', '1', 'subscribing', '2', '3', '4']);
    assert.equal(await open(), 1);
  });

  // Firefox and Safari keep pages as well, and tell of it by `pagehide` and `pageshow` alone.
  for (const [where, untold] of [
    ['', []],
    [', in a browser that does not tell of freezing', ['freeze', 'resume', 'visibilitychange']],
  ] as const) {
    test(`that is left may be kept, and goes on where it was on the way back${where}`, { timeout: 60_000 }, async () => {
      const channel = `chat:kept-${runs}`;
      const tab = await join({ alone: {} });
      for (const name of untold) await tab.run(`addEventListener('${name}', (event) => event.stopImmediatePropagation(), true)`);
      await hear(tab, channel);
      await stage.post('/publish', { channel, count: 2 });
      await untilTold(tab, channel, '1');
      await tab.navigate(`${pages.origin}/away`);
      await until('the other page', () => tab.run("document.title === 'away'"));
      await until('the end of the connection', async () => (await open()) === 0);
      await stage.post('/publish', { channel, count: 3, from: 2 });
      await tab.back();
      // Had the browser loaded it anew there would be nothing told.
      await untilTold(tab, channel, '4');
      assert.deepEqual(await told(tab, channel), ['0', '1', 'subscribing', '2', '3', '4']);
    });
  }

  test('that loses the network looks at once whether its connection lives, and comes back when the network does', {
    timeout: 60_000,
  }, async () => {
    const channel = `chat:offline-${runs}`;
    // By itself it would notice after 40 seconds, and wait for minutes.
    const tab = await join({ alone: { doubtMs: 1000, baseMs: 600_000, capMs: 600_000 } });
    await tab.run('Math.random = () => 0.9');
    await hear(tab, channel);
    await stage.post(`/proxies/${proxy.id}/half-open`);
    await tab.network(false);
    await until('the doubt to be settled', async () => (await tab.run('globalThis.shared.client.state')) === 'connecting');
    await stage.post('/publish', { channel, count: 3 });
    await tab.network(true);
    await untilTold(tab, channel, '2');
    assert.deepEqual(await told(tab, channel), ['subscribing', '0', '1', '2']);
  });
});

describe('pages that share a connection', () => {
  test('one that is frozen holds nothing, and misses nothing once it is awake', { timeout: 60_000 }, async () => {
    const [common, room] = [`chat:freeze-${runs}`, `room:freeze-${runs}`];
    const [keeper, sleeper] = [await join({}), await join({})];
    for (const tab of [keeper, sleeper]) await hear(tab, common);
    await hear(sleeper, room);
    await stage.post('/publish', { channel: common, count: 2 });
    await untilTold(sleeper, common, '1');
    await sleeper.freeze();
    await until('the end of the membership', async () => (await members(keeper, room)) === 0);
    await stage.post('/publish', { channel: common, count: 3, from: 2 });
    await untilTold(keeper, common, '4');
    await sleeper.resume();
    await untilTold(sleeper, common, '4');
    assert.deepEqual(await told(sleeper, common), ['0', '1', 'subscribing', '2', '3', '4']);
    await until('the membership', async () => (await members(keeper, room)) === 1);
    assert.equal(await open(), 1);
  });

  test('all of them frozen hold no connection; one that wakes brings it back', { timeout: 60_000 }, async () => {
    const channel = `chat:all-${runs}`;
    const both = [await join({}), await join({})] as const;
    for (const tab of both) await hear(tab, channel);
    for (const tab of both) await tab.freeze();
    await until('the end of the connection', async () => (await open()) === 0);
    await stage.post('/publish', { channel, count: 3 });
    await both[0].resume();
    await untilTold(both[0], channel, '2');
    await both[1].resume();
    await untilTold(both[1], channel, '2');
    for (const tab of both) assert.deepEqual(await told(tab, channel), ['subscribing', '0', '1', '2']);
    assert.equal(await open(), 1);
  });

  test('one that is left is forgotten, or kept and back where it was', { timeout: 60_000 }, async () => {
    const [common, room] = [`chat:left-${runs}`, `room:left-${runs}`];
    const [keeper, leaving] = [await join({}), await join({})];
    for (const tab of [keeper, leaving]) await hear(tab, common);
    await hear(leaving, room);
    await leaving.navigate(`${pages.origin}/away`);
    await until('the end of the membership', async () => (await members(keeper, room)) === 0);
    await stage.post('/publish', { channel: common, count: 2 });
    await untilTold(keeper, common, '1');
    await leaving.back();
    await untilTold(leaving, common, '1');
    assert.deepEqual(await told(leaving, common), ['subscribing', '0', '1']);
    assert.equal(await open(), 1);
  });
});

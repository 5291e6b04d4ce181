// A page that no bundler has seen, of another origin than the hub's: it imports the client from the hub.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import type { Browser } from 'playwright-core';

import type { Client, TransportName } from '../../src/index.js';
import { type RunningStage, startStage } from '../conformance/start.js';
import { until } from '../node/until.js';
import { launch, servePages } from './chromium.js';

declare global {
  var follow: (token: string, channel: string, transport: TransportName) => Promise<void>;
  var followed: { client: Client; numbers: number[] };
}

const script = (hub: string) => `
  import { Client } from '${hub}/client.js';
  globalThis.follow = (token, channel, transport) => {
    const client = new Client('${hub}', { token, transports: [transport] });
    globalThis.followed = { client, numbers: [] };
    const subscription = client.subscribe(channel);
    subscription.on('message', ({ data }) => followed.numbers.push(data.n));
    return subscription.ready();
  };`;

let browser: Browser;
let stage: RunningStage;
const files: Record<string, string> = {};
let pages: Awaited<ReturnType<typeof servePages>>;
before(async () => {
  pages = await servePages(files);
  stage = await startStage({}, [pages.origin]);
  files['/page.js'] = script(stage.proxy);
  browser = await launch();
});
after(async () => {
  await browser?.close();
  await stage?.end();
  pages?.close();
});

for (const transport of ['websocket', 'sse', 'poll'] as const) {
  test(`a plain page imports the client from a hub of another origin, and follows a channel over ${transport}`, {
    timeout: 60_000,
  }, async () => {
    const channel = `chat:served-${transport}`;
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('console', (entry) => entry.type() === 'error' && errors.push(entry.text()));
    await page.goto(pages.origin);
    await until('the import', () => {
      assert.deepEqual(errors, []);
      return page.evaluate(() => typeof globalThis.follow === 'function');
    });
    const token = await stage.token({ user: 'ann' });
    await page.evaluate(([one, two, three]) => globalThis.follow(one, two, three), [token, channel, transport] as const);
    await stage.post('/publish', { channel, count: 3 });
    await until('three messages', () => page.evaluate(() => globalThis.followed.numbers.length === 3));
    assert.deepEqual(await page.evaluate(() => globalThis.followed.numbers), [0, 1, 2]);
    assert.equal(await page.evaluate(() => globalThis.followed.client.transport), transport);
    assert.deepEqual(errors, []);
    await page.close();
  });
}

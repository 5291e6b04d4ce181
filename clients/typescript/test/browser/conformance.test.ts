// Every scenario of the list over every transport, in a real Chromium against a real hub of another origin.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';

import type { Browser, Page } from 'playwright-core';

import type { TransportName } from '../../src/index.js';
import type { Scenario } from '../conformance/run.js';
import { CLIENTS, type RunningStage, startStage } from '../conformance/start.js';
import { bundle } from './bundle.js';
import { launch, servePages } from './chromium.js';

const { scenarios } = JSON.parse(readFileSync(new URL('fixtures/conformance.json', CLIENTS), 'utf8')) as { scenarios: Scenario[] };
const WAYS: [string, TransportName, boolean][] = [
  ['websocket', 'websocket', false],
  ['websocket with protobuf', 'websocket', true],
  ['sse', 'sse', false],
  ['poll', 'poll', false],
];

let browser: Browser;
let pages: Awaited<ReturnType<typeof servePages>>;
before(async () => {
  pages = await servePages({ '/page.js': await bundle('test/browser/page.ts') });
  browser = await launch();
});
after(async () => {
  await browser?.close();
  pages?.close();
});

for (const [name, transport, binary] of WAYS) {
  describe(`Chromium over ${name}`, () => {
    let stage: RunningStage;
    let page: Page;
    before(async () => {
      stage = await startStage({}, [pages.origin]);
      page = await browser.newPage();
      await page.goto(pages.origin);
      await page.waitForFunction(() => typeof globalThis.playScenario === 'function');
    });
    after(() => stage.end());
    for (const scenario of scenarios) {
      test(`${scenario.name}: ${scenario.about}`, { timeout: 60_000 }, async () => {
        const failure = await page.evaluate(([one, control, way, format]) => globalThis.playScenario(one, control, way, format), [
          scenario,
          stage.control,
          transport,
          binary,
        ] as const);
        assert.equal(failure, '');
      });
    }
  });
}

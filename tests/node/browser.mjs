// Drives the development page in Chromium: browser.mjs ADDRESS ws|sse|poll CHANNEL COUNT DIRECTORY.
//
// Says {"connected": ...} once subscribed; waits for COUNT messages that somebody else publishes, publishes one itself, measures,
// says {"rows": [...]} and {"measured": {...}}, and {"disconnected": ...}. Screenshots go to DIRECTORY.

import { join } from 'node:path';

import { load, say } from './packages.mjs';

const [address, transport, channel, count, directory] = process.argv.slice(2);
const { chromium } = load('playwright-core');

const browser = await chromium.launch({
  executablePath: process.env.SWITCHBOARD_CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--no-proxy-server', '--disable-dev-shm-usage'],
});
const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
const errors = [];
page.on('pageerror', (error) => errors.push(String(error)));
page.on('console', (entry) => entry.type() === 'error' && errors.push(entry.text()));
page.setDefaultTimeout(30_000);

const state = (wanted) => page.waitForFunction((text) => document.getElementById('state').textContent === text, wanted);
const picture = (name) => page.screenshot({ path: join(directory, `${transport}-${name}.png`) });
const rows = () =>
  page.$$eval('.message[data-channel]', (found) =>
    found.map((row) => ({
      channel: row.dataset.channel,
      offset: Number(row.dataset.offset),
      payload: row.querySelector('.payload').textContent,
    })),
  );

try {
  await page.goto(`${address}/?transport=${transport}&channel=${encodeURIComponent(channel)}`);
  const chosen = await page.getAttribute(`#transport-${transport}`, 'aria-checked');
  await page.click('#connect');
  await state('connected');
  await page.waitForSelector(`#subscriptions li.live[data-channel="${channel}"]`);
  await page.waitForSelector('.member[data-session]');
  say({ connected: { chosen, channel: await page.inputValue('#channel') } });

  const arrived = (number) => page.waitForFunction((n) => document.querySelectorAll('.message[data-channel]').length >= n, number);
  await arrived(Number(count));
  await page.selectOption('#target', channel);
  await page.fill('#payload', 'typed by a person');
  await page.click('#publish');
  await arrived(Number(count) + 1);
  const bad = await page.$$eval('.gap, .note.bad', (found) => found.map((row) => row.textContent));
  if (bad.length > 0) throw new Error(`the page complains: ${bad.join('; ')}`);
  say({ rows: await rows() });
  await picture('messages');

  await page.click('#measure');
  await page.waitForSelector('#latency-result[data-count]', { timeout: 60_000 });
  say({ measured: await page.$eval('#latency-result', (result) => ({ ...result.dataset })) });
  await picture('measured');

  await page.click('#disconnect');
  await state('disconnected');
  say({ disconnected: { errors, alert: await page.$eval('#alert', (alert) => (alert.hidden ? '' : alert.textContent)) } });
} catch (error) {
  await picture('failed').catch(() => {});
  console.error(error, errors);
  process.exitCode = 1;
} finally {
  await browser.close();
}

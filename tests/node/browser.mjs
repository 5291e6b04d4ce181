// Drives the development page in Chromium: browser.mjs ADDRESS websocket|sse|poll CHANNEL COUNT DIRECTORY.
//
// Says {"connected": ...} once subscribed; waits for COUNT messages that somebody else publishes, publishes one itself, measures,
// says {"rows": [...]} and {"measured": {...}}, and {"disconnected": ...}. Screenshots go to DIRECTORY.

import { withPage } from './chromium.mjs';
import { say } from './packages.mjs';

const [address, transport, channel, count, directory] = process.argv.slice(2);

await withPage(directory, transport, async ({ page, errors, state, messages, picture }) => {
  await page.goto(`${address}/?transport=${transport}&channel=${encodeURIComponent(channel)}`);
  const chosen = await page.getAttribute(`#transport-${transport}`, 'aria-checked');
  await page.click('#connect');
  await state('connected');
  await page.waitForSelector(`#subscriptions li.live[data-channel="${channel}"]`);
  await page.waitForSelector('.member[data-session]');
  say({ connected: { chosen, channel: await page.inputValue('#channel'), transport: await page.textContent('#transport') } });

  await messages(Number(count));
  await page.selectOption('#target', channel);
  await page.fill('#payload', 'typed by a person');
  await page.click('#publish');
  const rows = await messages(Number(count) + 1);
  const bad = await page.$$eval('.gap, .note.bad', (found) => found.map((row) => row.textContent));
  if (bad.length > 0) throw new Error(`the page complains: ${bad.join('; ')}`);
  say({ rows });
  await picture('messages');

  await page.click('#measure');
  await page.waitForSelector('#latency-result[data-count]', { timeout: 60_000 });
  say({ measured: await page.$eval('#latency-result', (result) => ({ ...result.dataset })) });
  await picture('measured');

  await page.click('#disconnect');
  await state('disconnected');
  say({ disconnected: { errors, alert: await page.$eval('#alert', (alert) => (alert.hidden ? '' : alert.textContent)) } });
});

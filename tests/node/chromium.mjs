// Chromium with the development page in it.

import { join } from 'node:path';

import { load } from './packages.mjs';

/** Drives a page; where that fails its picture goes to the directory, and the process ends with 1. */
export async function withPage(directory, name, drive) {
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
  const picture = (what) => page.screenshot({ path: join(directory, `${name}-${what}.png`) });
  const state = (wanted) => page.waitForFunction((text) => document.getElementById('state').textContent === text, wanted);
  /** Waits for so many messages, and gives what is shown of all. */
  const messages = async (count) => {
    await page.waitForFunction((n) => document.querySelectorAll('.message[data-channel]').length >= n, count);
    return page.$$eval('.message[data-channel]', (found) =>
      found.map((row) => ({
        channel: row.dataset.channel,
        offset: Number(row.dataset.offset),
        payload: row.querySelector('.payload').textContent,
      })),
    );
  };
  try {
    await drive({ page, errors, picture, state, messages });
  } catch (error) {
    await picture('failed').catch(() => {});
    console.error(error, errors);
    process.exitCode = 1;
  } finally {
    await browser.close();
  }
}

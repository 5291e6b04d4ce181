// The development page while its hub is restarted: restart.mjs ADDRESS CHANNEL DIRECTORY. Nobody touches the page between the two.
//
// Says {"connected": NODE} with a message shown; {"lost": true} once the hub is gone; and when another hub is there {"back": ...}.

import { withPage } from './chromium.mjs';
import { say } from './packages.mjs';

const [address, channel, directory] = process.argv.slice(2);

await withPage(directory, 'restart', async ({ page, state, messages, picture }) => {
  const publish = async (text) => {
    await page.fill('#payload', text);
    await page.click('#publish');
  };
  await page.goto(`${address}/?channel=${encodeURIComponent(channel)}`);
  await page.click('#connect');
  await state('connected');
  await publish('before');
  await messages(1);
  say({ connected: await page.textContent('#node') });

  await state('connecting');
  say({ lost: true });
  // It is kept until there is a hub.
  await publish('meanwhile');

  await state('connected');
  const rows = await messages(2);
  await page.waitForSelector('.member[data-session]');
  const gaps = await page.$$eval('.gap', (found) => found.map((row) => row.textContent));
  await picture('back');
  say({ back: { node: await page.textContent('#node'), rows, gaps, state: await page.textContent('#state') } });
});

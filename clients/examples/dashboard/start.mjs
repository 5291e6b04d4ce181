// A dashboard: this machine's load, every second, in a page that uses the browser's own EventSource and no library.
//
//     node clients/examples/dashboard/start.mjs

import { freemem, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';

import { run } from '../running.mjs';

const EVERY_MS = Number(process.env.EVERY_MS ?? 1000);

await run({
  directory: fileURLToPath(new URL('.', import.meta.url)),
  // Whoever finds the page may look; an EventSource cannot send a header, so there is no token.
  anonymous: 'anonymous = { subscribe = ["metrics:*"] }',
  namespaces: `
    [namespaces.metrics]
    history_count = 300`,
  routes: { 'GET /hub': (_, { hub }) => ({ hub }) },
  start({ hub, sign, Client }) {
    const publisher = new Client(hub, { token: sign({ user: 'meter', publish: ['metrics:*'] }) });
    publisher.connect();
    let n = 0;
    const measuring = setInterval(() => {
      const value = { n: n++, at: Date.now(), load: loadavg()[0], memory: 1 - freemem() / totalmem() };
      publisher.publish('metrics:machine', value).catch((error) => console.error(`not published: ${error.message}`));
    }, EVERY_MS);
    return () => {
      clearInterval(measuring);
      publisher.disconnect();
    };
  },
});

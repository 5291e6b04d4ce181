// An inbox of notifications: what came while nobody looked is there on return, on whichever device.
//
//     node clients/examples/inbox/start.mjs

import { fileURLToPath } from 'node:url';

import { run } from '../running.mjs';

let publisher;

await run({
  directory: fileURLToPath(new URL('.', import.meta.url)),
  namespaces: `
    [namespaces.inbox]
    durable = true
    history_count = 1000
    history_age_s = 604_800`,
  routes: {
    // Yours asks the visitor's own session who this is. The inbox is subscribed at once, because the token names it.
    'GET /token': (_, { hub, sign }, query) => {
      const user = query.get('user') || 'ann';
      return { hub, token: sign({ user, channels: [`inbox:${user}`], subscribe: [`inbox:${user}`] }) };
    },
    // What an application does when something happens that a user should know.
    'POST /notify': async ({ user, text }) => {
      const { position } = await publisher.publish(`inbox:${user}`, { text, at: Date.now() });
      return { position };
    },
  },
  start({ hub, sign, Client }) {
    publisher = new Client(hub, { token: sign({ user: 'application', publish: ['inbox:*'] }) });
    publisher.connect();
    return () => publisher.disconnect();
  },
});

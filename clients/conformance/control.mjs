// The control interface: JSON over HTTP, on loopback. One table of what can be asked.

import { randomBytes } from 'node:crypto';
import { createServer } from 'node:http';

import { Proxy } from './proxy.mjs';
import { mint } from './tokens.mjs';

const BODY_BYTES_MAX = 1 << 20;
const PUBLISH_COUNT_MAX = 100_000;
const PROXIES_MAX = 2000;

/** Serves the stage's control interface; gives its server and its URL. */
export async function serveControl({ hub, identity }) {
  const proxies = new Map();
  let proxyCount = 0;
  const proxy = (id) => {
    const found = proxies.get(id);
    if (!found) throw new Error(`there is no proxy ${id}`);
    return found;
  };
  const addProxy = async (modes) => {
    if (proxies.size >= PROXIES_MAX) throw new Error(`${PROXIES_MAX} proxies are open: DELETE some`);
    const added = await new Proxy(() => hub.address, modes).listen();
    const id = String(++proxyCount);
    proxies.set(id, added);
    return { id, ...added.state };
  };

  const routes = {
    'GET /': () => ({ hub: hub.addresses ?? null, proxies: Object.fromEntries([...proxies].map(([id, one]) => [id, one.state])) }),
    'POST /token': (body) => ({ token: mint(identity, body) }),
    'POST /publish': async ({ channel, count = 1, from = 0, pad = 0, data, id, tags, skip_history }) => {
      if (!(count >= 1 && count <= PUBLISH_COUNT_MAX)) throw new Error(`\`count\` is 1 to ${PUBLISH_COUNT_MAX}`);
      const items = Array.from({ length: count }, (_, n) => ({
        channel,
        data: data === undefined ? { n: from + n, ...padding(pad) } : data,
        id: id === undefined ? undefined : count === 1 ? id : `${id}-${from + n}`,
        tags,
        skip_history,
      }));
      const positions = await hub.services.publish(items);
      return { count, first: positions[0], last: positions.at(-1) };
    },
    'POST /send': ({ data, ...target }) => hub.services.send(target, data),
    'POST /subscribe': ({ channel, ...target }) => hub.services.subscribe(target, channel),
    'POST /unsubscribe': ({ user, session, ...rest }) => hub.services.unsubscribe({ user, session }, rest),
    'POST /disconnect': ({ user, session, ...rest }) => hub.services.disconnect({ user, session }, rest),
    'POST /hub/stop': () => hub.stop(),
    'POST /hub/start': async ({ set }) => (await hub.start(set), { hub: hub.addresses }),
    'POST /hub/restart': async ({ set }) => (await hub.restart(set), { hub: hub.addresses }),
    'POST /hub/drain': async ({ set, wait }) => {
      const { ended } = await hub.drain(set);
      if (wait) await ended;
      return { hub: hub.addresses };
    },
    'POST /proxies': addProxy,
    'GET /proxies/ID': (_, id) => ({ id, ...proxy(id).state }),
    'POST /proxies/ID': (body, id) => (proxy(id).set(body), { id, ...proxy(id).state }),
    'POST /proxies/ID/cut': ({ kind }, id) => proxy(id).cut(kind),
    'POST /proxies/ID/half-open': (_, id) => proxy(id).halfOpen(),
    'POST /proxies/ID/last-words': (_, id) => proxy(id).lastWords(),
    'POST /proxies/ID/pause': (_, id) => proxy(id).pause(),
    'POST /proxies/ID/resume': (_, id) => proxy(id).resume(),
    'DELETE /proxies/ID': (_, id) => {
      proxy(id).close();
      proxies.delete(id);
    },
  };

  const server = createServer(async (incoming, outgoing) => {
    const answer = (status, json) => {
      outgoing.writeHead(status, {
        'content-type': 'application/json',
        'cache-control': 'no-store',
        // A page under test may drive the stage itself.
        'access-control-allow-origin': '*',
        'access-control-allow-methods': 'GET, POST, DELETE',
        'access-control-allow-headers': 'content-type',
      });
      outgoing.end(JSON.stringify(json ?? {}));
    };
    try {
      if (incoming.method === 'OPTIONS') return answer(204);
      const [, id] = /^\/proxies\/(\d+)/.exec(incoming.url) ?? [];
      const name = `${incoming.method} ${id ? incoming.url.replace(/^\/proxies\/\d+/, '/proxies/ID') : incoming.url}`;
      const route = routes[name];
      if (!route) return answer(404, { error: `${incoming.method} ${incoming.url}: not among ${Object.keys(routes).join(', ')}` });
      answer(200, await route(await readBody(incoming), id));
    } catch (error) {
      answer(400, { error: error.message });
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${server.address().port}`;
  return {
    url,
    addProxy,
    close() {
      server.close();
      server.closeAllConnections();
      for (const one of proxies.values()) one.close();
    },
  };
}

/** Bytes that no compression makes less of. */
const padding = (length) => (length > 0 ? { pad: randomBytes(Math.ceil(length * 0.75)).toString('base64').slice(0, length) } : {});

async function readBody(incoming) {
  let text = '';
  for await (const chunk of incoming) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) throw new Error('the body is too long');
  }
  return text === '' ? {} : JSON.parse(text);
}

// The stage on which clients of any language are tried: a real hub, proxies that misbehave, and a control interface.
//
//     SWITCHBOARD_HUB=/path/to/switchboard node stage.mjs [--origin http://127.0.0.1:5173]... [--set limits.ping_interval_s=1]... [--redis PORT]
//
// Prints one line of JSON when all is ready, and ends when its standard input closes. README.md has the rest.

import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

import { serveControl } from './control.mjs';
import { Hub } from './hub.mjs';
import { startRedis } from './redis.mjs';

const { values } = parseArgs({
  options: {
    origin: { type: 'string', multiple: true, default: [] },
    set: { type: 'string', multiple: true, default: [] },
    redis: { type: 'string' },
  },
});
const program = process.env.SWITCHBOARD_HUB;
if (!program) {
  process.stderr.write('SWITCHBOARD_HUB is not set: the path of the hub, the program `switchboard`\n');
  process.exit(64);
}
const set = {};
for (const pair of values.set) {
  const [path, value] = pair.split(/=(.*)/s);
  set[path] = JSON.parse(value);
}
const identity = {
  secret: randomBytes(32).toString('hex'),
  apiKey: randomBytes(24).toString('hex'),
  issuer: 'https://issuer.test',
  audience: 'switchboard-clients',
  origins: values.origin,
};
const directory = await mkdtemp(join(tmpdir(), 'switchboard-stage-'));
const hub = new Hub({ program, directory, identity, set });
let redis;
const end = async (status) => {
  await redis?.end();
  await hub.end();
  process.exit(status);
};
process.stdin.on('end', () => end(0)).on('error', () => end(0)).resume();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => end(0));
try {
  if (values.redis !== undefined) {
    redis = await startRedis(Number(values.redis), directory);
    set['engine.kind'] = 'redis';
    set['engine.redis.servers'] = [redis.address];
  }
  await hub.start();
  const control = await serveControl({ hub, identity });
  const proxy = await control.addProxy({});
  const { clients, grpc, admin } = hub.addresses;
  process.stdout.write(
    `${JSON.stringify({ control: control.url, proxy: proxy.url, proxy_id: proxy.id, hub: `http://${clients}`, grpc, admin, api_key: identity.apiKey })}\n`,
  );
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  await end(1);
}

// What the examples have in common: a hub with the example's configuration, a page with its files, tokens for visitors, and an end on Ctrl-C.
// In a deployment the hub is a service of its own, and only `sign` or its like is left of this.

import { execFileSync, spawn } from 'node:child_process';
import { createHmac, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { extname, join, normalize, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath, pathToFileURL } from 'node:url';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const CLIENT = join(ROOT, 'clients/typescript');
const READY_WITHIN_MS = 20_000;
const BODY_BYTES_MAX = 64 * 1024;
const TYPES = { '.html': 'text/html; charset=utf-8', '.js': 'text/javascript', '.css': 'text/css' };

/** The hub's program: SWITCHBOARD_HUB, or what cargo builds. */
function program() {
  if (process.env.SWITCHBOARD_HUB) return process.env.SWITCHBOARD_HUB;
  console.log('SWITCHBOARD_HUB is not set: building the hub, which takes some minutes the first time');
  execFileSync('cargo', ['build', '--release', '--package', 'switchboard-server'], { cwd: ROOT, stdio: 'inherit' });
  // Cargo takes a relative one as seen from where it was started.
  return resolve(ROOT, process.env.CARGO_TARGET_DIR ?? 'target', 'release/switchboard');
}

/** The compiled client, whose files a page imports from `/client/`. An application would import `@switchboard/client`. */
function builtClient() {
  const built = join(CLIENT, 'dist');
  if (!existsSync(join(built, 'index.js'))) {
    console.log('building the client');
    const npm = (...words) => execFileSync('npm', words, { cwd: CLIENT, stdio: 'inherit' });
    if (!existsSync(join(CLIENT, 'node_modules'))) npm('ci', '--ignore-scripts');
    npm('run', 'build');
  }
  return built;
}

/**
 * Runs an example. `routes` and `start` are given the addresses (`page`, `hub`, `grpc`), the `apiKey` of services, `sign`, and the class `Client`;
 * what `start` returns is called at the end.
 */
export async function run({ directory, namespaces, anonymous, routes = {}, start }) {
  const ends = [];
  let isEnding = false;
  const end = async (status) => {
    if (isEnding) return;
    isEnding = true;
    for (const one of ends.reverse()) await one();
    process.exit(status);
  };
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => end(0));
  try {
    const context = { apiKey: randomBytes(24).toString('hex'), secret: randomBytes(32).toString('hex') };
    context.sign = (claims) => sign(context.secret, claims);
    const page = await serve(directory, routes, context);
    ends.push(page.close);
    context.page = page.url;
    const hub = await startHub({ ...context, namespaces, anonymous }, ends, end);
    const { Client } = await import(pathToFileURL(join(builtClient(), 'index.js')));
    Object.assign(context, { hub: `http://${hub.clients}`, grpc: hub.grpc, Client });
    const stop = await start?.(context);
    if (stop) ends.push(stop);
    console.log(`open ${page.url} (Ctrl-C ends it)`);
  } catch (error) {
    console.error(error.message);
    await end(1);
  }
}

/** A token of HS256, good for an hour. `switchboard` says what its holder may do. */
function sign(secret, { user, ...switchboard }) {
  const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');
  const claims = { sub: user, iss: 'example', aud: 'switchboard', exp: Math.floor(Date.now() / 1000) + 3600, switchboard };
  const signed = `${part({ alg: 'HS256', typ: 'JWT', kid: 'example' })}.${part(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

async function startHub({ apiKey, secret, page, namespaces, anonymous = '' }, ends, end) {
  const state = await mkdtemp(join(tmpdir(), 'switchboard-example-'));
  ends.push(() => rm(state, { recursive: true, force: true }));
  // HUB_PORT and PAGE_PORT choose ports; without them any that are free.
  const configuration = `
    [clients]
    listen = "127.0.0.1:${process.env.HUB_PORT ?? 0}"
    allowed_origins = ["${page}"]
    ${anonymous}
    [api]
    listen = "127.0.0.1:0"
    keys = [{ name = "example", secret = "${apiKey}", scopes = ["publish", "read"] }]
    [admin]
    listen = "127.0.0.1:0"
    [tokens]
    issuer = "example"
    audience = "switchboard"
    keys = [{ id = "example", algorithms = ["HS256"], secret = "${secret}" }]
    [drain]
    ready_delay_s = 0
    window_s = 0.5
    deadline_s = 2
    ${namespaces}`;
  await writeFile(join(state, 'hub.toml'), configuration);
  const hub = spawn(program(), ['serve', '--config', 'hub.toml', '--ready-file', 'ready.json'], {
    cwd: state,
    env: { ...process.env, SWITCHBOARD_STATE_DIR: state },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  hub.stderr.on('data', (chunk) => {
    log = (log + chunk).slice(-8192);
  });
  const ended = new Promise((resolve) => hub.on('exit', resolve));
  hub.on('error', () => {});
  ends.push(() => {
    hub.kill();
    return ended;
  });
  for (const until = Date.now() + READY_WITHIN_MS; Date.now() < until && hub.exitCode === null; await sleep(50)) {
    const text = await readFile(join(state, 'ready.json'), 'utf8').catch(() => '');
    if (!text.trim().endsWith('}')) continue;
    void ended.then(() => end(1));
    return JSON.parse(text);
  }
  throw new Error(`the hub did not get ready:\n${log}`);
}

/** Serves the example's folder, the client, and `routes`: `'POST /notify': (body, context, query) => answer`. */
async function serve(directory, routes, context) {
  const folders = { '/client/': builtClient(), '/': join(directory, 'page') };
  const server = createServer(async (incoming, outgoing) => {
    const { pathname, searchParams } = new URL(incoming.url, 'http://page');
    const answer = (status, type, body) => outgoing.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
    try {
      const route = routes[`${incoming.method} ${pathname}`];
      if (route) return answer(200, 'application/json', JSON.stringify(await route(await body(incoming), context, searchParams)));
      const path = normalize(pathname.endsWith('/') ? `${pathname}index.html` : pathname);
      const prefix = Object.keys(folders).find((one) => path.startsWith(one));
      const file = await readFile(join(folders[prefix], path.slice(prefix.length)));
      answer(200, TYPES[extname(path)] ?? 'application/octet-stream', file);
    } catch (error) {
      answer(error.code === 'ENOENT' || error.code === 'EISDIR' ? 404 : 400, 'text/plain', `${error.message}\n`);
    }
  });
  await new Promise((resolve, reject) => server.on('error', reject).listen(Number(process.env.PAGE_PORT ?? 0), '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}

async function body(incoming) {
  let text = '';
  for await (const chunk of incoming) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) throw new Error('the body is too long');
  }
  return text === '' ? {} : JSON.parse(text);
}

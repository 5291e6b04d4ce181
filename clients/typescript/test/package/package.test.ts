// The package as users get it: packed, installed into an empty folder, imported there in Node, and type-checked; and as the hub serves it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { CLIENTS } from '../conformance/start.js';

const PACKAGE = fileURLToPath(new URL('typescript/', CLIENTS));
const TSC = join(PACKAGE, 'node_modules/.bin/tsc');
let folder: string;

interface Manifest {
  version: string;
  exports: Record<string, { types: string; default: string }>;
  dependencies?: object;
}
const manifest = JSON.parse(readFileSync(join(PACKAGE, 'package.json'), 'utf8')) as Manifest;
const entries = Object.keys(manifest.exports).map((entry) => entry.replace(/^\./, '@switchboard/client'));

function npm(where: string, ...words: string[]): string {
  const program = process.env.npm_execpath ?? 'npm';
  const [first, rest] = program.endsWith('.js') ? [process.execPath, [program, ...words]] : [program, words];
  // The settings of an npm that runs this test are not those of the other.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('npm_config_')));
  return execFileSync(first, rest, { cwd: where, env, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs a program that may fail, and gives all it said. */
function output(program: string, ...words: string[]): string {
  try {
    return execFileSync(program, words, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    return `failed: ${stdout}${stderr}`;
  }
}

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'switchboard-package-'));
  npm(PACKAGE, 'pack', '--pack-destination', folder, '--loglevel', 'error');
  writeFileSync(join(folder, 'package.json'), '{ "private": true, "type": "module" }');
  npm(folder, 'install', '--offline', '--no-audit', '--no-fund', `./switchboard-client-${manifest.version}.tgz`);
});
after(() => rmSync(folder, { recursive: true, force: true }));

const withReact = () => {
  mkdirSync(join(folder, 'node_modules/@types'), { recursive: true });
  for (const name of ['react', '@types/react', 'csstype'])
    symlinkSync(join(PACKAGE, 'node_modules', name), join(folder, 'node_modules', name));
};

test('what the hub serves as `/client.js` is made from this source', () => {
  const file = join(folder, 'client.js');
  execFileSync(process.execPath, [join(PACKAGE, 'scripts/bundle.mjs'), file]);
  const served = readFileSync(new URL('../crates/server/assets/client.js', CLIENTS), 'utf8');
  assert.ok(served === readFileSync(file, 'utf8'), 'it is not: `npm run bundle` makes it anew');
});

test('it brings nothing else along', () => {
  assert.equal(manifest.dependencies, undefined);
  const installed = readdirSync(join(folder, 'node_modules')).filter((name) => !name.startsWith('.'));
  assert.deepEqual([installed, readdirSync(join(folder, 'node_modules/@switchboard'))], [['@switchboard'], ['client']]);
  const files = readdirSync(join(folder, 'node_modules/@switchboard/client')).sort();
  assert.deepEqual(files, ['README.md', 'dist', 'package.json']);
});

test('every entry but React’s is imported by Node alone, and works there', () => {
  const alone = entries.filter((entry) => !entry.endsWith('/react'));
  const program = `
    const all = await Promise.all(${JSON.stringify(alone)}.map((entry) => import(entry)));
    const { Client } = all[0];
    const client = new Client('http://127.0.0.1:9', { token: 'x' });
    console.log(all.map((one) => Object.keys(one).sort().join(' ')).join('; '), client.state);`;
  writeFileSync(join(folder, 'alone.mjs'), program);
  assert.equal(
    output(process.execPath, 'alone.mjs').trim(),
    'Client Emitter Subscription SwitchboardError json; protobuf; SharedClient serve disconnected',
  );
  assert.deepEqual(entries.length, alone.length + 1);
});

test('React’s entry is imported where React is, and all types check, strictly, those of the package too', () => {
  withReact();
  writeFileSync(join(folder, 'react.mjs'), "console.log(Object.keys(await import('@switchboard/client/react')).sort().join(' '));");
  assert.equal(output(process.execPath, 'react.mjs').trim(), 'useChannel usePresence');
  const user = `
    import { Client, type Message, SwitchboardError } from '@switchboard/client';
    import { protobuf } from '@switchboard/client/protobuf';
    import { useChannel, usePresence } from '@switchboard/client/react';
    import { SharedClient, serve } from '@switchboard/client/shared';

    const client = new Client('https://hub.example.com', { getToken: () => 'x', codec: protobuf });
    const chat = client.subscribe<{ text: string }>('chat:42', { rewind: 20 });
    for await (const { data } of chat) console.log(data.text.length);
    const position: { epoch: string; offset: number } | undefined = (await chat.publish({ text: 'hi' })).position;
    await chat.ack(position?.offset);
    const shared = new SharedClient(new SharedWorker('/worker.js', { type: 'module' }));
    serve('https://hub.example.com', { heartbeatMs: 5000 });
    export function Chat({ either }: { either: boolean }): number {
      const { messages, state } = useChannel<{ text: string }>(either ? client : shared, 'chat:42', { keep: 5 });
      const { members } = usePresence<{ name: string }>(shared, 'chat:42');
      const last: Message<{ text: string }> | undefined = messages.at(-1);
      return state === 'subscribed' ? members.length + (last?.data.text.length ?? 0) : 0;
    }
    // @ts-expect-error: what is published is what the channel carries
    void chat.publish({ text: 1 });
    export const isRefusal = (error: unknown) => error instanceof SwitchboardError && error.code === 'permission_denied';`;
  writeFileSync(join(folder, 'user.ts'), user);
  const strict = ['--noEmit', '--strict', '--skipLibCheck', 'false', '--target', 'es2022', '--lib', 'es2022,dom,dom.iterable'];
  for (const resolution of [
    ['--module', 'nodenext'],
    ['--module', 'esnext', '--moduleResolution', 'bundler'],
  ])
    assert.equal(output(TSC, ...strict, ...resolution, '--ignoreConfig', 'user.ts'), '', resolution.join(' '));
});

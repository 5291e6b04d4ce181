// `npm test`: the package's checks one after the other, and at the end how many tests there were, as cargo says it.
//
//     npm test [-- PART...]      parts: types lint unit package node conformance browser examples faults
//
// SWITCHBOARD_HUB names the hub's program; SWITCHBOARD_CHROMIUM, FAULT_RUNS and FAULT_SEED are optional.

import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const tool = (name) => `${root}node_modules/.bin/${name}`;
const tests = (folder) => {
  const files = readdirSync(`${root}test/${folder}`).filter((name) => name.endsWith('.test.ts'));
  return files.map((name) => `.build/test/${folder}/${name.replace(/\.ts$/, '.js')}`);
};
const suite = (folder) => [process.execPath, '--test', '--test-reporter=spec', ...tests(folder)];

const PARTS = {
  types: [tool('tsc'), '-p', 'tsconfig.json'],
  lint: [tool('biome'), 'check', '.', '../examples'],
  unit: suite('unit'),
  package: suite('package'),
  node: suite('node'),
  conformance: suite('conformance'),
  browser: suite('browser'),
  examples: suite('examples'),
  faults: suite('faults'),
};

const asked = process.argv.slice(2);
const unknown = asked.find((part) => !(part in PARTS));
if (unknown) throw new Error(`there is no part ${unknown}: ${Object.keys(PARTS).join(', ')}`);
if (!process.env.SWITCHBOARD_HUB) throw new Error('set SWITCHBOARD_HUB to the path of the hub, the program `switchboard`');

let passed = 0;
let failed = 0;
const broken = [];
// The suites run what the type check writes.
for (const part of new Set(['types', ...(asked.length > 0 ? asked : Object.keys(PARTS))])) {
  console.log(`\n== ${part}`);
  const [program, ...rest] = PARTS[part];
  const child = spawn(program, rest, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk) => {
    output += chunk;
    process.stdout.write(chunk);
  });
  const status = await new Promise((resolve) => child.on('close', resolve));
  const count = (what) => Number(new RegExp(`^ℹ ${what} (\\d+)$`, 'm').exec(output)?.[1] ?? 0);
  passed += count('pass');
  failed += count('fail') + count('cancelled');
  const isSuite = program === process.execPath;
  if (status !== 0 || (isSuite && count('pass') + count('fail') === 0)) broken.push(part);
}
if (broken.length > 0) console.log(`\nfailed: ${broken.join(', ')}`);
const good = broken.length === 0 && failed === 0;
console.log(`\ntest result: ${good ? 'ok' : 'FAILED'}. ${passed} passed; ${failed} failed; 0 ignored`);
process.exitCode = good ? 0 : 1;

// What a page pays for each entry, minified and gzipped.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';

import { bundle } from '../browser/bundle.js';

const BOUNDS: [entry: string, bytesMax: number][] = [
  ['src/index.ts', 10_000],
  ['src/protobuf/index.ts', 2_500],
  // The client with it: it is what the worker loads.
  ['src/shared/index.ts', 13_500],
];

for (const [entry, bytesMax] of BOUNDS) {
  test(`${entry} has less than ${bytesMax} bytes gzipped`, async () => {
    const bytes = gzipSync(await bundle(entry), { level: 9 }).length;
    console.log(`${entry}: ${bytes} bytes gzipped`);
    assert.ok(bytes < bytesMax, `${bytes} bytes`);
  });
}

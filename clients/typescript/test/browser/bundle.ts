// Bundles for pages and workers, minified as an application's would be.

import { fileURLToPath } from 'node:url';

import { type BuildOptions, build } from 'esbuild';

import { CLIENTS } from '../conformance/start.js';

const PACKAGE = fileURLToPath(new URL('typescript/', CLIENTS));

/** The text of one bundle; `entry` is relative to the package. */
export async function bundle(entry: string, options: BuildOptions = {}): Promise<string> {
  const { outputFiles } = await build({
    absWorkingDir: PACKAGE,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    write: false,
    format: 'esm',
    target: 'es2022',
    platform: 'browser',
    ...options,
  });
  const [file] = outputFiles ?? [];
  if (!file) throw new Error(`esbuild gave nothing for ${entry}`);
  return file.text;
}

// Packages from the directory that SWITCHBOARD_NODE_MODULES names: they are not installed beside these files.

import { createRequire } from 'node:module';
import { join } from 'node:path';

export const load = createRequire(join(process.env.SWITCHBOARD_NODE_MODULES, 'from-here.cjs'));

/** Says a line of JSON to the test. */
export function say(fields) {
  process.stdout.write(`${JSON.stringify(fields)}\n`);
}

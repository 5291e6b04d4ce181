// Reads a compose file as Compose does (anchors and merge keys) and says it as JSON.

import { readFileSync } from 'node:fs';
import { load, say } from './packages.mjs';

const { parse } = load('yaml');
say(parse(readFileSync(process.argv[2], 'utf8'), { merge: true }));

// `npm run bundle`: the client as one file, which the hub serves as `/client.js` and its page uses. The file is kept beside the hub's sources,
// so that whoever builds the hub needs no Node; a test holds it against what this makes.
//
//     node scripts/bundle.mjs [FILE]

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const [file = fileURLToPath(new URL('../../../crates/server/assets/client.js', import.meta.url))] = process.argv.slice(2);
const { name, version, license } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));

const { outputFiles } = await build({
  absWorkingDir: root,
  entryPoints: ['src/index.ts'],
  bundle: true,
  minify: true,
  write: false,
  format: 'esm',
  target: 'es2022',
  platform: 'browser',
  banner: {
    js: `// ${name} ${version} (${license}) as one module: import { Client } from '/client.js'\n// Made from clients/typescript/src by \`npm run bundle\` there. Change the source, not this.`,
  },
});
writeFileSync(file, outputFiles[0].contents);

// A chat: the page speaks to the hub by the TypeScript client, a Python service greets over gRPC whoever comes.
//
//     node clients/examples/chat/start.mjs

import { execFileSync, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { run } from '../running.mjs';

const directory = fileURLToPath(new URL('.', import.meta.url));

/** A Python that has grpcio: SWITCHBOARD_PYTHON, or one in a virtual environment beside this, made at the first start. */
function python() {
  if (process.env.SWITCHBOARD_PYTHON) return process.env.SWITCHBOARD_PYTHON;
  const environment = join(directory, '.venv');
  const found = join(environment, 'bin/python');
  if (existsSync(found)) return found;
  console.log('making a Python environment with grpcio in', environment);
  execFileSync('python3', ['-m', 'venv', environment], { stdio: 'inherit' });
  execFileSync(found, ['-m', 'pip', 'install', '--quiet', '--requirement', join(directory, 'requirements.txt')], { stdio: 'inherit' });
  return found;
}

await run({
  directory,
  namespaces: `
    [namespaces.chat]
    history_count = 500
    presence = true
    join_leave = true
    presence_grace_s = 1`,
  routes: {
    // Yours asks the visitor's own session who this is, and never the visitor.
    'GET /token': (_, { hub, sign }, query) => {
      const user = query.get('user') || 'somebody';
      const all = ['chat:*'];
      return { hub, token: sign({ user, subscribe: all, publish: all, presence: all, history: all }) };
    },
  },
  async start({ grpc, apiKey }) {
    const env = { ...process.env, SWITCHBOARD_GRPC: grpc, SWITCHBOARD_API_KEY: apiKey };
    const greeter = spawn(python(), [join(directory, 'greeter.py'), 'chat:lobby'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
    const ended = new Promise((resolve) => greeter.on('exit', resolve));
    await new Promise((resolve, reject) => {
      createInterface(greeter.stdout).once('line', resolve);
      greeter.once('exit', (status) => reject(new Error(`greeter.py ended with ${status}`)));
    });
    return () => {
      greeter.kill();
      return ended;
    };
  },
});

// A Redis that the stage's hubs share: then they are nodes of one hub, and what one had the next has too.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const READY_WITHIN_MS = 10_000;

/** A port that was free a moment ago. */
async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  return port;
}

/** Whether it answers PING. */
function answers(port) {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port }, () => socket.write('PING\r\n'));
    socket.on('data', (text) => {
      socket.destroy();
      resolve(String(text).startsWith('+PONG'));
    });
    socket.on('error', () => resolve(false));
  });
}

/** Starts `redis-server` (or SWITCHBOARD_REDIS_SERVER) on the port, 0 for one that is free; it keeps everything in memory. */
export async function startRedis(port, directory) {
  const chosen = port || (await freePort());
  const program = process.env.SWITCHBOARD_REDIS_SERVER ?? 'redis-server';
  const options = ['--bind', '127.0.0.1', '--port', String(chosen), '--save', '', '--appendonly', 'no', '--dir', directory];
  const child = spawn(program, options, { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.on('exit', resolve).on('error', resolve));
  let said = '';
  child.stdout.on('data', (chunk) => {
    said = (said + chunk).slice(-4096);
  });
  for (const until = Date.now() + READY_WITHIN_MS; Date.now() < until; await sleep(20)) {
    if (child.exitCode !== null || child.pid === undefined) break;
    // It is this one that answers, and no other that has the port: the other's answer ends this one.
    if (said.includes('Ready to accept connections') && (await answers(chosen))) {
      return {
        address: `127.0.0.1:${chosen}`,
        end() {
          child.kill('SIGKILL');
          return ended;
        },
      };
    }
  }
  child.kill('SIGKILL');
  throw new Error(`${program} does not start on port ${chosen}: ${said || 'is it installed?'}`);
}

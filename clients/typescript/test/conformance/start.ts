// Starts a stage as a process of its own.

import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

import { Stage } from './stage.js';

/** The folder `clients` of the checkout, from where this is compiled to. */
export const CLIENTS = new URL('../../../../', import.meta.url);

export interface RunningStage extends Stage {
  readonly proxy: string;
  readonly process: ChildProcess;
  end(): Promise<void>;
}

/** `more`: options of the stage's own, such as `--redis`. */
export async function startStage(
  settings: Record<string, unknown> = {},
  origins: string[] = [],
  more: string[] = [],
): Promise<RunningStage> {
  const set = Object.entries(settings).flatMap(([path, value]) => ['--set', `${path}=${JSON.stringify(value)}`]);
  const program = fileURLToPath(new URL('conformance/stage.mjs', CLIENTS));
  const child = spawn(process.execPath, [program, ...set, ...origins.flatMap((origin) => ['--origin', origin]), ...more], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = new Promise<void>((resolve) => child.on('exit', () => resolve()));
  const line = await new Promise<string>((resolve, reject) => {
    createInterface(child.stdout).once('line', resolve);
    child.once('exit', (code) => reject(new Error(`the stage ended with ${code}`)));
  });
  const { control, proxy } = JSON.parse(line) as { control: string; proxy: string };
  return Object.assign(new Stage(control), {
    proxy,
    process: child,
    async end() {
      child.stdin.end();
      await ended;
    },
  });
}

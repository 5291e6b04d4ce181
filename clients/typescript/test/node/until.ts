import { setTimeout as sleep } from 'node:timers/promises';

/** Waits until it holds; fails by its name. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, withinMs = 15_000): Promise<void> {
  const end = Date.now() + withinMs;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`${what} never came`);
    await sleep(10);
  }
}

// Listeners, and async iterators over what they hear.

import { SwitchboardError } from './errors.js';

type Listener<Value> = (value: Value) => void;

/** Somebody who can be listened to: `Events` maps names to what is told. */
export class Emitter<Events extends object> {
  readonly #listeners = new Map<keyof Events, Set<Listener<never>>>();

  /** Listens; the function that is returned ends it. */
  on<Name extends keyof Events>(name: Name, listener: Listener<Events[Name]>): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener as Listener<never>));
    return () => listeners.delete(listener as Listener<never>);
  }

  /** @internal Tells all listeners. One that throws is reported and harms nobody else. */
  emit<Name extends keyof Events>(name: Name, value: Events[Name]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        (listener as Listener<Events[Name]>)(value);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

/** What an iterator may be told. */
export interface IterateOptions {
  /** Ends the iteration. */
  signal?: AbortSignal;
  /** Values that may wait for a slow reader; one more, and the iteration ends with the error `overflow`. Default 1000. */
  bufferMax?: number;
}

/** Values pushed by `start` as an async iterator. `start` gives the function that ends it. */
export function iterate<Value>(
  start: (push: (value: Value) => void, end: (error?: unknown) => void) => () => void,
  { signal, bufferMax = 1000 }: IterateOptions = {},
): AsyncIterableIterator<Value> {
  const waiting: Value[] = [];
  let wake: (() => void) | undefined;
  let ended: { error?: unknown } | undefined;
  const end = (error?: unknown) => {
    if (ended) return;
    ended = { error };
    stop();
    signal?.removeEventListener('abort', onAbort);
    wake?.();
  };
  const onAbort = () => end();
  const stop = start((value) => {
    if (ended) return;
    if (waiting.length >= bufferMax) return end(new SwitchboardError('overflow', `more than ${bufferMax} values wait for this iterator`));
    waiting.push(value);
    wake?.();
  }, end);
  signal?.addEventListener('abort', onAbort);
  if (signal?.aborted) end();
  return {
    async next() {
      for (;;) {
        const value = waiting.shift();
        if (value !== undefined) return { done: false, value };
        if (ended) {
          if (ended.error !== undefined) throw ended.error;
          return { done: true, value: undefined };
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    async return() {
      end();
      waiting.length = 0;
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

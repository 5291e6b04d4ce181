// Commands that await their reply: deadlines, cancellation, and what a lost connection means for each.

import type { Clock, Timer } from './clock.js';
import { SwitchboardError } from './errors.js';
import { backoff } from './machine/backoff.js';
import type { Command, Reply, Requests as RequestsOf, Results, Verb } from './protocol.js';

/** How long, and until when, something is asked. */
export interface RequestOptions {
  /** Milliseconds until it fails with `timeout`. Default 10,000. */
  timeoutMs?: number;
  /** Gives up waiting. What has been sent may still happen. */
  signal?: AbortSignal;
}

/** On which terms something is asked. */
export interface Terms {
  /** It may be carried out twice: it is sent again when the connection was lost, and when the hub says that it may succeed later. */
  safe: boolean;
  /** Milliseconds until nobody waits for it any more. */
  leftMs: number;
}

interface Pending {
  command: Command;
  safe: boolean;
  endsAt: number;
  sent: boolean;
  attempt: number;
  retry: Timer | undefined;
  settle(outcome: { reply: Reply } | { error: SwitchboardError }): void;
}

/** Commands under way, and waiting for a connection. */
const PENDING_MAX = 1000;

/** All commands of a client but those of its subscriptions. */
export class PendingRequests {
  readonly #pending = new Map<number, Pending>();

  constructor(
    private readonly clock: Clock,
    private readonly nextId: () => number,
    /** Sends when there is a session; says whether there was one. */
    private readonly send: (command: Command, terms: Terms) => boolean,
  ) {}

  /** Asks, and awaits the reply. */
  ask<V extends Verb>(
    verb: V,
    body: RequestsOf[V],
    safe: boolean,
    { timeoutMs = 10_000, signal }: RequestOptions = {},
  ): Promise<Results[V]> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(new SwitchboardError('aborted', `${verb}: aborted`, false, 0, { cause: signal.reason }));
      if (this.#pending.size >= PENDING_MAX)
        return reject(new SwitchboardError('overflow', `${PENDING_MAX} commands are under way already`, true));
      const id = this.nextId();
      const fail = (code: string, message: string, cause?: unknown) =>
        pending.settle({ error: new SwitchboardError(code, message, code === 'timeout', 0, { cause }) });
      const deadline = this.clock.after(timeoutMs, () =>
        fail('timeout', `${verb}: no reply within ${timeoutMs} ms; whether it happened may be unknown`),
      );
      const onAbort = () => fail('aborted', `${verb}: aborted`, signal?.reason);
      const pending: Pending = {
        command: { id, [verb]: body },
        safe,
        endsAt: this.clock.now() + timeoutMs,
        sent: false,
        attempt: 0,
        retry: undefined,
        settle: (outcome) => {
          this.#pending.delete(id);
          deadline.cancel();
          pending.retry?.cancel();
          signal?.removeEventListener('abort', onAbort);
          if ('error' in outcome) reject(outcome.error);
          else resolve((outcome.reply[verb] ?? {}) as Results[V]);
        },
      };
      signal?.addEventListener('abort', onAbort);
      this.#pending.set(id, pending);
      pending.sent = this.#send(pending);
    });
  }

  /** A reply came. Says whether it was awaited here. */
  answer(reply: Reply): boolean {
    const pending = this.#pending.get(reply.id);
    if (!pending) return false;
    const { error } = reply;
    if (error?.retryable && pending.safe) {
      pending.sent = false;
      const wait = error.retry_after || backoff(pending.attempt++, this.clock.random());
      pending.retry = this.clock.after(wait, () => {
        pending.retry = undefined;
        pending.sent = this.#send(pending);
      });
    } else pending.settle(error ? { error: SwitchboardError.of(error) } : { reply });
    return true;
  }

  /** A session stands: what waits is sent, in the order in which it was asked. */
  opened(): void {
    for (const pending of this.#pending.values()) if (!pending.sent && !pending.retry) pending.sent = this.#send(pending);
  }

  /** The session is gone, and with it the replies of what was sent. */
  lost(): void {
    for (const pending of [...this.#pending.values()]) {
      if (pending.safe) pending.sent = false;
      else if (pending.sent) {
        pending.settle({
          error: new SwitchboardError('unavailable', 'the connection was lost before the reply: whether it happened is unknown', true),
        });
      }
    }
  }

  #send({ command, safe, endsAt }: Pending): boolean {
    return this.send(command, { safe, leftMs: Math.max(0, endsAt - this.clock.now()) });
  }

  /** The client stops. */
  fail(error: SwitchboardError): void {
    for (const pending of [...this.#pending.values()]) pending.settle({ error });
  }
}

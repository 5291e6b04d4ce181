// Where tokens come from, and when the next is needed.

import { SwitchboardError } from './errors.js';

/** Why a token is asked for. */
export type TokenReason = 'connect' | 'expiring' | 'refused';

/** Fetches a token. An error with `code: 'permission_denied'` or `'unauthenticated'` stops the client; after others it tries again. */
export type GetToken = (reason: TokenReason) => Promise<string> | string;

/** A token is not used for an opening when it ends within so many milliseconds. */
const SPARE_MS = 2000;
const FINAL = new Set(['permission_denied', 'unauthenticated']);

/** Whether the application said by this error that there will be no token. */
export const isFinal = (error: unknown): boolean =>
  typeof error === 'object' && error !== null && 'code' in error && FINAL.has(String(error.code));

/** The present token. */
export class Tokens {
  #token: string | undefined;
  #endsAt = Number.POSITIVE_INFINITY;

  constructor(
    token: string | undefined,
    private readonly getToken: GetToken | undefined,
  ) {
    this.#token = token;
  }

  /** Whether another can be had. */
  get canRenew(): boolean {
    return this.getToken !== undefined;
  }

  /** A token for an opening; `fresh` when the present one was refused. */
  async forOpening(fresh: boolean, now: number): Promise<string | undefined> {
    if (!this.getToken) {
      if (fresh) throw new SwitchboardError('unauthenticated', 'the token was refused, and there is no `getToken` to ask for another');
      return this.#token;
    }
    if (!fresh && this.#token !== undefined && this.#endsAt - now > SPARE_MS) return this.#token;
    return this.renew(fresh ? 'refused' : 'connect');
  }

  /** Asks for a new one. */
  async renew(reason: TokenReason): Promise<string> {
    if (!this.getToken) throw new SwitchboardError('unauthenticated', 'there is no `getToken`');
    this.#token = await this.getToken(reason);
    this.#endsAt = Number.POSITIVE_INFINITY;
    return this.#token;
  }

  /** The hub said when the present one ends, by this client's clock. */
  set endsAt(at: number) {
    this.#endsAt = at;
  }
}

// What an application is told when something fails.

import type { WireError } from './protocol.js';

/** Codes of the client's own, beside the hub's error codes. */
export type LocalCode = 'aborted' | 'disconnected' | 'timeout' | 'unavailable' | 'token_failed' | 'closed' | 'overflow';

/** Whatever the client fails with. `code` is stable: one of the hub's error codes, or a {@link LocalCode}. */
export class SwitchboardError extends Error {
  override readonly name = 'SwitchboardError';

  constructor(
    readonly code: LocalCode | (string & {}),
    message: string,
    /** The same may succeed later. */
    readonly retryable = false,
    /** Not before so many milliseconds; 0: no advice. */
    readonly retryAfter = 0,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  /** The hub's error as an exception. */
  static of(error: WireError): SwitchboardError {
    return new SwitchboardError(error.code, error.message, error.retryable ?? false, error.retry_after ?? 0);
  }
}

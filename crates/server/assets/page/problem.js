// Why a request was refused: problem+json (RFC 9457) and Retry-After, in one shape for all transports.

/** A refusal: `{status, code, detail, retryAfter (ms or null)}`. */
export async function readProblem(response) {
  let body = {};
  try {
    body = await response.json();
  } catch {
    // A proxy's own error page is not JSON; the status still says enough.
  }
  return {
    status: response.status,
    code: body.code ?? `http_${response.status}`,
    detail: body.detail ?? body.title ?? (response.statusText || 'no detail given'),
    retryAfter: milliseconds(response.headers.get('retry-after')),
  };
}

/**
 * A browser tells a page nothing about a failed WebSocket (a bare 1006) or EventSource. The hub answers a plain GET of
 * the same URL in the same way, so ask that. Returns null when the hub cannot be reached at all.
 */
export async function askWhy(path) {
  const stop = new AbortController();
  try {
    const response = await fetch(path, {
      headers: { accept: 'application/problem+json, application/json' },
      cache: 'no-store',
      signal: AbortSignal.any([stop.signal, AbortSignal.timeout(8000)]),
    });
    if (response.status === 426) {
      return {
        status: 426,
        code: 'upgrade_blocked',
        detail: 'The hub would accept this, but the upgrade did not get through. A proxy on the way may not pass WebSockets: try SSE or long poll.',
        retryAfter: null,
      };
    }
    return response.ok ? null : await readProblem(response);
  } catch {
    return null;
  } finally {
    // An SSE stream that opened after all must not stay behind.
    stop.abort();
  }
}

/** A refusal that the same request may well not meet again. */
export function isTemporary(problem) {
  return problem.status === 408 || problem.status === 426 || problem.status === 429 || problem.status >= 500;
}

function milliseconds(retryAfter) {
  if (!retryAfter) return null;
  const seconds = Number(retryAfter);
  if (Number.isFinite(seconds)) return seconds * 1000;
  const date = Date.parse(retryAfter);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}

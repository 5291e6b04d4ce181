// What the transports over HTTP share: addresses, headers, and what a refusal says.

import type { Loss } from '../machine/verdict.js';
import type { LinkOptions } from './link.js';

/** The address of a path of the protocol. */
export function address({ base }: Pick<LinkOptions, 'base'>, path: string, query: Record<string, string | number | undefined>): string {
  const url = new URL(`${base.replace(/\/+$/, '')}/v1/${path}`);
  for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') url.searchParams.set(name, String(value));
  return url.href;
}

/** How a request is made, but for what is its own. */
export function requestInit({ token, withCredentials }: LinkOptions, headers: Record<string, string> = {}): RequestInit {
  return {
    cache: 'no-store',
    credentials: withCredentials ? 'include' : 'same-origin',
    headers: token === undefined ? headers : { ...headers, authorization: `Bearer ${token}` },
  };
}

/** Retry-After in milliseconds, be it seconds or a date; 0 when there is none. */
export function retryAfter(headers: Headers, nowMs = Date.now()): number {
  const text = headers.get('retry-after');
  if (!text) return 0;
  const ms = /^\d+$/.test(text.trim()) ? Number(text) * 1000 : Date.parse(text) - nowMs;
  return Number.isFinite(ms) ? Math.max(0, ms) : 0;
}

/** What a response that gives no session says. */
export async function refusal(response: Response): Promise<Loss> {
  const { status, headers } = response;
  const text = await response.text().catch(() => '');
  let problem: { code?: unknown; detail?: unknown } = {};
  if (headers.get('content-type')?.startsWith('application/problem+json')) {
    try {
      problem = JSON.parse(text);
    } catch {
      // Cut on its way: the status alone has to do.
    }
  }
  return {
    why: 'refused',
    status,
    code: typeof problem.code === 'string' ? problem.code : '',
    message: typeof problem.detail === 'string' ? problem.detail : '',
    retryAfter: retryAfter(headers),
  };
}

/** What an exception of `fetch` means. */
export const broken = (error: unknown): Loss => ({ why: 'broken', message: error instanceof Error ? error.message : String(error) });

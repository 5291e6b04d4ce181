// Tokens that the stage's hub accepts: HS256, signed here, so that any lifetime and any grant can be had.

import { createHmac } from 'node:crypto';

const part = (json) => Buffer.from(JSON.stringify(json)).toString('base64url');

/** What a token grants when the caller does not say: everything. */
const EVERYTHING = { subscribe: ['*'], publish: ['*'], presence: ['*'], history: ['*'] };

/**
 * Signs a token of `user`, good for `ttl_s` seconds (a fraction is kept, a negative one has ended already). `grants` replaces what is
 * granted, `claims` adds claims or overrides them.
 */
export function mint({ secret, issuer, audience }, { user, ttl_s = 3600, grants, claims }) {
  const header = { alg: 'HS256', typ: 'JWT', kid: 'stage' };
  const body = {
    iss: issuer,
    aud: audience,
    exp: Date.now() / 1000 + ttl_s,
    switchboard: grants ?? EVERYTHING,
    ...(user === undefined ? {} : { sub: user }),
    ...claims,
  };
  const signed = `${part(header)}.${part(body)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

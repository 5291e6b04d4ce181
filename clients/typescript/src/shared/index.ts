// `@switchboard/client/shared`: pages of one origin share one connection, held by a SharedWorker. The worker's script calls `serve`, pages make a
// `SharedClient` of the worker. Reading order: `messages.ts`, `host.ts` and `late.ts` (worker), `client.ts` (page).

export { SharedClient, type SharedClientEvents, type SharedClientOptions } from './client.js';
export { type SharedHostOptions, serve } from './host.js';

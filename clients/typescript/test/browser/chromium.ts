// A real Chromium, and a server for its pages.

import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

import { type Browser, chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export const ARGUMENTS = ['--no-sandbox', '--disable-gpu', '--no-proxy-server', '--disable-dev-shm-usage'];

/** SWITCHBOARD_CHROMIUM, or where systems have it. */
export function program(): string {
  const path = process.env.SWITCHBOARD_CHROMIUM ?? PLACES.find(existsSync);
  if (!path) throw new Error('no Chromium: set SWITCHBOARD_CHROMIUM to its path');
  return path;
}

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: program(), args: ARGUMENTS });
}

/** Serves these files, by path; `/` is a page that loads `/page.js`. */
export async function servePages(files: Record<string, string>): Promise<{ origin: string; close(): void }> {
  const page =
    '<!doctype html><meta charset="utf-8"><title>test</title><link rel="icon" href="data:,"><div id="root"></div><script type="module" src="/page.js"></script>';
  const server = createServer(({ url = '/' }, response) => {
    const path = url.split('?', 1)[0] ?? '/';
    const text = path === '/' ? page : files[path];
    response.writeHead(text === undefined ? 404 : 200, { 'content-type': path.endsWith('.js') ? 'text/javascript' : 'text/html' });
    response.end(text);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}

// What the browser says of network and page. Where there is no window, as in Node, nothing is heard.

/** Whom it tells. */
export interface Lifecycle {
  /** The network or the page is back: try at once. */
  wake(): void;
  /** The connection may be dead: look whether it lives. */
  doubt(): void;
  /** The page will be frozen, or kept for a way back: hold nothing. */
  sleep(): void;
}

type Target = Pick<EventTarget, 'addEventListener' | 'removeEventListener'>;

/** Listens until the function that is returned is called. */
export function listen({ wake, doubt, sleep }: Lifecycle, scope: Partial<typeof globalThis> = globalThis): () => void {
  const ends: (() => void)[] = [];
  const on = (target: Target | undefined, name: string, what: (event: Event) => void) => {
    if (typeof target?.addEventListener !== 'function') return;
    target.addEventListener(name, what);
    ends.push(() => target.removeEventListener(name, what));
  };
  const page = scope.document;
  const global = scope as Target;
  on(global, 'online', wake);
  on(global, 'offline', doubt);
  on(global, 'pagehide', sleep);
  on(global, 'pageshow', wake);
  on(page, 'freeze', sleep);
  on(page, 'resume', wake);
  on(page, 'visibilitychange', () => {
    if (page?.visibilityState === 'visible') wake();
  });
  return () => {
    for (const end of ends) end();
  };
}

// The stage's control interface, from Node and from a page.

export class Stage {
  constructor(readonly control: string) {}

  async #ask<T>(method: string, path: string, body?: unknown): Promise<T> {
    const init = body === undefined ? { method } : { method, body: JSON.stringify(body) };
    const response = await fetch(`${this.control}${path}`, init);
    const answer = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${(answer as { error: string }).error}`);
    return answer as T;
  }

  get<T>(path: string): Promise<T> {
    return this.#ask('GET', path);
  }

  post<T = void>(path: string, body: unknown = {}): Promise<T> {
    return this.#ask('POST', path, body);
  }

  async token(body: Record<string, unknown>): Promise<string> {
    return (await this.post<{ token: string }>('/token', body)).token;
  }

  addProxy(modes: Record<string, unknown> = {}): Promise<{ id: string; url: string }> {
    return this.post('/proxies', modes);
  }

  async remove(id: string): Promise<void> {
    await this.#ask('DELETE', `/proxies/${id}`);
  }
}

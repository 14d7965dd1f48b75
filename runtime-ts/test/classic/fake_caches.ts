/** As much of the browser's `caches` as the tests need. */

interface Kept {
  readonly body: ArrayBuffer;
  readonly headers: Headers;
}

export class FakeCache {
  readonly kept = new Map<string, Kept>();
  /** Whether there is no more room. */
  isFull = false;

  async match(url: string): Promise<Response | undefined> {
    const kept = this.kept.get(url);
    return kept && new Response(kept.body.slice(0), { headers: kept.headers });
  }

  async put(url: string, response: Response): Promise<void> {
    const body = await response.arrayBuffer();
    if (this.isFull) throw new DOMException("there is no room", "QuotaExceededError");
    this.kept.set(url, { body, headers: response.headers });
  }

  async keys(): Promise<{ url: string }[]> {
    return [...this.kept.keys()].map((url) => ({ url }));
  }

  async delete({ url }: { url: string }): Promise<boolean> {
    return this.kept.delete(url);
  }
}

export class FakeCaches {
  readonly opened = new Map<string, FakeCache>();

  async open(name: string): Promise<FakeCache> {
    const cache = this.opened.get(name) ?? new FakeCache();
    this.opened.set(name, cache);
    return cache;
  }
}

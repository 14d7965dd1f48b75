import { type Fetch, UnsupportedError } from "../index.js";

/** Which files are taken: those of the server, or those that were kept. */
export type CacheStrategy = "latest" | "networkFirst" | "cacheFirst" | "networkOnly" | "cacheOnly";

/** The name of the browser's cache in which all packages lie. */
export const CACHE_NAME = "webdnn";

/** Reads the files of one package, once. */
export interface CachedFiles {
  /** Read a file: the manifest first. */
  readonly fetch: Fetch;
  /** Whether anything came out of the cache. */
  isUsed(): boolean;
  /** Keep what was read, once all of it has been found to be right. What cannot be kept (for want of room) is not. */
  keep(): Promise<void>;
}

/**
 * Files by way of the browser's cache (where there is none, it is as if it were empty). They are kept under their own
 * addresses, wherever they are read from, and the manifest last: where it is, the files are.
 *
 * @param addressOf where to read a file, of the name that it has in the package
 * @throws UnsupportedError if there is no such strategy
 */
export function cachedFiles(
  strategy: CacheStrategy,
  saves: boolean,
  addressOf: (file: string) => string,
): CachedFiles {
  // What cannot be opened (by a policy, in a private window) is not there.
  const opening = async (): Promise<Cache | undefined> => globalThis.caches?.open(CACHE_NAME);
  const cache = opening().catch(() => undefined);
  /** All files that were asked for; the first is the manifest, and the package is the folder that holds it. */
  const asked: string[] = [];
  const saved: (Promise<void> | undefined)[] = [];
  /** The text of the manifest, if the cache does not have it. */
  let manifest: string | undefined;
  let isUsed = false;

  const kept = async (url: string): Promise<Response | undefined> => (await cache)?.match(url);
  const home = (): string => new URL(".", asked[0]).href;

  const fromCache: Fetch = async (url) => {
    const response = await kept(url);
    if (!response) throw new Error("is not in the cache");
    isUsed = true;
    // Of a manifest that the server does not have now, all is here.
    if (strategy === "latest") order = orders.cacheFirst;
    return response;
  };

  /** Throws what `fetch` does, or the response if the server has no such file. */
  const fromNetwork: Fetch = async (url, init) => {
    const isManifest = asked.length === 1;
    // The browser's other cache, that of HTTP, has to ask whether what it has is still right.
    const response = await fetch(addressOf(url.slice(home().length)), {
      ...init,
      cache: "no-cache",
    });
    if (!response.ok) throw response;
    if (isManifest) {
      const text = await response.clone().text();
      // A manifest names the sums of all files: if it is the same, they are.
      if (text !== (await (await kept(url))?.text())) manifest = text;
      else if (strategy === "latest") order = orders.cacheFirst;
    } else if (saves) {
      const saving = (await cache)?.put(url, response.clone());
      saving?.catch(() => undefined);
      saved.push(saving);
    }
    return response;
  };

  const orders: Readonly<Record<CacheStrategy, readonly Fetch[]>> = {
    latest: [fromNetwork, fromCache],
    networkFirst: [fromNetwork, fromCache],
    cacheFirst: [fromCache, fromNetwork],
    networkOnly: [fromNetwork],
    cacheOnly: [fromCache],
  };
  let order = orders[strategy];
  if (!order) throw new UnsupportedError(`there is no cacheStrategy "${strategy}"`);

  return {
    async fetch(url, init) {
      asked.push(url);
      let failure: unknown;
      for (const read of order) {
        try {
          return await read(url, init);
        } catch (error) {
          if (!failure || read === fromNetwork) failure = error;
        }
      }
      if (failure instanceof Response) return failure;
      throw failure;
    },
    isUsed: () => isUsed,
    async keep() {
      try {
        await Promise.all(saved);
        const opened = await cache;
        if (!saves || !manifest || !opened) return;
        // Of another version there may be others.
        for (const old of await opened.keys()) {
          if (old.url.startsWith(home()) && !asked.includes(old.url)) await opened.delete(old);
        }
        await opened.put(asked[0] as string, new Response(manifest));
      } catch {
        // The model runs without.
      }
    },
  };
}

import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CACHE_NAME } from "../../src/classic/cached_files.js";
import { type InitOption, load } from "../../src/classic/index.js";
import { ChecksumError, DownloadError, type WebDNNError } from "../../src/index.js";
import { missingFeatures } from "../../src/wasm/features.js";
import { BASE, makePackage, packageFetch, rejection, served } from "../helpers.js";
import { type FakeCache, FakeCaches } from "./fake_caches.js";

type Strategy = NonNullable<InitOption["cacheStrategy"]>;

const MODULE = `wasm/${missingFeatures(["relaxed-simd"]).length > 0 ? "simd128" : "relaxed-simd"}.wasm`;
const FILES = ["model.json", MODULE, "wasm/weights-0.bin", "wasm/weights-1.bin"];

let cache: FakeCache;
let requests: string[];
let made: Awaited<ReturnType<typeof makePackage>>;

/** Let the global `fetch` serve this package, and count anew. */
function publish(next: typeof made): void {
  made = next;
  const fetch = packageFetch(made);
  requests = fetch.requests;
  vi.stubGlobal("fetch", fetch);
}

function goOffline(): void {
  vi.stubGlobal("fetch", async () => {
    throw new TypeError("Failed to fetch");
  });
}

/** Another version of the same package, with a shard of another content. */
async function newer(): Promise<typeof made> {
  const next = await makePackage({ prepare: true });
  next.manifest.generator = "a newer one";
  return next;
}

async function open(cacheStrategy?: Strategy, options: InitOption = {}) {
  requests.length = 0;
  const strategy = cacheStrategy === undefined ? {} : { cacheStrategy };
  const runner = await load(BASE, { backendOrder: "webassembly", ...strategy, ...options });
  return { runner, requests: [...requests].sort() };
}

/** The files in the cache. */
const kept = (): string[] => [...cache.kept.keys()].map((url) => url.slice(BASE.length)).sort();

/** Change the first byte of a file in the cache. */
function damage(file: string): void {
  const { body } = cache.kept.get(BASE + file) ?? {};
  const bytes = new DataView(body as ArrayBuffer);
  bytes.setUint8(0, bytes.getUint8(0) ^ 1);
}

beforeEach(async () => {
  const caches = new FakeCaches();
  vi.stubGlobal("caches", caches);
  cache = await caches.open(CACHE_NAME);
  publish((await served()).made);
});

afterEach(() => vi.unstubAllGlobals());

describe("latest", () => {
  test("keeps all files, and asks for the manifest alone the next time", async () => {
    expect((await open()).requests).toEqual(FILES);
    expect(kept()).toEqual(FILES);
    const { runner, requests: again } = await open();
    expect(again).toEqual(["model.json"]);
    runner.inputs[0]?.fill(1);
    await runner.run();
    expect(runner.outputs[0]?.toActual()[3]).not.toBe(0);
  });

  test("takes what is new on the server, and drops the rest", async () => {
    await open();
    await cache.put(`${BASE}wasm/weights-9.bin`, new Response("of an older version"));
    await cache.put("https://example.test/other/model.json", new Response("another package"));
    publish(await newer());
    expect((await open()).requests).toEqual(FILES);
    expect((await open()).requests).toEqual(["model.json"]);
    const others = [...cache.kept.keys()].filter((url) => !url.startsWith(BASE));
    expect(others).toEqual(["https://example.test/other/model.json"]);
    expect(cache.kept.has(`${BASE}wasm/weights-9.bin`)).toBe(false);
  });

  test("without a network, takes what was kept", async () => {
    await open();
    goOffline();
    await open();
    cache.kept.clear();
    const error = await rejection(open());
    expect(String(error)).toMatch(/^DownloadError: .*model\.json: Failed to fetch$/);
  });

  test("what was kept and is damaged is read again", async () => {
    await open();
    damage("wasm/weights-1.bin");
    expect((await open()).requests).toEqual([...FILES, "model.json"].sort());
    expect((await open()).requests).toEqual(["model.json"]);
  });

  test("what is missing is read", async () => {
    await open();
    cache.kept.delete(`${BASE}wasm/weights-0.bin`);
    expect((await open()).requests).toEqual(["model.json", "wasm/weights-0.bin"]);
    expect(kept()).toEqual(FILES);
  });

  test("a load that fails keeps no manifest", async () => {
    made.files.delete("wasm/weights-1.bin");
    expect(await rejection(open())).toBeInstanceOf(DownloadError);
    expect(kept()).not.toContain("model.json");
  });
});

describe("the other strategies", () => {
  test("networkFirst", async () => {
    await open();
    expect((await open("networkFirst")).requests).toEqual(FILES);
    goOffline();
    await open("networkFirst");
    cache.kept.clear();
    expect(await rejection(open("networkFirst"))).toBeInstanceOf(DownloadError);
  });

  test("networkOnly", async () => {
    await open("networkOnly");
    expect(kept()).toEqual(FILES);
    expect((await open("networkOnly")).requests).toEqual(FILES);
    goOffline();
    expect(await rejection(open("networkOnly"))).toBeInstanceOf(DownloadError);
  });

  test("cacheFirst", async () => {
    expect((await open("cacheFirst")).requests).toEqual(FILES);
    expect((await open("cacheFirst")).requests).toEqual([]);
    publish(await newer());
    expect((await open("cacheFirst")).requests).toEqual([]);
    // A part of the old version does not go with the new one.
    cache.kept.delete(BASE + MODULE);
    expect((await open("cacheFirst")).requests).toContain("model.json");
    expect((await open("latest")).requests).toEqual(["model.json"]);
  });

  test("cacheOnly", async () => {
    const error = (await rejection(open("cacheOnly"))) as WebDNNError;
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.message).toMatch(/model\.json: is not in the cache$/);
    await open();
    expect((await open("cacheOnly")).requests).toEqual([]);
    damage("wasm/weights-1.bin");
    expect(await rejection(open("cacheOnly"))).toBeInstanceOf(ChecksumError);
    expect(requests).toEqual([]);
  });

  test("one that there is not", async () => {
    const error = (await rejection(open("fastest" as Strategy))) as WebDNNError;
    expect(error.code).toBe("unsupported-feature");
    expect(error.message).toMatch(/no cacheStrategy "fastest"/);
  });
});

describe("what is kept", () => {
  test("nothing, if so asked", async () => {
    await open("latest", { saveCache: false });
    await open("networkOnly", { saveCache: false });
    expect(kept()).toEqual([]);
  });

  test("lies under the package's own addresses, wherever it came from", async () => {
    const fetch = packageFetch(made);
    vi.stubGlobal("fetch", (url: string, init: { signal: AbortSignal }) =>
      fetch(url.replace("mirror.test", "example.test"), init),
    );
    const transformUrlDelegate = (url: string) => url.replace("example.test", "mirror.test");
    await open("latest", { transformUrlDelegate });
    expect(kept()).toEqual(FILES);
    goOffline();
    await open("latest", { transformUrlDelegate });
  });

  test("nothing where there is no room; the model runs", async () => {
    cache.isFull = true;
    const { runner } = await open();
    await runner.run();
    expect(kept()).toEqual([]);
  });

  test.each<[string, unknown]>([
    ["there is no cache", undefined],
    ["the cache cannot be opened", { open: async () => Promise.reject(new Error("forbidden")) }],
    [
      "opening it throws",
      {
        open: () => {
          throw new DOMException("forbidden", "SecurityError");
        },
      },
    ],
  ])("nothing where %s", async (_, caches) => {
    vi.stubGlobal("caches", caches);
    for (const strategy of ["latest", "networkFirst", "cacheFirst", "networkOnly"] as const) {
      expect((await open(strategy)).requests).toEqual(FILES);
    }
    const error = await rejection(open("cacheOnly"));
    expect(String(error)).toMatch(/is not in the cache/);
  });
});

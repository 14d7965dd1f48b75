import { type FixtureOptions, makePackage } from "../../tests/e2e/fixture.mjs";
import type { Fetch } from "../src/index.js";

export * from "../../tests/e2e/fixture.mjs";

/** Where `packageFetch` pretends that the package is. */
export const BASE = "https://example.test/models/tiny/";

type Made = Awaited<ReturnType<typeof makePackage>>;

/** A `fetch` that serves a package from memory. `requests` are the paths asked for, in order. */
export function packageFetch(made: Made): Fetch & { requests: string[] } {
  const requests: string[] = [];
  const fetch: Fetch = async (url, { signal }) => {
    signal.throwIfAborted();
    const path = url.startsWith(BASE) ? url.slice(BASE.length) : undefined;
    requests.push(path ?? url);
    if (path === "model.json") return Response.json(made.manifest);
    const content = path === undefined ? undefined : made.files.get(path);
    if (!content) return new Response(null, { status: 404, statusText: "Not Found" });
    const type = path?.endsWith(".wasm") ? "application/wasm" : "application/octet-stream";
    return new Response(content.slice(), { headers: { "Content-Type": type } });
  };
  return Object.assign(fetch, { requests });
}

/** A package and the options that load it. */
export async function served(options?: FixtureOptions) {
  const made = await makePackage(options);
  return { made, fetch: packageFetch(made) };
}

/** What a promise is rejected with. */
export async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("the promise was not rejected");
}

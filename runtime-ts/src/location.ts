/** The name of the manifest in a package. */
const MANIFEST = "model.json";

/** Whether this is Node (or Bun or Deno), where a location may be a path. */
const isNode = typeof process !== "undefined" && typeof process.versions?.node === "string";

/**
 * The absolute URL of a package's manifest. A location that does not end in `.json` is the folder that holds it.
 * Relative locations count from the page (or worker) in a browser, and from the working directory in Node.
 */
export async function manifestUrl(location: string | URL): Promise<URL> {
  const url = await absolute(String(location));
  if (!url.pathname.endsWith(".json")) {
    url.pathname += url.pathname.endsWith("/") ? MANIFEST : `/${MANIFEST}`;
  }
  return url;
}

async function absolute(location: string): Promise<URL> {
  // One letter before the colon is a drive of Windows.
  if (/^[a-z][a-z0-9+.-]+:/i.test(location)) return new URL(location);
  if (isNode) {
    const { pathToFileURL } = await importNode<typeof import("node:url")>("node:url");
    return pathToFileURL(location);
  }
  return new URL(location, globalThis.document?.baseURI ?? globalThis.location.href);
}

/** Import a module of Node in a way that bundlers for browsers leave alone. */
export function importNode<T>(name: string): Promise<T> {
  return import(/* @vite-ignore */ /* webpackIgnore: true */ name) as Promise<T>;
}

/** Whether the files at a URL are read with `node:fs`. */
export function isLocalFile(url: URL): boolean {
  return isNode && url.protocol === "file:";
}

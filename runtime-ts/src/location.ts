/** The name of the manifest in a package. */
export const MANIFEST = "model.json";

/** Whether this is Node (or Bun or Deno), where a location may be a path. */
export const isNode = typeof process !== "undefined" && typeof process.versions?.node === "string";

/**
 * The absolute URL of a package's manifest. A location that does not end in `.json` is the folder that holds it.
 * Relative locations count from the page (or worker) in a browser, and from the working directory in Node.
 */
export function manifestUrl(location: string | URL): URL {
  const url = absolute(String(location));
  if (!url.pathname.endsWith(".json")) {
    url.pathname += url.pathname.endsWith("/") ? MANIFEST : `/${MANIFEST}`;
  }
  return url;
}

function absolute(location: string): URL {
  // One letter before the colon is a drive of Windows.
  if (/^[a-z][a-z0-9+.-]+:/i.test(location)) return new URL(location);
  if (isNode) {
    const { pathToFileURL } = nodeModule<typeof import("node:url")>("node:url");
    return pathToFileURL(location);
  }
  return new URL(location, globalThis.document?.baseURI ?? globalThis.location.href);
}

/** A module of Node's own. It is not imported, because bundlers for browsers stumble over imports of such modules. */
export function nodeModule<T>(name: string): T {
  return process.getBuiltinModule(name) as T;
}

/** Whether the files at a URL are read with `node:fs`. */
export function isLocalFile(url: URL): boolean {
  return isNode && url.protocol === "file:";
}

// A small static server for browser tests: fixed folders, gzip for code, a content security policy, byte counts, uploads.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize, sep } from "node:path";
import { gzipSync } from "node:zlib";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".wgsl": "text/plain; charset=utf-8",
};

/** Neither inline scripts nor eval; `wasm-unsafe-eval` lets WebAssembly compile and nothing else. */
export const STRICT_POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; base-uri 'none'";

const ISOLATION = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

/**
 * @typedef {{ path: string, bytes: number, compressed: boolean }} Served what went over the wire
 * @typedef {object} ServerOptions
 * @property {Record<string, string | Uint8Array>} [files] contents by path, such as "/index.html"
 * @property {Record<string, string>} [folders] folders by prefix, such as "/package/"
 * @property {string} [policy] the content security policy
 * @property {(path: string, body: Buffer) => void | Promise<void>} [onUpload] told of each POST
 * @property {(path: string) => Promise<void>} [delay] awaited before each answer
 * @property {boolean} [isolated] whether pages are cross-origin isolated (the default)
 */

/**
 * @param {ServerOptions} options
 * @returns {Promise<{ origin: string, served: Served[], close: () => Promise<void> }>}
 */
export async function serve({
  files = {},
  folders = {},
  policy = STRICT_POLICY,
  onUpload,
  delay,
  isolated = true,
}) {
  /** @type {Served[]} */
  const served = [];

  /** @param {string} path */
  const find = async (path) => {
    const fixed = Object.hasOwn(files, path) ? files[path] : undefined;
    if (fixed !== undefined) return Buffer.from(fixed);
    const [prefix, folder] = Object.entries(folders).find(([p]) => path.startsWith(p)) ?? [];
    if (prefix === undefined || folder === undefined) return undefined;
    const inside = normalize(path.slice(prefix.length));
    if (inside.startsWith("..") || inside.startsWith(sep)) return undefined;
    return readFile(join(folder, inside)).catch(() => undefined);
  };

  const server = createServer(async (request, response) => {
    try {
      const path = decodeURIComponent(new URL(request.url ?? "/", "http://localhost").pathname);
      if (request.method === "POST" && onUpload) {
        const chunks = [];
        for await (const chunk of request) chunks.push(chunk);
        await onUpload(path, Buffer.concat(chunks));
        response.writeHead(204).end();
        return;
      }
      await delay?.(path);
      let body = await find(path);
      if (!body) {
        response.writeHead(404).end();
        return;
      }
      const type =
        TYPES[/** @type {keyof typeof TYPES} */ (path.endsWith("/") ? ".html" : extname(path))];
      const compressed =
        type !== undefined && /\bgzip\b/.test(String(request.headers["accept-encoding"]));
      if (compressed) body = gzipSync(body);
      served.push({ path, bytes: body.length, compressed });
      response.writeHead(200, {
        "Content-Type": type ?? "application/octet-stream",
        "Content-Length": body.length,
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        // An isolated page has finer clocks, and may share memory with workers.
        ...(isolated ? ISOLATION : {}),
        ...(compressed ? { "Content-Encoding": "gzip" } : {}),
      });
      response.end(body);
    } catch (error) {
      response.destroy(error instanceof Error ? error : undefined);
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(undefined)));
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("the server has no port");
  return {
    origin: `http://localhost:${address.port}`,
    served,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

// A local server: cross-origin isolated (for threads), code compressed, and a count of what each page downloads.

import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { constants, gzipSync } from "node:zlib";

const TYPES = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".json": "application/json",
  ".wasm": "application/wasm",
  ".wgsl": "text/plain; charset=utf-8",
};

const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
};

/** What is code is sent compressed, as servers do; weights are sent as they are: they hardly shrink. */
const isCode = (path) => extname(path) in TYPES;

/**
 * Serves folders: `mounts` maps the first segments of a URL to a folder.
 * Returns {origin, downloads, close}; `downloads` gets {path, code, bytes, sent} per request.
 */
export async function serve(mounts) {
  const compressed = new Map();
  const downloads = [];
  const prefixes = Object.keys(mounts).sort((a, b) => b.length - a.length);

  const server = createServer(async (request, response) => {
    try {
      const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
      const prefix = prefixes.find((candidate) => path.startsWith(`${candidate}/`));
      if (prefix === undefined) throw Object.assign(new Error(path), { code: "ENOENT" });
      const file = join(mounts[prefix], path.slice(prefix.length));
      const { size, mtimeMs } = await stat(file);
      const headers = { ...HEADERS, "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" };
      if (isCode(file)) {
        const key = `${file} ${mtimeMs}`;
        if (!compressed.has(key)) {
          compressed.set(key, gzipSync(await readFile(file), { level: constants.Z_BEST_COMPRESSION }));
        }
        const body = compressed.get(key);
        downloads.push({ path, code: true, bytes: size, sent: body.length });
        response.writeHead(200, { ...headers, "Content-Encoding": "gzip", "Content-Length": body.length });
        response.end(body);
      } else {
        downloads.push({ path, code: false, bytes: size, sent: size });
        response.writeHead(200, { ...headers, "Content-Length": size });
        createReadStream(file, { highWaterMark: 1 << 20 }).pipe(response);
      }
    } catch (error) {
      response.writeHead(error.code === "ENOENT" ? 404 : 500, HEADERS);
      response.end(String(error));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    downloads,
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

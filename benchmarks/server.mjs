// A local server: cross-origin isolated (for threads), code compressed, and a count of what each page downloads.

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
 * Serves folders: `mounts` maps the first segments of a URL to a folder. Files are kept in memory once they have been asked for.
 * Returns {origin, downloads, reported, close}; `downloads` gets {path, code, bytes, sent} per request, and `reported()` is
 * what a page sends to /report next.
 */
export async function serve(mounts) {
  const contents = new Map();
  let tell = () => {};
  const downloads = [];
  const prefixes = Object.keys(mounts).sort((a, b) => b.length - a.length);

  const server = createServer(async (request, response) => {
    try {
      const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname));
      if (request.method === "POST" && path === "/report") {
        tell(await json(request));
        response.writeHead(204, HEADERS).end();
        return;
      }
      const prefix = prefixes.find((candidate) => path.startsWith(`${candidate}/`));
      if (prefix === undefined) throw Object.assign(new Error(path), { code: "ENOENT" });
      const file = join(mounts[prefix], path.slice(prefix.length));
      const { size, mtimeMs } = await stat(file);
      const code = isCode(file);
      const key = `${file} ${mtimeMs}`;
      if (!contents.has(key)) {
        const content = await readFile(file);
        contents.set(key, code ? gzipSync(content, { level: constants.Z_BEST_COMPRESSION }) : content);
      }
      const body = contents.get(key);
      downloads.push({ path, code, bytes: size, sent: body.length });
      response.writeHead(200, {
        ...HEADERS,
        "Content-Type": TYPES[extname(file)] ?? "application/octet-stream",
        "Content-Length": body.length,
        ...(code && { "Content-Encoding": "gzip" }),
      });
      response.end(body);
    } catch (error) {
      response.writeHead(error.code === "ENOENT" ? 404 : 500, HEADERS);
      response.end(String(error));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    downloads,
    reported: () =>
      new Promise((resolve) => {
        tell = resolve;
      }),
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

async function json(request) {
  const pieces = await request.toArray();
  return JSON.parse(Buffer.concat(pieces).toString());
}

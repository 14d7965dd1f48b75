import { ChecksumError, DownloadError, messageOf } from "./errors.js";
import { nodeModule } from "./location.js";

/** The `fetch` to read files with. */
export type Fetch = (url: string, init: { signal: AbortSignal }) => Promise<Response>;

/** Reads local files, which the `fetch` of Node does not; each is in memory as a whole for a moment. */
export const readLocal: Fetch = async (url, { signal }) => {
  const { readFile } = nodeModule<typeof import("node:fs/promises")>("node:fs/promises");
  return new Response((await readFile(new URL(url), { signal })) as Uint8Array<ArrayBuffer>);
};

/**
 * Ask for a file.
 *
 * @throws DownloadError
 */
export async function request(
  url: string,
  signal: AbortSignal,
  fetch: Fetch = (u, init) => globalThis.fetch(u, init),
): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    throw new DownloadError(url, messageOf(error), { cause: error });
  }
  if (typeof response?.ok !== "boolean") throw new DownloadError(url, "fetch gave no Response");
  if (!response.ok) refused(url, response.status, response.statusText);
  return response;
}

/** @throws DownloadError */
export function refused(url: string, status: number, text: string): never {
  throw new DownloadError(url, `the server answered ${status} ${text}`.trim(), { status });
}

/** @throws ChecksumError */
export function wrongSize(url: string, found: string, expected: number): never {
  throw new ChecksumError(url, `has ${found} ${expected} bytes`);
}

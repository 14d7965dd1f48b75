import { ChecksumError, DownloadError, messageOf } from "./errors.js";

/** The `fetch` to read files with. */
export type Fetch = (url: string, init: { signal: AbortSignal }) => Promise<Response>;

/**
 * Ask for a file over the network.
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
  if (!response.ok) {
    const problem = `the server answered ${response.status} ${response.statusText}`.trim();
    throw new DownloadError(url, problem, { status: response.status });
  }
  return response;
}

/** @throws ChecksumError */
export function wrongSize(url: string, found: string, expected: number): never {
  throw new ChecksumError("checksum-mismatch", url, `has ${found} ${expected} bytes`);
}

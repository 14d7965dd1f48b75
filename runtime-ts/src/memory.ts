import { messageOf, OutOfMemoryError } from "./errors.js";

/** The bytes of a page of WebAssembly memory. */
export const PAGE = 65536;

/**
 * Make an array of as many bytes as a manifest says, which may be more than there are.
 *
 * @throws OutOfMemoryError
 */
export function allocate<T>(bytes: number, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    const problem = `${bytes} bytes of memory cannot be had: ${messageOf(error)}`;
    throw new OutOfMemoryError(problem, { cause: error });
  }
}

import { ChecksumError } from "./errors.js";
import type { FileRef } from "./manifest.js";
import { STRIPE, Xxh32 } from "./xxh32.js";

/** @throws ChecksumError unless the sum is the manifest's */
export function compare(found: string, file: FileRef, url: string): void {
  if (found === file.xxh32) return;
  throw new ChecksumError(url, `its XXH32 is ${found}, not ${file.xxh32}`);
}

/** The sum of a file, computed while it arrives. */
export class Checksum {
  readonly #file: FileRef;
  readonly #url: string;
  readonly #content: Uint8Array;
  readonly #sum = new Xxh32();
  /** Bytes that have been summed. */
  #done = 0;

  /** @param content where the file will be, of exactly its size */
  constructor(file: FileRef, url: string, content: Uint8Array) {
    this.#file = file;
    this.#url = url;
    this.#content = content;
  }

  /** The first `filled` bytes are there. */
  advance(filled: number): void {
    this.#take(filled - (filled % STRIPE));
  }

  /** @throws ChecksumError unless the sum is the manifest's */
  check(): void {
    this.#take(this.#content.length);
    compare(this.#sum.digest(), this.#file, this.#url);
  }

  #take(end: number): void {
    this.#sum.add(this.#content.subarray(this.#done, end));
    this.#done = end;
  }
}

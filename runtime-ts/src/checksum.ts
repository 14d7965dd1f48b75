import { ChecksumError } from "./errors.js";
import type { FileRef } from "./manifest.js";
import { PieceSums } from "./piece_sums.js";

/** @throws ChecksumError unless the sum is the manifest's */
export function compare(found: string, file: FileRef, url: string): void {
  if (found === file.sha256) return;
  const problem = `its SHA-256 is ${found}, not ${file.sha256}`;
  throw new ChecksumError("checksum-mismatch", url, problem);
}

/** The sum of a file, computed piece by piece while it arrives: nothing is left to do at its end, and large copies are spared. */
export class Checksum {
  readonly #file: FileRef;
  readonly #url: string;
  readonly #content: Uint8Array;
  readonly #piece: number;
  readonly #sums: PieceSums;
  /** Bytes whose sums have been begun. */
  #begun = 0;

  /** @param content where the file will be, of exactly its size */
  constructor(file: FileRef, url: string, content: Uint8Array) {
    this.#file = file;
    this.#url = url;
    this.#sums = new PieceSums(file.piece !== undefined);
    this.#content = content;
    this.#piece = file.piece ?? content.length;
  }

  /**
   * The first `filled` bytes are there.
   *
   * @returns settles when at most one of the pieces that are there is not done
   */
  async advance(filled: number): Promise<void> {
    const { length } = this.#content;
    while (this.#begun < filled) {
      const end = Math.min(this.#begun + this.#piece, length);
      if (end > filled) break;
      const piece = this.#content.subarray(this.#begun, end);
      this.#begun = end;
      await this.#sums.add(piece);
    }
  }

  /** @throws ChecksumError unless the sum is the manifest's */
  async check(): Promise<void> {
    await this.advance(this.#content.length);
    compare(await this.#sums.sum(), this.#file, this.#url);
  }
}

/** @throws ChecksumError where sums cannot be computed */
export function subtle(url: string): SubtleCrypto {
  const found = globalThis.crypto?.subtle;
  if (!found) {
    const problem =
      "its checksum cannot be verified, because crypto.subtle exists in secure contexts alone (https or localhost); " +
      "load with verify: false to do without";
    throw new ChecksumError("checksum-unavailable", url, problem);
  }
  return found;
}

import { ChecksumError } from "./errors.js";
import type { FileRef } from "./manifest.js";

/** The sum of a file from those of its pieces. */
export class PieceSums {
  readonly #file: FileRef;
  readonly #url: string;
  readonly #sums: Promise<ArrayBuffer>[] = [];

  constructor(file: FileRef, url: string) {
    this.#file = file;
    this.#url = url;
  }

  /**
   * Take the next piece, which has been copied when this returns.
   *
   * @param bytes as many as the manifest says of a piece, all of the file if it says nothing; the last one has what is left
   * @returns settles when at most this one of the pieces is not done
   */
  async add(bytes: Uint8Array): Promise<void> {
    this.#sums.push(this.#digest(bytes));
    await this.#sums.at(-2);
  }

  /** @throws ChecksumError unless the sum is the manifest's */
  async check(): Promise<void> {
    const sums = await Promise.all(this.#sums);
    const whole = this.#file.piece === undefined ? sums[0] : undefined;
    const all = new Uint8Array(sums.length * 32);
    for (const [i, sum] of sums.entries()) all.set(new Uint8Array(sum), i * 32);
    const found = hex(whole ?? (await this.#digest(all)));
    if (found === this.#file.sha256) return;
    const problem = `its SHA-256 is ${found}, not ${this.#file.sha256}`;
    throw new ChecksumError("checksum-mismatch", this.#url, problem);
  }

  #digest(bytes: Uint8Array): Promise<ArrayBuffer> {
    // What threads share cannot be handed out.
    const own =
      bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : bytes.slice();
    return subtle(this.#url).digest("SHA-256", own);
  }
}

/** The sum of a file, computed piece by piece while it arrives: nothing is left to do at its end, and large copies are spared. */
export class Checksum {
  readonly #content: Uint8Array;
  readonly #piece: number;
  readonly #sums: PieceSums;
  /** Bytes whose sums have been begun. */
  #begun = 0;

  /** @param content where the file will be, of exactly its size */
  constructor(file: FileRef, url: string, content: Uint8Array) {
    this.#sums = new PieceSums(file, url);
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
    await this.#sums.check();
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

function hex(sum: ArrayBuffer): string {
  return Array.from(new Uint8Array(sum), (b) => b.toString(16).padStart(2, "0")).join("");
}

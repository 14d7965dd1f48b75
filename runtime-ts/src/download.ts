import { Checksum, subtle } from "./checksum.js";
import { ChecksumError, DownloadError, messageOf } from "./errors.js";
import { isLocalFile, isNode } from "./location.js";
import type { FileRef } from "./manifest.js";
import { Reader } from "./reader.js";
import { type Fetch, readLocal, request, wrongSize } from "./request.js";

/** How much of the files of a back end has arrived. */
export interface Progress {
  readonly backend: string;
  /** Bytes, after any decompression by the transport. */
  readonly loaded: number;
  readonly total: number;
}

/** Reads the files of one package, checks them and counts their bytes. */
export class Downloader {
  readonly #base: URL;
  readonly #fetch: Fetch | undefined;
  readonly #verify: boolean;
  /** They read what is large, where there are workers and the caller gives no `fetch`; the others start when they are wanted. */
  readonly #readers: Reader[] = [];

  /**
   * @param base the URL of the manifest
   * @param fetch used for all files if given; otherwise the global one, or `node:fs` for local files in Node
   * @param verify whether to compare SHA-256 sums
   */
  constructor(base: URL, fetch: Fetch | undefined, verify: boolean) {
    this.#base = base;
    this.#fetch = fetch ?? (isLocalFile(base) ? readLocal : undefined);
    this.#verify = verify;
    if (!fetch && !isNode && typeof Worker !== "undefined") this.#readers.push(new Reader(verify));
  }

  /** Whether a worker reads what is large. */
  get isAside(): boolean {
    return this.#readers.length > 0;
  }

  /** The URL of a file of the package. */
  urlOf(file: FileRef): string {
    return new URL(file.file, this.#base).href;
  }

  /** Read the manifest. */
  async json(signal: AbortSignal): Promise<unknown> {
    const url = this.#base.href;
    const response = await request(url, signal, this.#fetch);
    const content = await response.text().catch((error: unknown) => {
      throw new DownloadError(url, messageOf(error), { cause: error });
    });
    try {
      return JSON.parse(content);
    } catch (error) {
      throw new DownloadError(url, `is not JSON: ${messageOf(error)}`, { cause: error });
    }
  }

  /**
   * Read a file into memory of exactly its size, and check its sum.
   *
   * @param onBytes told 0 when the file has been asked for, then the size of each piece that has arrived
   * @param worker which one reads it, where there are any
   */
  async into(
    file: FileRef,
    target: Uint8Array,
    signal: AbortSignal,
    onBytes: (count: number) => void,
    worker = 0,
  ): Promise<void> {
    const url = this.urlOf(file);
    if (this.isAside) this.#readers[worker] ??= new Reader(this.#verify);
    if (await this.#readers[worker]?.into(file, url, target, signal, onBytes)) return;
    onBytes(0);
    const take = this.#taking(file, target, onBytes);
    await this.#drain(file, await this.open(file, signal), target, take.bytes);
    await take.check();
  }

  /** Read a file into memory of its own, and check its sum. */
  async bytes(
    file: FileRef,
    signal: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const target = new Uint8Array(file.bytes);
    await this.into(file, target, signal, onBytes);
    return target;
  }

  /**
   * Read a file that is wanted as a `Response` as well (to compile it while it arrives).
   *
   * @returns the response, and the bytes once they are checked
   */
  async stream(
    file: FileRef,
    signal: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<{ response: Response; bytes: Promise<Uint8Array<ArrayBuffer>> }> {
    const response = await this.open(file, signal);
    const copy = response.clone();
    const read = async (): Promise<Uint8Array<ArrayBuffer>> => {
      const target = new Uint8Array(file.bytes);
      const take = this.#taking(file, target, onBytes);
      await this.#drain(file, copy, target, take.bytes);
      await take.check();
      return target;
    };
    return { response, bytes: read() };
  }

  /** @throws ChecksumError if sums are to be compared and cannot be */
  ensureCanVerify(): void {
    if (this.#verify) subtle(this.#base.href);
  }

  /** No more files will be read. */
  close(): void {
    for (const reader of this.#readers) reader.close();
  }

  /** Ask for a file. */
  async open(file: FileRef, signal: AbortSignal): Promise<Response> {
    return request(this.urlOf(file), signal, this.#fetch);
  }

  /** What is done with the bytes of a file that come one after the other into `target`, and at the end. */
  #taking(file: FileRef, target: Uint8Array, onBytes: (count: number) => void): Taking {
    const sum = this.#verify ? new Checksum(file, this.urlOf(file), target) : undefined;
    let filled = 0;
    return {
      bytes: async (count) => {
        filled += count;
        onBytes(count);
        await sum?.advance(filled);
      },
      check: async () => sum?.check(),
    };
  }

  async #drain(
    file: FileRef,
    response: Response,
    target: Uint8Array,
    onBytes: Taking["bytes"],
  ): Promise<void> {
    const url = this.urlOf(file);
    let filled = 0;
    const reader = response.body?.getReader();
    try {
      for (;;) {
        const piece = (await reader?.read())?.value;
        if (!piece) break;
        if (filled + piece.length > target.length) wrongSize(url, "more than", target.length);
        target.set(piece, filled);
        filled += piece.length;
        await onBytes(piece.length);
      }
    } catch (error) {
      reader?.cancel().catch(() => undefined);
      if (error instanceof ChecksumError) throw error;
      throw new DownloadError(url, messageOf(error), { cause: error });
    }
    if (filled !== target.length) wrongSize(url, `${filled} bytes, not`, target.length);
  }
}

interface Taking {
  /** So many bytes more are there. */
  bytes(count: number): Promise<void>;
  /** All are there. */
  check(): Promise<void>;
}

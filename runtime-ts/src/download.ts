import { Checksum } from "./checksum.js";
import { ChecksumError, DownloadError, messageOf } from "./errors.js";
import { isLocalFile, isNode } from "./location.js";
import type { FileRef } from "./manifest.js";
import { allocate } from "./memory.js";
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
  /** Reads weights, where there are workers and the caller gives no `fetch`. */
  readonly #reader: Reader | undefined;

  /**
   * @param base the URL of the manifest
   * @param fetch used for all files if given; otherwise the global one, or `node:fs` for local files in Node
   * @param verify whether to compare checksums
   */
  constructor(base: URL, fetch: Fetch | undefined, verify: boolean) {
    this.#base = base;
    this.#fetch = fetch ?? (isLocalFile(base) ? readLocal : undefined);
    this.#verify = verify;
    if (!fetch && !isNode && typeof Worker !== "undefined") this.#reader = new Reader(verify);
  }

  /** Whether a worker reads weights. */
  get isAside(): boolean {
    return this.#reader !== undefined;
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
   * Read a file of weights into memory of exactly its size, and check its sum.
   *
   * @param onBytes told 0 when the file has been asked for, then the size of each piece that has arrived
   */
  async into(
    file: FileRef,
    target: Uint8Array,
    signal: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<void> {
    const url = this.urlOf(file);
    if (await this.#reader?.into(file, url, target, signal, onBytes)) return;
    onBytes(0);
    await this.#drain(file, await this.open(file, signal), target, onBytes);
  }

  /** Read a file into memory of its own, and check its sum. */
  async bytes(
    file: FileRef,
    signal: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const target = allocate(file.bytes, () => new Uint8Array(file.bytes));
    await this.#drain(file, await this.open(file, signal), target, onBytes);
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
    const target = allocate(file.bytes, () => new Uint8Array(file.bytes));
    const response = await this.open(file, signal);
    const copy = response.clone();
    const read = async (): Promise<Uint8Array<ArrayBuffer>> => {
      await this.#drain(file, copy, target, onBytes);
      return target;
    };
    return { response, bytes: read() };
  }

  /** No more files will be read. */
  close(): void {
    this.#reader?.close();
  }

  /** Ask for a file. */
  async open(file: FileRef, signal: AbortSignal): Promise<Response> {
    return request(this.urlOf(file), signal, this.#fetch);
  }

  /** Read a response into memory of exactly the file's size, and check its sum. */
  async #drain(
    file: FileRef,
    response: Response,
    target: Uint8Array,
    onBytes: (count: number) => void,
  ): Promise<void> {
    const url = this.urlOf(file);
    const sum = this.#verify ? new Checksum(file, url, target) : undefined;
    let filled = 0;
    const reader = response.body?.getReader();
    try {
      for (;;) {
        const piece = (await reader?.read())?.value;
        if (!piece) break;
        if (filled + piece.length > target.length) wrongSize(url, "more than", target.length);
        target.set(piece, filled);
        filled += piece.length;
        onBytes(piece.length);
        sum?.advance(filled);
      }
    } catch (error) {
      reader?.cancel().catch(() => undefined);
      if (error instanceof ChecksumError) throw error;
      throw new DownloadError(url, messageOf(error), { cause: error });
    }
    if (filled !== target.length) wrongSize(url, `${filled} bytes, not`, target.length);
    sum?.check();
  }
}

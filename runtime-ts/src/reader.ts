import { compare } from "./checksum.js";
import { DownloadError, messageOf, WebDNNError } from "./errors.js";
import type { FileRef } from "./manifest.js";
import type { FromReader, ToReader } from "./reading.js";
import { refused, wrongSize } from "./request.js";
import { startThread, type Thread } from "./wasm/thread.js";

/** A file on its way. */
interface Job {
  readonly file: FileRef;
  readonly url: string;
  readonly target: Uint8Array;
  readonly onBytes: (count: number) => void;
  filled: number;
  /** It is there (true), or nothing of it has been read, for want of a worker (false). */
  resolve(isRead: boolean): void;
  reject(error: Error): void;
}

/**
 * A worker that reads files and computes their sums, so that the page has its hands free for the model itself. Where memory is
 * shared, it writes there; otherwise it hands over buffers, which go back and forth.
 */
export class Reader {
  readonly #verify: boolean;
  #worker: Thread<ToReader> | undefined;
  readonly #jobs = new Map<number, Job>();
  #nextId = 0;
  /** No worker can be had here, or none is wanted any more. */
  #isClosed = false;

  /** Start the worker: its script loads while the page learns what it is to read. */
  constructor(verify: boolean) {
    this.#verify = verify;
    this.#start();
  }

  /**
   * Read a file into memory of exactly its size, and check its sum.
   *
   * @returns false if there is no worker for it; nothing has been read then
   * @throws DownloadError, ChecksumError
   */
  async into(
    file: FileRef,
    url: string,
    target: Uint8Array,
    signal: AbortSignal,
    onBytes: (count: number) => void,
  ): Promise<boolean> {
    if (signal.aborted) return false;
    const worker = this.#worker ?? this.#start();
    if (!worker) return false;
    const id = this.#nextId++;
    // All files are read for one model: they are given up together.
    const stop = (): void => this.#stop(new DownloadError(url, "was aborted"));
    signal.addEventListener("abort", stop);
    try {
      return await new Promise((resolve, reject) => {
        this.#jobs.set(id, { file, url, target, onBytes, filled: 0, resolve, reject });
        const shared = target.buffer instanceof ArrayBuffer ? undefined : target;
        worker.post({ kind: "read", id, url, verify: this.#verify, target: shared });
      });
    } finally {
      signal.removeEventListener("abort", stop);
      this.#jobs.delete(id);
    }
  }

  /** End the worker; the page reads what is left by itself. */
  close(): void {
    this.#isClosed = true;
    this.#stop();
  }

  #stop(error?: Error): void {
    this.#worker?.terminate();
    this.#worker = undefined;
    for (const job of this.#jobs.values()) {
      if (!error && job.filled === 0) job.resolve(false);
      else job.reject(error ?? new DownloadError(job.url, "its worker came to an end"));
    }
  }

  #start(): Thread<ToReader> | undefined {
    if (this.#isClosed) return undefined;
    try {
      this.#worker = startThread<ToReader, FromReader>(
        (message) => this.#hear(message),
        // The script is missing, or a policy forbids workers.
        () => this.close(),
      );
    } catch {
      this.close();
    }
    return this.#worker;
  }

  #hear(message: FromReader): void {
    if (message.kind === "unable") this.close();
    const job = this.#jobs.get(message.id);
    if (!job) return;
    const { file, url } = job;
    try {
      if (message.kind === "asked") {
        job.onBytes(0);
      } else if (message.kind === "piece") {
        const { bytes, buffer } = message;
        const begin = job.filled;
        job.filled += bytes;
        if (job.filled > file.bytes) wrongSize(url, "more than", file.bytes);
        if (buffer) {
          job.target.set(new Uint8Array(buffer, 0, bytes), begin);
          this.#worker?.post({ kind: "give", buffer }, [buffer]);
        }
        job.onBytes(bytes);
      } else if (message.kind === "unread") {
        const { problem, status } = message;
        if (status !== undefined) refused(url, status, problem);
        throw new DownloadError(url, problem);
      } else if (message.kind === "read") {
        if (job.filled !== file.bytes) wrongSize(url, `${job.filled} bytes, not`, file.bytes);
        if (message.sum !== undefined) compare(message.sum, file, url);
        job.resolve(true);
      }
    } catch (error) {
      const known = error instanceof WebDNNError;
      job.reject(known ? error : new DownloadError(url, messageOf(error), { cause: error }));
    }
  }
}

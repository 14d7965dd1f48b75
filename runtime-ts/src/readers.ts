import { ChecksumError, DownloadError, messageOf } from "./errors.js";
import type { FileRef } from "./manifest.js";
import type { FromReader, ReadFailure, ToReader } from "./reading.js";

/** More do not make it sooner: the browser's own process for the network is one. */
const MOST = 2;

/** A file on its way. */
interface Job {
  readonly target: Uint8Array;
  readonly onBytes: (count: number) => void;
  filled: number;
  /** It is there (true), or nothing of it has been read, for want of a worker (false). */
  resolve(isRead: boolean): void;
  reject(error: Error): void;
  readonly url: string;
}

/**
 * Workers that read large files and compute their sums, so that the page has its hands free for the model itself. Where memory
 * is shared, they write it; otherwise they hand over buffers, which go back and forth.
 */
export class Readers {
  readonly #verify: boolean;
  readonly #workers: { readonly worker: Worker; jobs: number }[] = [];
  readonly #jobs = new Map<number, Job>();
  #nextId = 0;
  /** No worker can be had here, or no more. */
  #isClosed = false;

  /** Start a worker: its script loads while the page learns what it is to read. */
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
    // A file without pieces would be in a worker as a whole.
    if (this.#isClosed || file.piece === undefined) return false;
    if (this.#workers.length < MOST && this.#workers.every(({ jobs }) => jobs > 0)) this.#start();
    const [first] = this.#workers.sort((a, b) => a.jobs - b.jobs);
    if (!first) return false;
    const id = this.#nextId++;
    const post = (message: ToReader): void => first.worker.postMessage(message);
    const stop = (): void => {
      post({ kind: "stop", id });
      this.#jobs.get(id)?.reject(new DownloadError(url, "was stopped", { cause: signal.reason }));
    };
    first.jobs++;
    try {
      return await new Promise((resolve, reject) => {
        this.#jobs.set(id, { target, onBytes, filled: 0, resolve, reject, url });
        const shared = target.buffer instanceof ArrayBuffer ? undefined : target;
        const verify = this.#verify;
        post({
          kind: "read",
          id,
          url,
          file,
          verify,
          target: shared as Uint8Array<SharedArrayBuffer>,
        });
        signal.addEventListener("abort", stop);
        if (signal.aborted) stop();
      });
    } finally {
      first.jobs--;
      signal.removeEventListener("abort", stop);
      this.#jobs.delete(id);
    }
  }

  /** End the workers. */
  close(): void {
    this.#isClosed = true;
    for (const { worker } of this.#workers.splice(0)) worker.terminate();
    for (const job of this.#jobs.values()) {
      if (job.filled === 0) job.resolve(false);
      else job.reject(new DownloadError(job.url, "the worker that read it came to an end"));
    }
  }

  #start(): void {
    try {
      // Spelled as bundlers look for it.
      const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
      worker.onmessage = ({ data }: MessageEvent<FromReader>) => this.#hear(data, worker);
      worker.onerror = (event) => {
        event.preventDefault();
        this.close();
      };
      this.#workers.push({ worker, jobs: 0 });
    } catch {
      // A policy may forbid workers, or this is a file: the page reads by itself.
      this.close();
    }
  }

  #hear(message: FromReader, worker: Worker): void {
    const job = this.#jobs.get(message.id);
    if (message.kind === "piece") {
      const { bytes, buffer } = message;
      if (buffer) {
        job?.target.set(new Uint8Array(buffer, 0, bytes), job.filled);
        worker.postMessage({ kind: "give", buffer } satisfies ToReader, [buffer]);
      }
      if (!job) return;
      job.filled += bytes;
      try {
        job.onBytes(bytes);
      } catch (error) {
        job.reject(new DownloadError(job.url, messageOf(error), { cause: error }));
      }
    } else if (message.kind === "read") {
      job?.resolve(true);
    } else {
      job?.reject(errorOf(message.failure, job.url));
    }
  }
}

function errorOf({ isChecksum, message, status }: ReadFailure, url: string): Error {
  // What an error says begins with the URL, which it is given again.
  const problem = message.startsWith(`${url}: `) ? message.slice(url.length + 2) : message;
  if (isChecksum) return new ChecksumError("checksum-mismatch", url, problem);
  return new DownloadError(url, problem, status === undefined ? undefined : { status });
}

/** What a worker does that reads and checks files; see `readers.ts` for the page's part. */
import { PieceSums } from "./checksum.js";
import { ChecksumError, DownloadError, messageOf } from "./errors.js";
import type { FileRef } from "./manifest.js";
import { request, wrongSize } from "./request.js";

/** A file to read. */
export interface ReadRequest {
  readonly kind: "read";
  readonly id: number;
  readonly url: string;
  readonly file: FileRef;
  readonly verify: boolean;
  /** Where it goes, if the worker can write there. */
  readonly target: Uint8Array<SharedArrayBuffer> | undefined;
}

/** To a worker that reads. */
export type ToReader =
  | ReadRequest
  /** Read it no further. */
  | { readonly kind: "stop"; readonly id: number }
  /** A buffer comes back. */
  | { readonly kind: "give"; readonly buffer: ArrayBuffer };

/** From such a worker, of the file `id`. */
export type FromReader =
  /** The next `bytes` are there: in `buffer`, or where they belong. */
  | {
      readonly kind: "piece";
      readonly id: number;
      readonly bytes: number;
      readonly buffer?: ArrayBuffer;
    }
  /** All are, and their sum is right. */
  | { readonly kind: "read"; readonly id: number }
  | { readonly kind: "unread"; readonly id: number; readonly failure: ReadFailure };

/** What is left of an error on its way from one thread to another. */
export interface ReadFailure {
  readonly isChecksum: boolean;
  readonly message: string;
  readonly status: number | undefined;
}

/** What is read at once. */
const READ = 128 * 1024;
/** The most buffers, of a piece of a file each, that are under way: as much as arrives while the page is busy for a while. */
const BUFFERS = 24;

/** Reads files, as many at once as it is asked for. */
export class FileReading {
  readonly #post: (message: FromReader, transfer: ArrayBuffer[]) => void;
  readonly #stops = new Map<number, AbortController>();
  readonly #free: ArrayBuffer[] = [];
  readonly #waiting: ((buffer: ArrayBuffer) => void)[] = [];
  #made = 0;

  constructor(post: (message: FromReader, transfer: ArrayBuffer[]) => void) {
    this.#post = post;
  }

  /** Do what the page says. */
  obey(message: ToReader): void {
    if (message.kind === "give") this.#give(message.buffer);
    else if (message.kind === "stop") this.#stops.get(message.id)?.abort();
    else void this.#serve(message);
  }

  async #serve(wanted: ReadRequest): Promise<void> {
    const { id } = wanted;
    const stop = new AbortController();
    this.#stops.set(id, stop);
    try {
      await this.#read(wanted, stop.signal);
      this.#post({ kind: "read", id }, []);
    } catch (error) {
      const isChecksum = error instanceof ChecksumError;
      const status = error instanceof DownloadError ? error.status : undefined;
      const failure = { isChecksum, message: messageOf(error), status };
      this.#post({ kind: "unread", id, failure }, []);
    } finally {
      stop.abort();
      this.#stops.delete(id);
    }
  }

  async #read(wanted: ReadRequest, signal: AbortSignal): Promise<void> {
    const { id, url, file, verify, target } = wanted;
    const size = file.piece as number;
    const sums = verify ? new PieceSums(file, url) : undefined;
    const response = await request(url, signal);
    const fill = filling(response.body);
    let total = 0;
    for (;;) {
      const { buffer, filled } = await this.#fill(fill, size);
      if (filled === 0) {
        this.#give(buffer);
        break;
      }
      if (total + filled > file.bytes) wrongSize(url, "more than", file.bytes);
      const piece = new Uint8Array(buffer, 0, filled);
      const summed = sums?.add(piece);
      target?.set(piece, total);
      total += filled;
      if (target) {
        this.#give(buffer);
        this.#post({ kind: "piece", id, bytes: filled }, []);
      } else {
        this.#post({ kind: "piece", id, bytes: filled, buffer }, [buffer]);
      }
      await summed;
    }
    if (total !== file.bytes) wrongSize(url, `${total} bytes, not`, file.bytes);
    await sums?.check();
  }

  async #fill(fill: Fill, bytes: number): ReturnType<Fill> {
    const buffer = await this.#take(bytes);
    try {
      return await fill(buffer, bytes);
    } catch (error) {
      // It went down with the stream.
      this.#made--;
      throw error;
    }
  }

  /** A buffer of at least so many bytes, as soon as there is one. */
  async #take(bytes: number): Promise<ArrayBuffer> {
    let buffer = this.#free.pop();
    if (!buffer && this.#made < BUFFERS) {
      this.#made++;
      buffer = new ArrayBuffer(bytes);
    }
    buffer ??= await new Promise<ArrayBuffer>((resolve) => this.#waiting.push(resolve));
    return buffer.byteLength < bytes ? new ArrayBuffer(bytes) : buffer;
  }

  #give(buffer: ArrayBuffer): void {
    const next = this.#waiting.shift();
    if (next) next(buffer);
    else this.#free.push(buffer);
  }
}

/** Reads on into a buffer until `bytes` are there or there are no more; says what has become of the buffer. */
type Fill = (
  buffer: ArrayBuffer,
  bytes: number,
) => Promise<{ buffer: ArrayBuffer; filled: number }>;

function filling(body: ReadableStream<Uint8Array<ArrayBuffer>> | null): Fill {
  if (!body) return async (buffer) => ({ buffer, filled: 0 });
  let reader: ReadableStreamBYOBReader;
  try {
    reader = body.getReader({ mode: "byob" });
  } catch {
    return copying(body.getReader());
  }
  let isOver = false;
  return async (given, bytes) => {
    let buffer = given;
    let filled = 0;
    while (filled < bytes && !isOver) {
      const room = Math.min(bytes - filled, READ);
      const { done, value } = await reader.read(new Uint8Array(buffer, filled, room));
      isOver = done;
      if (!value) break;
      buffer = value.buffer;
      filled += value.length;
    }
    return { buffer, filled };
  };
}

/** Where the engine reads into buffers of its own alone. */
function copying(reader: ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>>): Fill {
  let rest: Uint8Array | undefined;
  return async (buffer, bytes) => {
    let filled = 0;
    while (filled < bytes) {
      rest = rest?.length ? rest : (await reader.read()).value;
      if (!rest) break;
      const part = rest.subarray(0, bytes - filled);
      new Uint8Array(buffer).set(part, filled);
      filled += part.length;
      rest = rest.subarray(part.length);
    }
    return { buffer, filled };
  };
}

/** What a worker does that reads and checks files; see `reader.ts` for the page's part. */
import { messageOf } from "./errors.js";
import { Xxh32 } from "./xxh32.js";

/** A file to read. */
export interface ReadRequest {
  readonly kind: "read";
  readonly id: number;
  readonly url: string;
  readonly verify: boolean;
  /** Where it goes, if the worker can write there. */
  readonly target: Uint8Array | undefined;
}

/** To a worker that reads. */
export type ToReader =
  | ReadRequest
  /** A buffer comes back. */
  | { readonly kind: "give"; readonly buffer: ArrayBuffer };

/** From such a worker, of the file `id`. */
export type FromReader =
  /** Its turn will come: the worker is up. */
  | { readonly kind: "asked"; readonly id: number }
  /** The next `bytes` are there: in `buffer`, or where they belong. */
  | {
      readonly kind: "piece";
      readonly id: number;
      readonly bytes: number;
      readonly buffer?: ArrayBuffer;
    }
  /** It is at its end; its sum, if that was asked for. */
  | { readonly kind: "read"; readonly id: number; readonly sum: string | undefined }
  /** It cannot be read in this way. */
  | { readonly kind: "unable"; readonly id: number }
  /** It cannot be read: why not, and the HTTP status where there was a response. */
  | {
      readonly kind: "unread";
      readonly id: number;
      readonly problem: string;
      readonly status?: number;
    };

/** The most buffers, of a piece of a file each, that are under way: as much as arrives while the page is busy for a while. */
const BUFFERS = 48;

/** The bytes of a piece: what fits in a cache of the second level, to be summed and copied there. */
const PIECE = 2 ** 19;

/** Reads files one after the other, in the order in which it is told of them, because the first ones are wanted first. */
export class FileReading {
  readonly #post: (message: FromReader, transfer: ArrayBuffer[]) => void;
  readonly #piece: number;
  readonly #free: ArrayBuffer[] = [];
  readonly #waiting: ((buffer: ArrayBuffer) => void)[] = [];
  #made = 0;
  /** Settles when the files asked for so far have been read. */
  #read: Promise<void> = Promise.resolve();

  constructor(post: (message: FromReader, transfer: ArrayBuffer[]) => void, piece = PIECE) {
    this.#post = post;
    this.#piece = piece;
  }

  /** Do what the page says. */
  obey(message: ToReader): void {
    if (message.kind === "give") {
      this.#give(message.buffer);
    } else {
      // Asked for at once, so that its answer is there when its turn comes.
      const response = fetch(message.url);
      response.catch(() => undefined);
      this.#post({ kind: "asked", id: message.id }, []);
      this.#read = this.#read.then(() => this.#serve(message, response));
    }
  }

  async #serve({ id, verify, target }: ReadRequest, response: Promise<Response>): Promise<void> {
    try {
      const { ok, status, statusText, body } = await response;
      if (ok) {
        const reader = readerOf(body);
        if (!reader) {
          this.#post({ kind: "unable", id }, []);
          return;
        }
        const sum = verify ? new Xxh32() : undefined;
        await this.#pass(id, filling(reader), sum, target);
        this.#post({ kind: "read", id, sum: sum?.digest() }, []);
      } else {
        this.#post({ kind: "unread", id, problem: statusText, status }, []);
      }
    } catch (error) {
      this.#post({ kind: "unread", id, problem: messageOf(error) }, []);
    }
  }

  async #pass(
    id: number,
    fill: Fill,
    sum: Xxh32 | undefined,
    target: ReadRequest["target"],
  ): Promise<void> {
    for (let total = 0; ; ) {
      const { buffer, filled: bytes } = await fill(await this.#take());
      if (bytes === 0) {
        this.#give(buffer);
        return;
      }
      const piece = new Uint8Array(buffer, 0, bytes);
      sum?.add(piece);
      if (!target) {
        this.#post({ kind: "piece", id, bytes, buffer }, [buffer]);
      } else {
        // A file that is too long is stopped by the page.
        if (total + bytes <= target.length) target.set(piece, total);
        this.#give(buffer);
        this.#post({ kind: "piece", id, bytes }, []);
      }
      total += bytes;
    }
  }

  /** A buffer for a piece, as soon as there is one. */
  async #take(): Promise<ArrayBuffer> {
    const free = this.#free.pop();
    if (free) return free;
    if (this.#made < BUFFERS) {
      this.#made++;
      return new ArrayBuffer(this.#piece);
    }
    return new Promise<ArrayBuffer>((resolve) => this.#waiting.push(resolve));
  }

  #give(buffer: ArrayBuffer): void {
    const next = this.#waiting.shift() ?? ((free) => this.#free.push(free));
    next(buffer);
  }
}

/** Nothing where the engine reads into buffers of its own alone, which would have to be copied. */
function readerOf(body: Response["body"]): ReadableStreamBYOBReader | undefined {
  try {
    return body?.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}

/** Reads on until a buffer is full or there is no more; says what has become of the buffer. */
type Fill = (buffer: ArrayBuffer) => Promise<{ buffer: ArrayBuffer; filled: number }>;

function filling(reader: ReadableStreamBYOBReader): Fill {
  let isOver = false;
  return async (given) => {
    let buffer = given;
    let filled = 0;
    while (filled < buffer.byteLength && !isOver) {
      const { done, value } = await reader.read(new Uint8Array(buffer, filled));
      isOver = done;
      if (!value) break;
      buffer = value.buffer as ArrayBuffer;
      filled += value.length;
    }
    return { buffer, filled };
  };
}

import type { BackendContext } from "../backend.js";
import { parallel } from "../cancel.js";
import { AbortedError } from "../errors.js";
import type { WasmSection } from "../manifest.js";

/** How many shards are on their way at once. Few, because the first ones are wanted first. */
const PARALLEL_SHARDS = 3;

/** Someone who waits for the first `bytes` of the weights. */
interface Waiter {
  readonly bytes: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** The weights on their way into the memory, in their order. */
export class Arrivals {
  /** Settles when all weights are there and their sums are right. */
  readonly complete: Promise<void>;
  readonly #filled: number[];
  readonly #sizes: readonly number[];
  readonly #cancel = new AbortController();
  /** Bytes, from the beginning, without a gap. */
  #available = 0;
  /** The first shard that is not whole, and the bytes before it. */
  #first = 0;
  #whole = 0;
  #waiters: Waiter[] = [];
  #isComplete = false;
  /** Why there will be no more. */
  #failure: { error: unknown } | undefined;

  /** Begin to fetch; each piece goes straight to where the module looks for it. */
  constructor(section: WasmSection, memory: WebAssembly.Memory, context: BackendContext) {
    const { shards, offset } = section.weights;
    this.#sizes = shards.map((shard) => shard.bytes);
    this.#filled = shards.map(() => 0);
    this.complete = this.#fetch(shards, offset, memory, context);
    // Whoever waits is told; a failure that nobody waits for is no failure.
    this.complete.catch(() => undefined);
  }

  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Wait for the first `bytes` of the weights. They have not been checked until all is `complete`. */
  async has(bytes: number): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    if (bytes <= this.#available) return;
    await new Promise<void>((resolve, reject) => this.#waiters.push({ bytes, resolve, reject }));
  }

  /** Fetch no more. */
  cancel(): void {
    this.#cancel.abort();
  }

  async #fetch(
    shards: WasmSection["weights"]["shards"],
    offset: number,
    memory: WebAssembly.Memory,
    { downloader, signal, onBytes }: BackendContext,
  ): Promise<void> {
    const cancel = (): void => this.#cancel.abort();
    if (signal.aborted) cancel();
    signal.addEventListener("abort", cancel);
    let end = offset;
    const tasks = shards.map((shard, i) => {
      const target = new Uint8Array(memory.buffer as ArrayBuffer, end, shard.bytes);
      end += shard.bytes;
      return () =>
        downloader.into(shard, target, this.#cancel.signal, (count) => {
          this.#arrived(i, count);
          onBytes(count);
        });
    });
    try {
      await parallel(tasks, PARALLEL_SHARDS);
      this.#isComplete = true;
    } catch (cause) {
      cancel();
      const error = signal.aborted ? new AbortedError(signal.reason) : cause;
      this.#failure = { error };
      for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
      throw error;
    } finally {
      signal.removeEventListener("abort", cancel);
    }
  }

  #arrived(shard: number, count: number): void {
    this.#filled[shard] = (this.#filled[shard] as number) + count;
    // All shards before the first one that is not whole, and what there is of that one.
    while (
      this.#first < this.#sizes.length &&
      this.#filled[this.#first] === this.#sizes[this.#first]
    )
      this.#whole += this.#sizes[this.#first++] as number;
    this.#available = this.#whole + (this.#filled[this.#first] ?? 0);
    const waiting = this.#waiters;
    if (waiting.length === 0) return;
    this.#waiters = waiting.filter((waiter) => {
      if (waiter.bytes > this.#available) return true;
      waiter.resolve();
      return false;
    });
  }
}

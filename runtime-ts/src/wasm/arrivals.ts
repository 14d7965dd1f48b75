import type { BackendContext } from "../backend.js";
import { parallel } from "../cancel.js";
import { AbortedError } from "../errors.js";
import type { Expression, WasmSection } from "../manifest.js";

/** Someone who waits for the first `bytes` of the weights. */
interface Waiter {
  readonly bytes: number;
  resolve(): void;
  reject(error: unknown): void;
}

/** The weights on their way into the memory, in their order. */
export class Arrivals {
  /** Settles when all weights are there and their sums are right, or when there will be no more. */
  readonly complete: Promise<void>;
  /** Settles when the first ones have been asked for. */
  readonly begun: Promise<void>;
  readonly #filled: number[];
  readonly #sizes: readonly number[];
  readonly #cancel = new AbortController();
  readonly #total: number;
  /** Bytes, from the beginning, without a gap. */
  #available = 0;
  /** The first shard that is not whole, and the bytes before it. */
  #first = 0;
  #whole = 0;
  #waiters: Waiter[] = [];
  #isComplete = false;
  /** Why there will be no more. */
  #failure: { readonly error: unknown } | undefined;

  /** Begin to fetch; each piece goes straight to where the module looks for it. */
  constructor(
    section: WasmSection<Expression>,
    memory: WebAssembly.Memory,
    context: BackendContext,
  ) {
    const { shards, bytes } = section.weights;
    this.#total = bytes;
    this.#sizes = shards.map((shard) => shard.bytes);
    this.#filled = shards.map(() => 0);
    this.complete = new Promise((resolve, reject) => {
      this.#waiters.push({ bytes: Number.POSITIVE_INFINITY, resolve, reject });
    });
    this.begun = new Promise((resolve, reject) =>
      this.#waiters.push({ bytes: 0, resolve, reject }),
    );
    // Whoever waits is told; a failure that nobody waits for is no failure.
    for (const told of [this.begun, this.complete]) told.catch(() => undefined);
    void this.#fetch(section.weights, memory, context);
  }

  /** Whether all weights are there and have been checked. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  /** Whether the first `bytes` of the weights are there (all, where it is left out). Nothing has been checked before all is `complete`. */
  has(bytes = this.#total): boolean {
    return bytes <= this.#available;
  }

  /** Wait for the first `bytes` of the weights. */
  async until(bytes = this.#total): Promise<void> {
    if (this.#failure) throw this.#failure.error;
    if (this.has(bytes)) return;
    await new Promise<void>((resolve, reject) => this.#waiters.push({ bytes, resolve, reject }));
  }

  /** Fetch no more: whoever waits is told why. */
  cancel(error: unknown): void {
    if (this.#isComplete || this.#failure) return;
    this.#failure = { error };
    this.#cancel.abort(error);
    for (const waiter of this.#waiters.splice(0)) waiter.reject(error);
  }

  async #fetch(
    weights: WasmSection["weights"],
    memory: WebAssembly.Memory,
    { downloader, signal, onBytes }: BackendContext,
  ): Promise<void> {
    const abort = (): void => this.cancel(new AbortedError(signal.reason));
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort);
    let end = weights.offset;
    const tasks = weights.shards.map((shard, i) => {
      const target = new Uint8Array(memory.buffer, end, shard.bytes);
      end += shard.bytes;
      const tell = (count: number): void => {
        if (this.#failure) return;
        this.#arrived(i, count);
        onBytes(count);
      };
      return () => downloader.into(shard, target, this.#cancel.signal, tell);
    });
    try {
      // One is read while the next is asked for; no more, because the first ones are wanted first.
      await parallel(tasks, 2);
      if (this.#failure) return;
      this.#isComplete = true;
      for (const waiter of this.#waiters.splice(0)) waiter.resolve();
    } catch (error) {
      this.cancel(error);
    } finally {
      signal.removeEventListener("abort", abort);
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
    this.#waiters = this.#waiters.filter((waiter) => {
      if (!this.has(waiter.bytes)) return true;
      waiter.resolve();
      return false;
    });
  }
}

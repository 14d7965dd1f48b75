import { AbortedError } from "./errors.js";

/** A scope of asynchronous work: it is cancelled when the caller aborts, or when one part of it fails. */
export class Cancellation {
  readonly #own = new AbortController();
  readonly #outer: AbortSignal | undefined;
  readonly #forward = (): void => this.#own.abort(this.#outer?.reason);

  constructor(outer: AbortSignal | undefined) {
    this.#outer = outer;
    if (outer?.aborted) this.#own.abort();
    outer?.addEventListener("abort", this.#forward);
  }

  get signal(): AbortSignal {
    return this.#own.signal;
  }

  /** @throws AbortedError once the caller has aborted */
  check(): void {
    if (this.#outer?.aborted) throw new AbortedError(this.#outer.reason);
  }

  /**
   * Run work inside the scope. If it fails, all that is left of it is cancelled.
   *
   * @param discard told the result if the caller has aborted in the meantime
   */
  async run<T>(work: () => Promise<T>, discard?: (result: T) => void): Promise<T> {
    try {
      this.check();
      const result = await work();
      if (this.#outer?.aborted) discard?.(result);
      this.check();
      return result;
    } catch (error) {
      this.#own.abort();
      this.check();
      throw error;
    } finally {
      this.#outer?.removeEventListener("abort", this.#forward);
    }
  }

  /** Let the caller's abort cancel what has begun inside the scope and still goes on. */
  follow(work: Promise<unknown>): void {
    if (this.#outer?.aborted) this.#forward();
    this.#outer?.addEventListener("abort", this.#forward);
    const end = (): void => this.#outer?.removeEventListener("abort", this.#forward);
    work.then(end, end);
  }
}

/** Start tasks in order, at most `limit` at once, and wait for all; the first failure is thrown. */
export async function parallel(
  tasks: readonly (() => Promise<void>)[],
  limit: number,
): Promise<void> {
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < tasks.length && !failed) {
      try {
        await (tasks[next++] as () => Promise<void>)();
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(limit, tasks.length) }, worker));
}

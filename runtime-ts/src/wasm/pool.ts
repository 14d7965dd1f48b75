import { AbortedError, CompileError, DisposedError, ExecutionError } from "../errors.js";
import type { Executor } from "./executor.js";
import type { FromWorker } from "./messages.js";
import { startThread, type Thread, WorkerError } from "./thread.js";

/** What the threads of a pool start from. */
export interface PoolOptions {
  readonly module: WebAssembly.Module;
  /** Shared. */
  readonly memory: WebAssembly.Memory;
  /** Where the stacks of the threads 1, 2, ... begin, and the bytes of each. */
  readonly stacks: { readonly offset: number; readonly bytes: number };
}

/**
 * Workers that run a model together. The page only waits for them, so it stays responsive; the first one is told what to run
 * by messages, the others by the memory that they share.
 */
export class Pool implements Executor {
  readonly isAside = true;
  readonly #threads: Thread[] = [];
  #ready = 0;
  /** Settles what is under way: the start, or a run. */
  #settle:
    | { resolve(milliseconds: readonly number[]): void; reject(error: Error): void }
    | undefined;
  /** Why nothing runs any more. */
  #end: Error | undefined;

  /**
   * Start the workers; their scripts load while the caller does something else.
   *
   * @throws WorkerError
   */
  constructor(count: number) {
    try {
      for (let i = 0; i < count; i++) {
        const lost = (reason: string): void => {
          this.#stop(
            this.#ready < count
              ? new WorkerError(reason)
              : new ExecutionError(`a thread ended: ${reason}`),
          );
        };
        this.#threads.push(startThread((message) => this.#hear(message), lost));
      }
    } catch (error) {
      this.dispose();
      throw error;
    }
  }

  /**
   * Give the workers the module.
   *
   * @throws WorkerError if a worker's script cannot be loaded
   * @throws CompileError, AbortedError
   */
  async start({ module, memory, stacks }: PoolOptions, signal: AbortSignal): Promise<void> {
    const abort = (): void => this.#stop(new AbortedError(signal.reason));
    signal.addEventListener("abort", abort);
    try {
      if (signal.aborted) abort();
      const threads = this.#threads.length;
      await this.#ask(() => {
        for (const [thread, worker] of this.#threads.entries()) {
          const stackEnd = thread === 0 ? undefined : stacks.offset + thread * stacks.bytes;
          worker.post({ kind: "start", module, memory, thread, threads, stackEnd });
        }
      });
    } finally {
      signal.removeEventListener("abort", abort);
    }
  }

  /** Let all threads share the work from now on, also that of a run under way. Before, the first one does it alone. */
  share(): void {
    for (const [thread, worker] of this.#threads.entries()) {
      if (thread > 0) worker.post({ kind: "help", thread });
    }
  }

  async run(begin: number, end: number): Promise<void> {
    await this.#lead(begin, end, false);
  }

  async profile(begin: number, end: number): Promise<readonly number[]> {
    return this.#lead(begin, end, true);
  }

  dispose(): void {
    this.#stop(new DisposedError());
  }

  #lead(begin: number, end: number, timed: boolean): Promise<readonly number[]> {
    return this.#ask(() => this.#threads[0]?.post({ kind: "run", begin, end, timed }));
  }

  /** Do something that is answered. */
  async #ask(request: () => void): Promise<readonly number[]> {
    if (this.#end) throw this.#end;
    for (const thread of this.#threads) thread.keepsAlive(true);
    try {
      return await new Promise((resolve, reject) => {
        this.#settle = { resolve, reject };
        request();
      });
    } finally {
      for (const thread of this.#threads) thread.keepsAlive(false);
    }
  }

  #hear(message: FromWorker): void {
    if (message.kind === "done") {
      this.#settle?.resolve(message.milliseconds);
    } else if (message.kind === "failed") {
      const starting = this.#ready < this.#threads.length;
      this.#stop(
        starting
          ? new CompileError("the module for threads", [message.reason])
          : new ExecutionError(`the wasm module failed: ${message.reason}`),
      );
    } else if (++this.#ready === this.#threads.length) {
      this.#settle?.resolve([]);
    }
  }

  /** End all workers, also those that wait in the module. */
  #stop(error: Error): void {
    this.#end ??= error;
    for (const thread of this.#threads) thread.terminate();
    this.#settle?.reject(this.#end);
  }
}

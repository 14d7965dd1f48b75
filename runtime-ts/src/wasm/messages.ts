import type { RunRange } from "./executor.js";

/** What the threads of a model tell each other. */

/** To a worker: take the module and the memory; then, once, `help`, or, again and again, `run`. */
export type ToWorker =
  | {
      readonly kind: "start";
      readonly module: WebAssembly.Module;
      readonly memory: WebAssembly.Memory;
      /** 0 for the one that is told to run, the others help it. */
      readonly thread: number;
      readonly threads: number;
      /** The end of the thread's stack, which grows down; undefined for the place that the module itself has for one. */
      readonly stackEnd: number | undefined;
    }
  | { readonly kind: "help"; readonly thread: number }
  | {
      readonly kind: "run";
      readonly begin: number;
      readonly end: number;
      /** Whether the launches are run one by one, and timed. */
      readonly timed: boolean;
    };

/** From a worker. */
export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "done"; readonly milliseconds: readonly number[] }
  | { readonly kind: "failed"; readonly reason: string };

/** What a module for threads exports. */
export interface ThreadedExports {
  /** Called once, by thread 0, before all else. */
  readonly start: (threads: number) => void;
  /** Called by each other thread; never returns. */
  readonly help: (thread: number) => void;
  readonly run_range: RunRange;
  /** Lets the engine optimise the kernels before the first run. */
  readonly warm_up?: () => void;
  readonly __stack_pointer: WebAssembly.Global;
}

import { CompileError, DisposedError, ExecutionError, messageOf } from "../errors.js";
import type { ThreadedExports } from "./messages.js";

/** Runs the launches of a module over its memory. */
export interface Executor {
  /** Whether launches run on other threads than the caller's, which is not held up. */
  readonly isAside: boolean;
  /** Run the launches from `begin` to before `end`. */
  run(begin: number, end: number): Promise<void>;
  /** Run them one by one; the milliseconds of each. */
  profile(begin: number, end: number): Promise<readonly number[]>;
  /** Free what it holds. A run under way fails. */
  dispose(): void;
}

/** Run the launches from `begin` to before `end`. */
export type RunRange = (begin: number, end: number) => void;

/** Run launches one by one; the milliseconds of each. */
export function runEach(run: RunRange, begin: number, end: number): number[] {
  return Array.from({ length: end - begin }, (_, i) => {
    const start = performance.now();
    run(begin + i, begin + i + 1);
    return performance.now() - start;
  });
}

/** @throws ExecutionError in place of what a module throws */
function guard(call: () => void): void {
  try {
    call();
  } catch (error) {
    throw new ExecutionError(`the wasm module failed: ${messageOf(error)}`, { cause: error });
  }
}

/**
 * Run a module on the thread of the caller, who is blocked as long as a run takes.
 *
 * @throws CompileError, ExecutionError
 */
export async function onThisThread(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  file: string,
  begun: Promise<void>,
): Promise<Executor> {
  let found: WebAssembly.Exports;
  try {
    ({ exports: found } = await WebAssembly.instantiate(module, { env: { memory } }));
  } catch (error) {
    throw new CompileError(file, [messageOf(error)], { cause: error });
  }
  if (typeof found.run_range !== "function") {
    throw new CompileError(file, ['the module does not export "run_range"']);
  }
  const { start, warm_up } = found as Partial<ThreadedExports>;
  // A module for several threads.
  guard(() => start?.(1));
  // A worker is told what to read by way of this thread.
  await begun;
  // While the first weights are on their way.
  guard(() => warm_up?.());
  let range: RunRange | undefined = found.run_range as RunRange;
  const run: RunRange = (begin, end) => {
    if (!range) throw new DisposedError();
    const known = range;
    guard(() => known(begin, end));
  };
  return {
    isAside: false,
    run: async (begin, end) => run(begin, end),
    profile: async (begin, end) => runEach(run, begin, end),
    dispose: () => {
      range = undefined;
    },
  };
}

import { isNode, nodeModule } from "../location.js";
import type { Expression, WasmSection } from "../manifest.js";

/** The feature of modules for several threads. */
export const THREADS = "threads";

/**
 * The threads that a model gets by default are at most so many: of more cores some are slower than others, or two of them
 * are one, and all have to wait for the slowest.
 */
const MOST_BY_DEFAULT = 4;

const said = new Set<string>();

/** Say on the console, once, that models run on one thread. */
export function sayOneThread(reason: string): void {
  if (said.has(reason)) return;
  said.add(reason);
  console.warn(`webdnn: models run on one thread, because ${reason}`);
}

/**
 * How many threads a model gets; where that is one in spite of the caller or of the machine, the reason is said.
 *
 * @param wanted what the caller asked for
 */
export function countThreads(section: WasmSection<Expression>, wanted: number | undefined): number {
  const count = Math.min(wanted ?? Math.min(cores(), MOST_BY_DEFAULT), section.threads?.max ?? 1);
  if (!section.threads) {
    if ((wanted ?? 1) > 1) sayOneThread("the package has no modules for several threads");
    return 1;
  }
  if (count < 2) return 1;
  const reason = whyNot();
  if (reason === undefined) return count;
  sayOneThread(reason);
  return 1;
}

function cores(): number {
  const found = globalThis.navigator?.hardwareConcurrency;
  if (found !== undefined || !isNode) return found ?? 1;
  return nodeModule<typeof import("node:os")>("node:os").availableParallelism();
}

function whyNot(): string | undefined {
  if (isNode) return undefined;
  if (globalThis.crossOriginIsolated === false || typeof SharedArrayBuffer === "undefined") {
    return (
      "the page is not cross-origin isolated: memory can be shared only if it is served with the headers " +
      "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp"
    );
  }
  return typeof Worker === "undefined" ? "there are no workers here" : undefined;
}

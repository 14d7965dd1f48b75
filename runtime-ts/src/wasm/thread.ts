import { messageOf } from "../errors.js";
import { isNode, nodeModule } from "../location.js";
import type { FromWorker, ToWorker } from "./messages.js";

/** No worker can be had: because of where the script lies, or because a policy forbids it. */
export class WorkerError extends Error {
  override readonly name = "WorkerError";
}

/** A worker, in a browser or in Node. */
export interface Thread<To = ToWorker> {
  post(message: To, transfer?: ArrayBuffer[]): void;
  terminate(): void;
  /** Whether the process (of Node) goes on for its sake. */
  keepsAlive(yes: boolean): void;
}

/**
 * Start a worker.
 *
 * @param onMessage told what it says
 * @param onLoss told if its script cannot be loaded, or it comes to an end
 * @throws WorkerError
 */
export function startThread<To = ToWorker, From = FromWorker>(
  onMessage: (message: From) => void,
  onLoss: (reason: string) => void,
): Thread<To> {
  try {
    return isNode ? inNode(onMessage, onLoss) : inBrowser(onMessage, onLoss);
  } catch (error) {
    throw new WorkerError(messageOf(error), { cause: error });
  }
}

function inBrowser<To, From>(
  onMessage: (message: From) => void,
  onLoss: (reason: string) => void,
): Thread<To> {
  // Spelled as bundlers look for it.
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data }: MessageEvent<From>) => onMessage(data);
  worker.onerror = (event) => {
    event.preventDefault();
    onLoss(event.message || "its script could not be loaded");
  };
  return {
    post: (message, transfer = []) => worker.postMessage(message, transfer),
    terminate: () => worker.terminate(),
    keepsAlive: () => undefined,
  };
}

function inNode<To, From>(
  onMessage: (message: From) => void,
  onLoss: (reason: string) => void,
): Thread<To> {
  const { Worker: NodeWorker } =
    nodeModule<typeof import("node:worker_threads")>("node:worker_threads");
  const worker = new NodeWorker(new URL("./worker.js", import.meta.url));
  worker.on("message", onMessage);
  worker.on("error", (error) => onLoss(messageOf(error)));
  worker.unref();
  return {
    post: (message) => worker.postMessage(message),
    terminate: () => void worker.terminate(),
    keepsAlive: (yes) => (yes ? worker.ref() : worker.unref()),
  };
}

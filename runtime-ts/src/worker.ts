/** The script of a thread of a model, or of a worker that reads its files: a file of its own beside the runtime, because a strict policy allows no other. */
import { messageOf } from "./errors.js";
import { nodeModule } from "./location.js";
import { FileReading, type FromReader, type ToReader } from "./reading.js";
import { runEach } from "./wasm/executor.js";
import type { FromWorker, ThreadedExports, ToWorker } from "./wasm/messages.js";

interface Port {
  postMessage(message: FromWorker | FromReader, transfer?: ArrayBuffer[]): void;
}

let exports: ThreadedExports;
/** Of a worker that reads files, in place of running a model. */
let reading: FileReading | undefined;

async function obey(message: ToWorker, port: Port): Promise<void> {
  switch (message.kind) {
    case "start": {
      const { module, memory, thread, threads, stackEnd } = message;
      const instance = await WebAssembly.instantiate(module, { env: { memory } });
      exports = instance.exports as unknown as ThreadedExports;
      if (stackEnd !== undefined) exports.__stack_pointer.value = stackEnd;
      if (thread === 0) exports.start(threads);
      port.postMessage({ kind: "ready" });
      // All threads share the engine's code, so that of one is enough.
      if (thread === 0) exports.warm_up?.();
      break;
    }
    case "help":
      exports.help(message.thread);
      break;
    case "run": {
      const { begin, end, timed } = message;
      const milliseconds = timed ? runEach(exports.run_range, begin, end) : [];
      if (!timed) exports.run_range(begin, end);
      port.postMessage({ kind: "done", milliseconds });
    }
  }
}

function listen(message: ToWorker | ToReader, port: Port): void {
  if (message.kind === "read" || message.kind === "give") {
    reading ??= new FileReading((said, transfer) => port.postMessage(said, transfer));
    reading.obey(message);
    return;
  }
  obey(message, port).catch((error: unknown) => {
    port.postMessage({ kind: "failed", reason: messageOf(error) });
  });
}

if (typeof process !== "undefined" && typeof process.versions?.node === "string") {
  const { parentPort } = nodeModule<typeof import("node:worker_threads")>("node:worker_threads");
  parentPort?.on("message", (message: ToWorker) => listen(message, parentPort));
} else {
  globalThis.addEventListener("message", ({ data }: MessageEvent<ToWorker>) =>
    listen(data, globalThis as unknown as Port),
  );
}

// TensorFlow.js with its core, one backend and the graph executor beside this folder.

import { loadProgram } from "../tfjs_program.js";

async function script(src) {
  await new Promise((resolve, reject) => {
    const element = Object.assign(document.createElement("script"), { src, onload: resolve, onerror: reject });
    document.head.append(element);
  });
}

/** @returns an object with run() => {name: typed array} and dispose() */
export async function load({ backend, threads, url, inputsLast }) {
  if (backend === "wasm" && threads > 1) {
    // it never starts more threads than half of the reported cores
    Object.defineProperty(navigator, "hardwareConcurrency", { value: 2 * threads, configurable: true });
  }
  await script("/tfjs-core/tf-core.min.js");
  await script(`/tfjs-backend-${backend}/tf-backend-${backend}.min.js`);
  const { tf } = globalThis;
  if (backend === "wasm") {
    tf.wasm.setWasmPaths("/tfjs-backend-wasm/");
    // the build without threads is what one thread means here
    tf.env().set("WASM_HAS_MULTITHREAD_SUPPORT", threads > 1);
    if (threads > 1) tf.wasm.setThreadsCount(threads);
  }
  if (!(await tf.setBackend(backend))) throw new Error(`TensorFlow.js has no backend ${backend} here`);
  await tf.ready();
  const program = await loadProgram(tf, url.tfjs);
  return { run: () => program.run(inputsLast), dispose: () => program.dispose() };
}

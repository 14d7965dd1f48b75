// A fresh page: from navigation to the first result of one runtime, which the hash of the URL describes.

import { loadCase, relativeError } from "./case.js";

/** @returns milliseconds from the start of the navigation to the first result, without loading the inputs */
async function start({ module, backend, threads, url, tolerance }) {
  const before = performance.now();
  const model = await loadCase(url.case);
  const preparation = performance.now() - before;
  const { load } = await import(module);
  const runtime = await load({ backend, threads, url, inputs: model.inputs, inputsLast: model.inputsLast });
  const ready = performance.now() - preparation;
  const outputs = await runtime.run();
  const first = performance.now() - preparation;
  const error = relativeError(outputs, model.expected);
  if (!(error <= tolerance)) throw new Error(`wrong result: relative error ${error}`);
  return { ready, first };
}

/** Tells the server the times, or why there are none. */
async function report(outcome) {
  const said = await outcome.catch((error) => ({ failure: error.stack ?? String(error) }));
  await fetch("/report", { method: "POST", body: JSON.stringify(said) });
}

await report(start(JSON.parse(decodeURIComponent(location.hash.slice(1)))));

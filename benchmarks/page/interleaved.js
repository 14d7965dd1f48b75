// One page, several runtimes: each round runs every runtime once. Driven from outside through `window.benchmark`.

import { loadCase, relativeError } from "./case.js";

const loaded = new Map();
let model;

/** Loads a runtime and its model and runs it `warmup` times. Returns its error against the reference. */
async function load({ name, module, backend, threads, url, warmup }) {
  model ??= await loadCase(url.case);
  const { load } = await import(module);
  const runtime = await load({ backend, threads, url, inputs: model.inputs, inputsLast: model.inputsLast });
  const error = relativeError(await runtime.run(), model.expected);
  for (let i = 1; i < warmup; i++) await runtime.run();
  loaded.set(name, runtime);
  return { error };
}

/** Runs the named runtimes once each, in this order; milliseconds by name. */
async function round(names, pause) {
  const times = {};
  for (const name of names) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    const start = performance.now();
    await loaded.get(name).run();
    times[name] = performance.now() - start;
  }
  return times;
}

globalThis.benchmark = { load, round };

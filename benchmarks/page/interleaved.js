// One page, several runtimes: each round runs every runtime once. Driven from outside through `window.benchmark`.

import { loadCase, relativeError } from "./case.js";

const loaded = new Map();
let model;

/**
 * Loads a runtime and its model and runs it at least `warmup` times and `warmupMs` milliseconds.
 * Returns its error against the reference; `tolerance` is the largest one, relative to the output's range, with which
 * a time still counts.
 */
async function load({ name, module, backend, threads, url, warmup, warmupMs, tolerance }) {
  model ??= await loadCase(url.case);
  const { load } = await import(module);
  const runtime = await load({ backend, threads, url, inputs: model.inputs, inputsLast: model.inputsLast });
  const error = relativeError(await runtime.run(), model.expected);
  if (!(error <= tolerance)) throw new Error(`wrong result: relative error ${error}`);
  const start = performance.now();
  for (let i = 1; i < warmup || performance.now() - start < warmupMs; i++) await runtime.run();
  loaded.set(name, runtime);
  return { error };
}

/** Runs the named runtimes in this order; milliseconds of a run by name, and messages of those that failed. */
async function round({ names, pause, repeats }) {
  const times = {};
  const failures = {};
  for (const name of names) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    try {
      const start = performance.now();
      for (let i = 0; i < repeats; i++) await loaded.get(name).run();
      times[name] = (performance.now() - start) / repeats;
    } catch (error) {
      failures[name] = String(error);
    }
  }
  return { times, failures };
}

/** Times one whole run, and then each launch of another. */
async function profile(name) {
  const runtime = loaded.get(name);
  const start = performance.now();
  await runtime.run();
  const whole = performance.now() - start;
  const { method, launches } = await runtime.profile();
  return { whole, profile: { method, launches } };
}

globalThis.benchmark = { load, round, profile };

#!/usr/bin/env node
// Runs a compiled package in headless Chromium and prints timings as JSON; see USAGE.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { bundle } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { serve } from "./server.mjs";

const USAGE = `usage: node run_package.mjs <package> --backend webgpu|wasm [--inputs DIR] [--outputs DIR] [--repeat N]
                                 [--profile FILE] [--timeout SECONDS] [--threads N] [--seed N] [--dim NAME=SIZE]...

  --inputs   a folder with 0.bin, 1.bin ...: the raw little-endian elements of each input, in the manifest's order
             (zeros where it is not given)
  --outputs  where 0.bin, 1.bin ... are written
  --repeat   how many runs to time after the first one (default 1)
  --profile  where the times of each launch are written as JSON
  --timeout  give up after so many seconds (default 600)
  --threads  of the wasm back end (default: as many as the runtime takes by itself)
  --dim      a size that is open (default: the likely one)
  --seed     of random numbers (default: each run draws others)

Prints {backend, threads, adapter, loadMs, firstRunMs, medianMs, runsMs, downloadBytes: {code, weights, runtime}}. Code is the runtime,
model.json and the wasm module or the shaders as they were sent (with gzip); runtime is the first of them.`;

/** What the page does; it is a file of its own, because the content security policy forbids inline scripts. */
const PAGE_SCRIPT = `
import { load } from "/runtime.js";

const CLASSES = {
  bfloat16: Uint16Array, float16: Uint16Array, float32: Float32Array, float64: Float64Array, int8: Int8Array, int16: Int16Array, int32: Int32Array,
  int64: BigInt64Array, uint8: Uint8Array, uint16: Uint16Array, uint32: Uint32Array, uint64: BigUint64Array, bool: Uint8Array,
};

async function readInput(info, index, given, sizes) {
  const dims = info.shape.map((size) => (typeof size === "string" ? sizes[size] : size));
  const count = dims.reduce((product, size) => product * size, 1);
  const Class = CLASSES[info.dtype];
  if (!given) return { data: new Class(count), dims };
  const response = await fetch("/inputs/" + index + ".bin");
  if (!response.ok) throw new Error("there is no " + index + '.bin for input "' + info.name + '"');
  const buffer = await response.arrayBuffer();
  if (buffer.byteLength !== count * Class.BYTES_PER_ELEMENT) {
    throw new Error(index + '.bin for input "' + info.name + '" (' + info.dtype + " [" + dims + "]) must have " +
      count * Class.BYTES_PER_ELEMENT + " bytes, not " + buffer.byteLength);
  }
  return { data: new Class(buffer), dims };
}

async function adapterName(backend) {
  if (backend !== "webgpu") return undefined;
  const adapter = await navigator.gpu?.requestAdapter();
  return adapter ? [adapter.info.vendor, adapter.info.architecture, adapter.info.description].filter(Boolean).join(" ") : undefined;
}

async function runPackage({ backend, inputsGiven, repeat, profile, threads, seed, dims }) {
  const start = performance.now();
  const model = await load("/package/", { backends: [backend], ...(threads ? { threads } : {}) });
  const loadMs = performance.now() - start;
  const inputs = Object.create(null);
  const sizes = { ...Object.fromEntries(model.symbols.map(({ name, likely }) => [name, likely])), ...dims };
  for (const [i, info] of model.inputs.entries()) inputs[info.name] = await readInput(info, i, inputsGiven, sizes);
  const timed = async () => {
    const begin = performance.now();
    const outputs = await model.run(inputs, { seed });
    return { outputs, ms: performance.now() - begin };
  };
  const { outputs, ms: firstRunMs } = await timed();
  const runsMs = [];
  for (let i = 0; i < repeat; i++) runsMs.push((await timed()).ms);
  for (const [i, info] of model.outputs.entries()) {
    const posted = await fetch("/outputs/" + i + ".bin", { method: "POST", body: outputs[info.name] });
    if (!posted.ok) throw new Error("output " + i + " could not be written");
  }
  const report = { backend: model.backend, threads: model.threads, adapter: await adapterName(backend), loadMs, firstRunMs, runsMs };
  if (profile) {
    const { method, launches } = await model.profile(inputs);
    report.profile = { method, launches };
  }
  model.dispose();
  return report;
}

globalThis.runPackage = (options) => runPackage(options).catch((error) => ({ error: error.message }));
`;

/** @param {readonly number[]} values */
function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 ? upper : ((sorted[middle - 1] ?? Number.NaN) + upper) / 2;
}

/**
 * Run a package in the browser.
 *
 * @param {{ packageDir: string, backend: "webgpu" | "wasm", inputs?: string | undefined, outputs?: string | undefined,
 *   repeat?: number, profile?: boolean, timeout?: number, threads?: number | undefined, seed?: number | undefined,
 *   dims?: Record<string, number> }} options
 * @returns {Promise<any>} the timings
 */
export async function runPackage({
  packageDir,
  backend,
  inputs,
  outputs,
  repeat = 1,
  profile = false,
  timeout = 600,
  threads,
  seed,
  dims = {},
}) {
  const manifest = await readFile(join(packageDir, "model.json"), "utf8").then(JSON.parse);
  if (outputs !== undefined) await mkdir(outputs, { recursive: true });
  if (!manifest.backends[backend]) throw new Error(`the package has no ${backend} part`);
  const { code, worker } = await bundle();
  const server = await serve({
    files: {
      "/": "<!doctype html><title>run_package</title><script type=module src=/page.js></script>",
      "/page.js": PAGE_SCRIPT,
      "/runtime.js": code,
      "/worker.js": worker,
      "/favicon.ico": "",
    },
    folders: { "/package/": packageDir, ...(inputs === undefined ? {} : { "/inputs/": inputs }) },
    onUpload: async (path, body) => {
      const name = /^\/outputs\/(\d+\.bin)$/.exec(path)?.[1];
      if (name && outputs !== undefined) await writeFile(join(outputs, name), body);
    },
  });
  /** @type {import("playwright-core").Browser | undefined} */
  let browser;
  try {
    browser = await launchBrowser({ webgpu: backend === "webgpu" });
    const page = await browser.newPage();
    page.setDefaultTimeout(timeout * 1000);
    await page.goto(`${server.origin}/`, { waitUntil: "load" });
    const work = page.evaluate(
      // @ts-expect-error the page's script sets it
      (options) => globalThis.runPackage(options),
      { backend, inputsGiven: inputs !== undefined, repeat, profile, threads, seed, dims },
    );
    const crashed = new Promise((_, reject) =>
      page.on("crash", () => reject(new Error("the page crashed"))),
    );
    const late = new Promise((_, reject) =>
      setTimeout(() => reject(new Error(`no result after ${timeout} s`)), timeout * 1000).unref(),
    );
    const report = /** @type {any} */ (await Promise.race([work, crashed, late]));
    if (report.error !== undefined) throw new Error(report.error);
    const sent = (/** @type {(path: string) => boolean} */ which) =>
      server.served.filter(({ path }) => which(path)).reduce((sum, { bytes }) => sum + bytes, 0);
    const section = manifest.backends[backend];
    const shards = new Set(
      section.weights.shards.map((/** @type {any} */ s) => `/package/${s.file}`),
    );
    const runtime = sent((path) => path === "/runtime.js" || path === "/worker.js");
    const weights = sent((path) => shards.has(path));
    const code_ = runtime + sent((path) => path.startsWith("/package/") && !shards.has(path));
    return {
      ...report,
      medianMs: median(report.runsMs.length > 0 ? report.runsMs : [report.firstRunMs]),
      downloadBytes: { code: code_, weights, runtime },
    };
  } finally {
    await browser?.close();
    await server.close();
  }
}

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      backend: { type: "string" },
      inputs: { type: "string" },
      outputs: { type: "string" },
      repeat: { type: "string", default: "1" },
      profile: { type: "string" },
      timeout: { type: "string", default: "600" },
      threads: { type: "string" },
      seed: { type: "string" },
      dim: { type: "string", multiple: true, default: [] },
      help: { type: "boolean" },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const { backend } = values;
  const repeat = Number(values.repeat);
  const timeout = Number(values.timeout);
  const threads = values.threads === undefined ? undefined : Number(values.threads);
  const seed = values.seed === undefined ? undefined : Number(values.seed);
  const dims = Object.fromEntries(
    values.dim.map((text) => {
      const [, name = "", size] = /^(.*)=(\d+)$/.exec(text) ?? [];
      return [name, Number(size)];
    }),
  );
  const [packageDir] = positionals;
  const valid =
    (backend === "webgpu" || backend === "wasm") &&
    Number.isInteger(repeat) &&
    repeat >= 0 &&
    (threads === undefined || (Number.isInteger(threads) && threads > 0)) &&
    (seed === undefined || Number.isInteger(seed)) &&
    Object.values(dims).every(Number.isInteger) &&
    timeout > 0;
  if (!valid || packageDir === undefined || positionals.length !== 1) {
    console.error(USAGE);
    process.exitCode = 2;
    return;
  }
  const { profile, ...report } = await runPackage({
    packageDir,
    backend,
    inputs: values.inputs,
    outputs: values.outputs,
    repeat,
    timeout,
    threads,
    seed,
    dims,
    profile: values.profile !== undefined,
  });
  if (values.profile !== undefined)
    await writeFile(values.profile, JSON.stringify(profile, null, 2));
  console.log(JSON.stringify(report));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  main().catch((error) => {
    console.error(`run_package: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  });
}

import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { bundle } from "../build.mjs";
import * as source from "../src/index.js";
import {
  BASE,
  expected,
  makePackage,
  packageFetch,
  rejection,
  sampleInput,
  writePackage,
} from "./helpers.js";

let root: string;
/** The runtime as it is shipped: the script of the threads lies beside it. */
let runtime: typeof source;
/** Packages with modules for threads. */
let good: string;
let bad: string;
/** One without. */
let single: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "webdnn-threads-"));
  const { code, worker } = await bundle();
  await mkdir(join(root, "dist"));
  await writeFile(join(root, "dist", "package.json"), '{"type": "module"}');
  // Without its last line, which names a source map.
  await writeFile(join(root, "dist", "index.js"), code.replace(/^\/\/# source.*$/m, ""));
  await writeFile(join(root, "dist", "worker.js"), worker);
  runtime = await import(pathToFileURL(join(root, "dist", "index.js")).href);
  const make = async (name: string, options: Parameters<typeof makePackage>[0]) => {
    await writePackage(join(root, name), await makePackage({ webgpu: false, ...options }));
    return join(root, name);
  };
  good = await make("good", { threads: true, prepare: true, dtypes: ["int8", "int64"] });
  bad = await make("bad", { threads: true, trap: true });
  single = await make("single", {});
});

afterAll(() => rm(root, { recursive: true }));

afterEach(() => {
  vi.restoreAllMocks();
});

/** The sums of products may have been rounded once or twice. */
function expectClose(found: unknown, wanted: Float32Array) {
  expect(Array.from(found as Float32Array)).toEqual(
    Array.from(wanted, (v) => expect.closeTo(v, 5)),
  );
}

const copied = {
  in_int8: Int8Array.of(1, -2, 3, -4, 5),
  in_int64: BigInt64Array.of(1n, -2n, 3n, 4n, 5n),
};

test.each([1, 2, 3, 4])("%i threads compute what one does", async (threads) => {
  const model = await runtime.load(good, { threads });
  expect(model.threads).toBe(threads);
  const x = sampleInput();
  const negated = x.map((v) => -v);
  const [first, second] = await Promise.all([
    model.run({ x, ...copied }),
    model.run({ x: negated, ...copied }),
  ]);
  expectClose(first.y, expected(x));
  expect(first.out_int8).toEqual(copied.in_int8);
  expect(first.out_int64).toEqual(copied.in_int64);
  expect(first.y?.buffer).toBeInstanceOf(ArrayBuffer);
  expectClose(second.y, expected(negated));
  const { method, launches, outputs } = await model.profile({ x, ...copied });
  expect(method).toBe("clock");
  expect(launches.map((l) => l.kernel)).toEqual(["scale", "relu", "copy_int8", "copy_int64"]);
  for (const { milliseconds } of launches) expect(milliseconds).toBeGreaterThanOrEqual(0);
  expectClose(outputs.y, expected(x));
  model.dispose();
  expect(await rejection(model.run({ x, ...copied }))).toMatchObject({ code: "disposed" });
});

test("two models run at once, each on its own threads, and one outlives the other", async () => {
  const models = await Promise.all([3, 2].map((threads) => runtime.load(good, { threads })));
  const [one, other] = models as [source.Model, source.Model];
  const x = sampleInput();
  const negated = x.map((v) => -v);
  for (let i = 0; i < 5; i++) {
    const [first, second] = await Promise.all([
      one.run({ x, ...copied }),
      other.run({ x: negated, ...copied }),
    ]);
    expectClose(first.y, expected(x));
    expectClose(second.y, expected(negated));
  }
  one.dispose();
  expectClose((await other.run({ x, ...copied })).y, expected(x));
  other.dispose();
});

test("by default there are as many threads as cores, but at most four", async () => {
  const model = await runtime.load(good);
  const { availableParallelism } = await import("node:os");
  expect(model.threads).toBe(Math.min(availableParallelism(), 4));
  model.dispose();
});

test("no more threads than the package has stacks for", async () => {
  const model = await runtime.load(good, { threads: 100 });
  expect(model.threads).toBe(4);
  model.dispose();
});

test("a run under way fails when the model is disposed of", async () => {
  const model = await runtime.load(good, { threads: 2 });
  const running = model.run({ x: sampleInput(), ...copied });
  await Promise.resolve();
  model.dispose();
  expect(await rejection(running)).toMatchObject({ code: "disposed" });
});

test("a thread that fails makes the run fail, and all after it", async () => {
  const model = await runtime.load(bad, { threads: 2 });
  for (let i = 0; i < 2; i++) {
    const error = await rejection(model.run({ x: sampleInput() }));
    expect(error).toMatchObject({ code: "execution-failed" });
    expect(String(error)).toMatch(/unreachable/);
  }
  model.dispose();
});

test("an abort while loading ends the threads", async () => {
  const controller = new AbortController();
  const error = await rejection(
    runtime.load(good, {
      threads: 2,
      signal: controller.signal,
      onProgress: () => controller.abort(),
    }),
  );
  expect(error).toMatchObject({ code: "aborted" });
});

/** A model for two threads whose second shard, or another file, is held back, and what its first worker is told to run. */
async function early(
  change?: (content: Uint8Array) => void,
  signal?: AbortSignal,
  { firstRun = false, file = "weights-1.bin" } = {},
) {
  const { Worker } = await import("node:worker_threads");
  const posted = vi.spyOn(Worker.prototype, "postMessage");
  const ended = vi.spyOn(Worker.prototype, "terminate");
  const made = await makePackage({ webgpu: false, threads: true, prepare: true, firstRun });
  change?.(made.files.get("wasm/weights-1.bin") as Uint8Array);
  const fetch = packageFetch(made);
  let release = (): void => {};
  const held = new Promise<void>((resolve) => {
    release = resolve;
  });
  const slow: source.Fetch = async (url, init) => {
    if (url.endsWith(file)) await held;
    return fetch(url, init);
  };
  const options = { threads: 2, complete: false, fetch: slow, ...(signal ? { signal } : {}) };
  const model = await runtime.load(BASE, options);
  expect(model.threads).toBe(2);
  const runs = () =>
    posted.mock.calls.flatMap(([m]) => (m.kind === "run" ? [[m.begin, m.end]] : []));
  const helpers = () => posted.mock.calls.filter(([m]) => m.kind === "help").length;
  return { model, release, runs, helpers, ended };
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 50));

test("a first run on threads begins with the weights that are there", async () => {
  const { model, release, runs } = await early();
  const x = sampleInput();
  const first = model.run({ x });
  await soon();
  expect(runs()).toEqual([[0, 1]]);
  release();
  expectClose((await first).y, expected(x));
  expectClose((await model.run({ x })).y, expected(x));
  expect(runs().at(-1)).toEqual([1, 3]);
  model.dispose();
});

test("a first run on threads leaves what is to run at load for later", async () => {
  const how = { firstRun: true, file: "weights-0.bin" };
  const { model, release, runs } = await early(undefined, undefined, how);
  const x = sampleInput();
  const first = model.run({ x });
  release();
  expectClose((await first).y, expected(x));
  await soon();
  expect(runs()).toEqual([
    [3, 5],
    [2, 3],
    [0, 1],
  ]);
  expectClose((await model.run({ x })).y, expected(x));
  expect(runs().at(-1)).toEqual([1, 3]);
  model.dispose();
});

test("the other threads join when all weights are there, in the midst of a run too", async () => {
  const { model, release, helpers } = await early();
  const x = sampleInput();
  const first = model.run({ x });
  await soon();
  expect(helpers()).toBe(0);
  release();
  expectClose((await first).y, expected(x));
  expect(helpers()).toBe(1);
  expectClose((await model.run({ x })).y, expected(x));
  expect(helpers()).toBe(1);
  model.dispose();
});

test("without a run, threads prepare when all weights are there", async () => {
  const { model, release, runs } = await early();
  release();
  await model.arrived;
  expect(runs()).toEqual([[0, 1]]);
  const x = sampleInput();
  expectClose((await model.profile({ x })).outputs.y, expected(x));
  model.dispose();
});

test("a run that is asked for while threads prepare waits for them", async () => {
  const { model, release, runs } = await early();
  const x = sampleInput();
  release();
  while (runs().length === 0) await new Promise(setImmediate);
  expectClose((await model.run({ x })).y, expected(x));
  expect(runs()).toEqual([
    [0, 1],
    [1, 3],
  ]);
  model.dispose();
});

test("threads end, and give no outputs, if weights have the wrong sum", async () => {
  const { model, release, ended } = await early((content) => content.fill(1));
  const first = rejection(model.run({ x: sampleInput() }));
  await soon();
  release();
  expect(await first).toMatchObject({ code: "checksum-mismatch" });
  expect(new Set(ended.mock.contexts).size).toBe(2);
  expect(await rejection(model.run({ x: sampleInput() }))).toMatchObject({
    code: "checksum-mismatch",
  });
});

test("threads end on an abort while weights arrive, and when the model is disposed of", async () => {
  const controller = new AbortController();
  const aborted = await early(undefined, controller.signal);
  const first = rejection(aborted.model.run({ x: sampleInput() }));
  await soon();
  controller.abort("bored");
  expect(await first).toMatchObject({ code: "aborted", cause: "bored" });
  expect(new Set(aborted.ended.mock.contexts).size).toBe(2);
  vi.restoreAllMocks();
  const { model, ended } = await early();
  const second = rejection(model.run({ x: sampleInput() }));
  await soon();
  model.dispose();
  expect(await second).toMatchObject({ code: "disposed" });
  expect(await rejection(model.arrived)).toMatchObject({ code: "disposed" });
  expect(new Set(ended.mock.contexts).size).toBe(2);
});

test("a module that does not suit the runtime is an error", async () => {
  const made = await makePackage({ webgpu: false, threads: true });
  made.manifest.backends.wasm.threads.maxPages = 9;
  made.manifest.backends.wasm.threads.stackBytes = 65536;
  await writePackage(join(root, "wrong"), made);
  const error = await rejection(runtime.load(join(root, "wrong"), { threads: 4 }));
  expect(error).toMatchObject({ code: "no-backend" });
  expect(String(error)).toMatch(/the module for threads: .*memory/);
});

test("one thread where there is no script for others, and it is said once", async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  // The sources have no script beside them.
  for (let i = 0; i < 2; i++) {
    const model = await source.load(good, { threads: 2 });
    expect(model.threads).toBe(1);
    const x = sampleInput();
    expectClose((await model.run({ x, ...copied })).y, expected(x));
  }
  expect(warn).toHaveBeenCalledTimes(1);
  expect(warn.mock.calls[0]?.[0]).toMatch(/one thread, because no worker can be started/);
});

test("one thread where the package has modules for no more", async () => {
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  expect((await source.load(single)).threads).toBe(1);
  expect(warn).not.toHaveBeenCalled();
  expect((await source.load(single, { threads: 2 })).threads).toBe(1);
  expect(warn.mock.calls).toEqual([[expect.stringMatching(/no modules for several threads/)]]);
});

test.each([0, -1, 1.5, Number.NaN])("%d threads are refused", async (threads) => {
  expect(await rejection(source.load(single, { threads }))).toMatchObject({
    code: "unsupported-feature",
  });
});

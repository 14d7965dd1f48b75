import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";
import { bundle } from "../build.mjs";
import * as source from "../src/index.js";
import { expected, makePackage, rejection, sampleInput, writePackage } from "./helpers.js";

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

import { describe, expect, test } from "vitest";
import {
  type BackendName,
  InputError,
  load,
  OutOfMemoryError,
  parseManifest,
} from "../src/index.js";
import { expressionText, sizeOf } from "../src/sizes.js";
import { fakeGpu } from "./fake_gpu.js";
import { BASE, packageFetch, rejection } from "./helpers.js";
import { makeSymbolicPackage } from "./symbolic_package.js";

async function open(backend: BackendName, options: Parameters<typeof fakeGpu>[0] = {}) {
  const fetch = packageFetch(await makeSymbolicPackage());
  const { gpu, devices } = fakeGpu(options);
  return { model: await load(BASE, { backends: [backend], fetch, gpu }), devices };
}

const ramp = (length: number) => Float32Array.from({ length }, (_, i) => i / 2);

test("expressions", () => {
  const sizes = new Map([["s", 7]]);
  expect(sizeOf(["+", ["*", ["/", ["+", "s", -12], 4], -3], "s"], sizes)).toBe(13);
  expect(sizeOf(["max", 2, "s", ["*", "s", "s"]], sizes)).toBe(49);
  expect(Object.is(sizeOf(["*", ["+", "s", -7], -1], sizes), 0)).toBe(true);
  for (const wrong of ["r", ["/", "s", ["+", "s", -7]], ["*", "s", -1], ["*", "s", 2 ** 52]])
    expect(() => sizeOf(wrong, sizes)).toThrow(/is no size/);
  expect(expressionText(["+", ["*", "s", 2], 1])).toBe("((s * 2) + 1)");
});

describe.each(["wasm", "webgpu"] as const)("%s", (backend) => {
  test("a model runs at any size, in any order of sizes", async () => {
    const { model } = await open(backend);
    expect(model.symbols.map(({ name, high }) => [name, high])).toEqual([
      ["s", 400],
      ["t", 4000],
    ]);
    expect(model.inputs.map(({ shape }) => shape)).toEqual([["s", "t"], ["t"]]);
    expect(model.outputs.map(({ shape }) => shape)).toEqual([["s", "t"], ["(s + 1)"]]);
    for (const [s, t] of [
      [3, 8],
      [400, 1000],
      [0, 2],
      [1, 2],
      [3, 8],
      [5, 4000],
    ] as const) {
      const data = ramp(s * t);
      const { y, z } = await model.run({ x: { data, dims: [s, t] }, v: ramp(t) });
      expect(y?.dims).toEqual([s, t]);
      expect(y).toEqual(data.map((v) => 2 * v));
      expect(z?.dims).toEqual([s + 1]);
      expect(z).toEqual(new Float32Array(s + 1).fill(1));
    }
    const { outputs, launches } = await model.profile({ x: ramp(12), v: ramp(4) });
    expect(outputs.y?.dims).toEqual([3, 4]);
    expect(launches.length).toBeGreaterThan(0);
    model.dispose();
  });

  test("an array says its sizes where all but one follow, and outputs say theirs", async () => {
    const { model } = await open(backend);
    const { y } = await model.run({ x: ramp(12), v: ramp(4) });
    expect(y?.dims).toEqual([3, 4]);
    const again = await model.run({ x: y as NonNullable<typeof y>, v: ramp(4) });
    expect(again.y?.dims).toEqual([3, 4]);
    expect(Object.keys(again.y ?? {})).toHaveLength(12);
  });

  test.each([
    [
      { x: ramp(12), v: ramp(3) },
      "out-of-range",
      '"v" has 3 for t (dimension 0): it can be 2 to 4000, a multiple of 2',
    ],
    [{ x: { data: ramp(802), dims: [401, 2] }, v: ramp(2) }, "out-of-range", "it can be 0 to 400"],
    [{ x: { data: ramp(8), dims: [2, 4] }, v: ramp(2) }, "wrong-length", "takes 4 elements, not 2"],
    [
      { x: { data: ramp(8), dims: [2, 4] }, v: { data: ramp(2), dims: [2] } },
      "wrong-shape",
      '"v" has 2 for t (dimension 0), where another input has 4',
    ],
    [
      { x: ramp(11), v: ramp(4) },
      "wrong-length",
      '"x" of shape [s, t] takes a multiple of 4 elements, not 11',
    ],
    [{ x: { data: ramp(8), dims: [8] }, v: ramp(2) }, "wrong-shape", "cannot have dims [8]"],
    [{ x: { data: ramp(7), dims: [2, 4] }, v: ramp(4) }, "wrong-length", "takes 8 elements, not 7"],
    [{ x: { data: [1], dims: [1, 1] }, v: ramp(4) }, "wrong-dtype", "not Array"],
    [{ x: { data: ramp(3), dims: [1.5, 2] }, v: ramp(2) }, "out-of-range", "has 1.5 for s"],
  ])("%o is refused", async (inputs, code, message) => {
    const { model } = await open(backend);
    // biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
    const error = await rejection(model.run(inputs as any));
    expect(error).toBeInstanceOf(InputError);
    expect(error).toMatchObject({ code, message: expect.stringContaining(message) });
  });
});

test("a GPU that is too small for the largest sizes runs those that it has room for", async () => {
  const made = await makeSymbolicPackage();
  made.manifest.backends.webgpu.largestLimits = { maxBufferSize: 6_400_000 };
  const { gpu, devices } = fakeGpu({ limits: { maxBufferSize: 4096 } });
  const model = await load(BASE, { backends: ["webgpu"], fetch: packageFetch(made), gpu });
  expect(devices[0]?.descriptor.requiredLimits).toEqual({ maxBufferSize: 4096 });
  const v = ramp(4);
  expect((await model.run({ x: ramp(40), v })).y).toHaveLength(40);
  const error = await rejection(model.run({ x: ramp(1600), v }));
  expect(error).toBeInstanceOf(OutOfMemoryError);
  expect(error).toMatchObject({
    message: "inputs of these sizes need 6400 bytes in one piece, and this GPU gives 4096",
  });
  expect((await model.run({ x: ramp(40), v })).y).toHaveLength(40);
});

test("a size that stands in an expression alone follows from it", async () => {
  const made = await makeSymbolicPackage();
  made.manifest.inputs[0].shape = [["+", ["*", "s", 2], 1], "t"];
  made.manifest.backends.wasm.arena.bytes = ["*", ["+", "s", 4], "t", 40];
  made.manifest.backends.wasm.inputs[0].bytes = ["*", ["+", ["*", "s", 2], 1], "t", 4];
  delete made.manifest.backends.webgpu;
  const model = await load(BASE, { backends: ["wasm"], fetch: packageFetch(made) });
  const v = ramp(4);
  for (const x of [ramp(28), { data: ramp(28), dims: [7, 4] }])
    expect((await model.run({ x, v })).y?.dims).toEqual([3, 4]);
  for (const dims of [
    [6, 4],
    [0, 4],
  ]) {
    const x = { data: ramp(24), dims };
    expect(await rejection(model.run({ x, v }))).toBeInstanceOf(InputError);
  }
});

test("sizes that do not follow have to be given", async () => {
  const made = await makeSymbolicPackage();
  made.manifest.inputs[1].shape = ["t", "t"];
  delete made.manifest.backends.webgpu;
  // It does not matter where that lies.
  made.manifest.backends.wasm.inputs[1] = { offset: 2048, bytes: ["*", "t", "t", 4] };
  const model = await load(BASE, { backends: ["wasm"], fetch: packageFetch(made) });
  const error = await rejection(model.run({ x: ramp(12), v: ramp(4) }));
  expect(String(error)).toContain("does not say its sizes: give { data, dims }");
});

test("a memory that cannot grow so far is one clear error, and the model goes on", async () => {
  const made = await makeSymbolicPackage(2);
  const model = await load(BASE, { backends: ["wasm"], fetch: packageFetch(made) });
  const v = ramp(1000);
  const error = await rejection(model.run({ x: ramp(400_000), v }));
  expect(error).toMatchObject({
    code: "out-of-memory",
    message: expect.stringMatching(
      /MiB of WebAssembly memory cannot be had for inputs of these sizes/,
    ),
  });
  const { y } = await model.run({ x: ramp(2000), v });
  expect(y).toEqual(ramp(2000).map((n) => 2 * n));
});

test("GPU memory that runs out is one clear error, and the model goes on", async () => {
  const { model, devices } = await open("webgpu", {
    scopeError: { filter: "out-of-memory", message: "no room", after: 6 },
  });
  const before = devices[0]?.buffers.length ?? 0;
  expect(before).toBe(6);
  const error = await rejection(model.run({ x: ramp(4000), v: ramp(1000) }));
  expect(error).toMatchObject({ code: "out-of-memory" });
  for (const buffer of devices[0]?.buffers.slice(before, before + 4) ?? [])
    if (buffer.descriptor.label?.startsWith("arena")) expect(buffer.isDestroyed).toBe(true);
});

test("buffers are kept while they are not much too large", async () => {
  const { model, devices } = await open("webgpu");
  const arenas = () =>
    devices[0]?.buffers.filter((b) => b.descriptor.label === "arena 0" && !b.isDestroyed);
  const run = (s: number, t: number) =>
    model.run({ x: { data: ramp(s * t), dims: [s, t] }, v: ramp(t) });
  await run(400, 200);
  const [large] = arenas() ?? [];
  await run(390, 200);
  expect(arenas()).toEqual([large]);
  await run(2, 200);
  expect(arenas()).toHaveLength(1);
  expect(large?.isDestroyed).toBe(true);
});

test.each([
  ["an unknown symbol", (m: never) => set(m, "outputs.0.shape.0", ["+", "r", 1]), /is no size/],
  ["an unknown operator", (m: never) => set(m, "outputs.1.shape.0", ["-", "s", 1]), /must be/],
  ["one operand", (m: never) => set(m, "outputs.1.shape.0", ["+", "s"]), /wrong form/],
  ["three operands", (m: never) => set(m, "outputs.1.shape.0", ["/", "s", 1, 1]), /wrong form/],
  [
    "a symbol that is not set",
    (m: never) => set(m, "inputs.0.shape.0", 3),
    /"s", which no input sets/,
  ],
  ["a table beyond the memory", (m: never) => set(m, "backends.wasm.table.offset", 65536), /table/],
  ["no sizes", (m: never) => set(m, "backends.webgpu.launches.0.sizes", []), /must have 1 entries/],
  [
    "a size below 0",
    (m: never) => set(m, "backends.wasm.arena.bytes", ["*", "s", -1]),
    /is no size/,
  ],
])("a manifest with %s is refused", async (_, change, message) => {
  const { manifest } = await makeSymbolicPackage();
  change(manifest as never);
  expect(() => parseManifest(manifest)).toThrow(message);
});

test("expressions that are nested too deeply are refused", async () => {
  const { manifest } = await makeSymbolicPackage();
  let deep: unknown = "s";
  for (let i = 0; i < 5000; i++) deep = ["+", deep, 1];
  manifest.outputs[1].shape = [deep];
  expect(() => parseManifest(manifest)).toThrow(/wrong form/);
});

function set(manifest: never, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop() as string;
  // biome-ignore lint/suspicious/noExplicitAny: any part of it
  const target = keys.reduce((found: any, key) => found[key], manifest);
  target[last] = value;
}

import { expect, test } from "vitest";
import { xxh32 } from "../../tests/e2e/fixture.mjs";
import {
  InputError,
  load,
  ManifestError,
  type Model,
  type ModelState,
  parseManifest,
  UnsupportedError,
} from "../src/index.js";
import { fakeGpu } from "./fake_gpu.js";
import { BASE, packageFetch, rejection } from "./helpers.js";

/** A package, written by hand, whose run makes of a state `h` `h * x + x`, and gives a copy of it. */
function makeStatefulPackage() {
  const source = new TextEncoder().encode("// scale, copy");
  const binding = (buffer: number) => ({ buffer, offset: 0, bytes: 16 });
  const kernel = (name: string, ...bindings: string[]) => ({
    name,
    shader: 0,
    entryPoint: name,
    bindings,
  });
  const launch = (number: number, ...buffers: number[]) => ({
    kernel: number,
    workgroups: [1, 1, 1],
    bindings: buffers.map(binding),
    label: [],
  });
  const tensor = (name: string) => ({ name, dtype: "float32", shape: [4] });
  // biome-ignore lint/suspicious/noExplicitAny: tests spoil it
  const manifest: any = {
    format: "webdnn-package",
    version: 4,
    generator: "test",
    name: "stateful",
    inputs: [tensor("x")],
    outputs: [tensor("y")],
    states: [{ input: "h", output: "h_out", dtype: "float32", shape: [4] }],
    backends: {
      webgpu: {
        features: [],
        limits: {},
        weights: { bytes: 0, shards: [] },
        buffers: [
          { kind: "arena", bytes: 16 },
          { kind: "arena", bytes: 16 },
          { kind: "state", bytes: 16 },
          { kind: "state", bytes: 16 },
        ],
        shaders: [{ file: "k.wgsl", bytes: source.length, xxh32: xxh32(source) }],
        kernels: [
          kernel("scale", "read", "read", "read", "read_write"),
          kernel("copy", "read", "read_write"),
        ],
        launches: [launch(0, 2, 0, 0, 3), launch(1, 3, 1)],
        inputs: [{ ...binding(0), storage: "f32" }],
        outputs: [{ ...binding(1), storage: "f32" }],
        states: [{ buffers: [2, 3], storage: "f32" }],
      },
    },
  };
  return { manifest, files: new Map([["k.wgsl", source]]) };
}

async function open(options: Parameters<typeof fakeGpu>[0] = {}) {
  const { gpu, devices } = fakeGpu(options);
  const fetch = packageFetch(makeStatefulPackage());
  const model = await load(BASE, { backends: ["webgpu"], fetch, gpu });
  const [device] = devices;
  if (!device) throw new Error("no device");
  const written: string[] = [];
  const { writeBuffer } = device.queue;
  device.queue.writeBuffer = (to, offset, from) => {
    written.push(String(to.descriptor.label));
    writeBuffer(to, offset, from);
  };
  return { model, device, written };
}

/** The elements of `h`. */
async function kept(model: Model, state?: ModelState): Promise<number[]> {
  const { h = { data: [] } } = await model.getState(state);
  return Array.from(h.data, Number);
}

const x = Float32Array.of(1, 2, 3, 4);
const after = (runs: number): number[] =>
  [...x].map((v) => Array.from({ length: runs }).reduce((h: number) => h * v + v, 0));

test("a state is neither an input nor an output, and stays on the device", async () => {
  const { model, device, written } = await open();
  expect(model.inputs.map(({ name }) => name)).toEqual(["x"]);
  expect(model.outputs.map(({ name }) => name)).toEqual(["y"]);
  expect(model.states).toEqual([{ input: "h", output: "h_out", dtype: "float32", shape: [4] }]);
  const buffers = device.buffers.length;
  for (let run = 1; run <= 5; run++) {
    const outputs = await model.run({ x });
    expect(Object.keys(outputs)).toEqual(["y"]);
    expect([...(outputs.y as Float32Array)]).toEqual(after(run));
  }
  // The zeros of the beginning, then inputs alone; nothing is made for a run.
  expect(written.filter((label) => label.startsWith("state"))).toEqual(["state 2"]);
  expect(written.filter((label) => label.startsWith("arena"))).toHaveLength(5);
  expect(device.buffers).toHaveLength(buffers);
  expect((await model.getState()).h?.dims).toEqual([4]);
  expect(await kept(model)).toEqual(after(5));
});

test("reset and setState wait for the runs before them, and change nothing of other states", async () => {
  const { model } = await open();
  const state = model.createState();
  const runs = [model.run({ x }), model.run({ x }, { state }), model.run({ x })];
  void model.reset();
  const data = new Float32Array(4);
  const set = model.setState({ h: data }, state);
  data.fill(9); // which has been copied
  const more = [model.run({ x }), model.run({ x }, { state }), model.run({ x }, { state })];
  await set;
  const found = (await Promise.all([...runs, ...more])).map(({ y }) => [...(y as Float32Array)]);
  expect(found).toEqual([1, 1, 2, 1, 1, 2].map(after));
  expect(await kept(model)).toEqual(after(1));
  expect(await kept(model, state)).toEqual(after(2));
  expect(await kept(model, model.createState())).toEqual(after(0));
  const { outputs } = await model.profile({ x }, { state });
  expect([...(outputs.y as Float32Array)]).toEqual(after(3));
});

test("a run that fails leaves the state as it was", async () => {
  let fails = false;
  const onSubmit = () => {
    if (fails) throw new Error("no");
  };
  const { model } = await open({ onSubmit });
  await model.run({ x });
  fails = true;
  await rejection(model.run({ x }));
  fails = false;
  const { y } = await model.run({ x });
  expect([...(y as Float32Array)]).toEqual(after(2));
});

test("wrong uses of states", async () => {
  const { model } = await open();
  const { model: other } = await open();
  const state = other.createState();
  expect(await rejection(model.run({ x }, { state }))).toBeInstanceOf(UnsupportedError);
  expect(await rejection(model.run({ x, h: x }))).toMatchObject({ code: "unknown-input" });
  expect(await rejection(model.setState({}))).toMatchObject({ code: "missing-input", input: "h" });
  expect(await rejection(model.setState({ h: x, x }))).toBeInstanceOf(InputError);
  expect(await rejection(model.setState({ h: x.subarray(1) }))).toBeInstanceOf(InputError);
  model.dispose();
  expect(await rejection(model.getState())).toMatchObject({ code: "disposed" });
});

// biome-ignore lint/suspicious/noExplicitAny: a manifest of no particular form
test.each<[string, (manifest: any) => void]>([
  ["must have 1 entries", (m) => delete m.backends.webgpu.states],
  ["must have 0 entries", (m) => delete m.states],
  ["is not the number of a buffer", (m) => m.backends.webgpu.states[0].buffers.splice(1, 1, 9)],
  ["reaches beyond buffer 2", (m) => m.states[0].shape.splice(0, 1, 5)],
  [
    "cannot hold each float32",
    (m) => Object.assign(m.backends.webgpu.states[0], { storage: "i32" }),
  ],
  ["has an input of another's name", (m) => Object.assign(m.states[0], { input: "x" })],
  ["has an output of another's name", (m) => Object.assign(m.states[0], { output: "y" })],
  ["an array of 2", (m) => m.backends.webgpu.states[0].buffers.pop()],
])("a manifest with states is refused: %s", (problem, spoil) => {
  const { manifest } = makeStatefulPackage();
  expect(() => parseManifest(manifest)).not.toThrow();
  spoil(manifest);
  expect(() => parseManifest(manifest)).toThrow(ManifestError);
  expect(() => parseManifest(manifest)).toThrow(problem);
});

import { describe, expect, test, vi } from "vitest";
import {
  DisposedError,
  ExecutionError,
  InputError,
  load,
  type Model,
  type Tensors,
  type TypedArray,
} from "../src/index.js";
import { fakeGpu } from "./fake_gpu.js";
import {
  ALL_DTYPES,
  BASE,
  expected,
  packageFetch,
  rejection,
  sampleInput,
  served,
} from "./helpers.js";

const open = async (options?: Parameters<typeof served>[0]): Promise<Model> =>
  load(BASE, { backends: ["wasm"], fetch: (await served(options)).fetch });

const COPIED: Record<string, TypedArray> = {
  bfloat16: Uint16Array.of(0, 0x3f80, 0xff80, 0x7fc0, 1),
  float16: Uint16Array.of(0, 0x3c00, 0xc000, 0x7bff, 1),
  float32: Float32Array.of(0, -1.5, 3e38, Number.NaN, 1e-40),
  float64: Float64Array.of(0, -1.5, 1e308, Number.NaN, 5e-324),
  int8: Int8Array.of(0, -128, 127, 1, -1),
  int16: Int16Array.of(0, -32768, 32767, 1, -1),
  int32: Int32Array.of(0, -(2 ** 31), 2 ** 31 - 1, 1, -1),
  int64: BigInt64Array.of(0n, -(2n ** 63n), 2n ** 63n - 1n, 1n, -1n),
  uint8: Uint8Array.of(0, 255, 128, 1, 2),
  uint16: Uint16Array.of(0, 65535, 32768, 1, 2),
  uint32: Uint32Array.of(0, 2 ** 32 - 1, 2 ** 31, 1, 2),
  uint64: BigUint64Array.of(0n, 2n ** 64n - 1n, 2n ** 63n, 1n, 2n),
  bool: Uint8Array.of(0, 1, 1, 0, 1),
};

function allInputs(): Tensors {
  const inputs: Tensors = { x: sampleInput() };
  for (const [dtype, values] of Object.entries(COPIED)) inputs[`in_${dtype}`] = values;
  return inputs;
}

test("a model says what else it brings", async () => {
  const model = await open({ labelled: true });
  expect(model.metadata).toEqual({ author: "nobody" });
  expect(model.outputs[0]?.labels).toEqual({ axis: 0, names: ["all"] });
  expect((await open()).metadata).toEqual({});
});

test("a model says what it takes and gives", async () => {
  const model = await open();
  expect(model.name).toBe("tiny");
  expect(model.backend).toBe("wasm");
  expect(model.failures).toEqual([]);
  expect(model.inputs).toEqual([{ name: "x", dtype: "float32", shape: [1, 100] }]);
  expect(model.outputs).toEqual([{ name: "y", dtype: "float32", shape: [1, 100] }]);
});

test("every element type goes in and comes out", async () => {
  const model = await open({ dtypes: ALL_DTYPES, webgpu: false });
  const outputs = await model.run(allInputs());
  for (const dtype of ALL_DTYPES) {
    const given = COPIED[dtype] as TypedArray;
    const got = outputs[`out_${dtype}`] as TypedArray;
    const bytes = (a: TypedArray) => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);
    expect([dtype, ...bytes(got)]).toEqual([dtype, ...bytes(given)]);
    if (dtype !== "float16") expect(got.constructor).toBe(given.constructor);
  }
});

test("float16 may come as bits or as Float16Array, and uint8 as the pixels of an image", async () => {
  const model = await open({ dtypes: ["uint8"], webgpu: false });
  const pixels = Uint8ClampedArray.of(1, 2, 3, 4, 255);
  const outputs = await model.run({ x: sampleInput(), in_uint8: pixels });
  expect(outputs.out_uint8).toEqual(Uint8Array.from(pixels));
});

test("outputs belong to the caller, and runs do not see each other", async () => {
  const model = await open();
  const [a, b] = [sampleInput(), sampleInput().map((v) => -v)];
  const [first, second] = await Promise.all([model.run({ x: a }), model.run({ x: b })]);
  for (const [x, { y }] of [
    [a, first],
    [b, second],
  ] as const) {
    for (const [i, v] of expected(x).entries()) expect(y?.[i]).toBeCloseTo(v, 5);
  }
  expect(first.y?.buffer).not.toBe(second.y?.buffer);
  expect(first.y?.buffer.byteLength).toBe(400);
});

describe("inputs that do not fit", () => {
  // biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
  const cases: [string, any, object][] = [
    ["missing", {}, { code: "missing-input", input: "x", message: 'input "x" is missing' }],
    ["undefined", { x: undefined }, { code: "missing-input", input: "x" }],
    ["no inputs at all", undefined, { code: "missing-input", input: "x" }],
    ["null for all", null, { code: "missing-input", input: "x" }],
    [
      "unknown",
      { x: sampleInput(), z: sampleInput() },
      { code: "unknown-input", input: "z", message: 'there is no input "z"; the inputs are "x"' },
    ],
    [
      "of another type",
      { x: new Float64Array(100) },
      {
        code: "wrong-dtype",
        message: 'input "x" is float32, so it takes Float32Array, not Float64Array',
      },
    ],
    [
      "an array of numbers",
      { x: [1, 2, 3] },
      { code: "wrong-dtype", message: expect.stringMatching(/not Array$/) },
    ],
    [
      "a buffer",
      { x: new ArrayBuffer(400) },
      { code: "wrong-dtype", message: expect.stringMatching(/not ArrayBuffer$/) },
    ],
    ["null", { x: null }, { code: "wrong-dtype", message: expect.stringMatching(/not Null$/) }],
    [
      "of another length",
      { x: new Float32Array(99) },
      { code: "wrong-length", message: 'input "x" of shape [1, 100] takes 100 elements, not 99' },
    ],
  ];
  test.each(cases)("%s", async (_, inputs, wanted) => {
    const model = await open();
    for (const call of [() => model.run(inputs), () => model.profile(inputs)]) {
      const error = await rejection(call());
      expect(error).toBeInstanceOf(InputError);
      expect(error).toMatchObject(wanted);
    }
    // The model is none the worse for it.
    expect(await model.run({ x: sampleInput() })).toHaveProperty("y");
  });

  test("of a model without inputs", async () => {
    const { made } = await served({ webgpu: false });
    made.manifest.inputs = [];
    made.manifest.backends.wasm.inputs = [];
    const model = await load(BASE, { backends: ["wasm"], fetch: packageFetch(made) });
    // biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
    for (const nothing of [{}, null, undefined] as any[]) {
      expect(await model.run(nothing)).toHaveProperty("y");
    }
    expect(await rejection(model.run({ x: sampleInput() }))).toMatchObject({
      code: "unknown-input",
      message: 'there is no input "x"; the inputs are none',
    });
  });

  test("each type takes its own arrays alone", async () => {
    const model = await open({ dtypes: ALL_DTYPES, webgpu: false });
    for (const dtype of ALL_DTYPES) {
      for (const values of Object.values(COPIED)) {
        const fits =
          values.constructor === COPIED[dtype]?.constructor ||
          (dtype === "float16" && values.constructor.name === "Float16Array");
        const running = model.run({ ...allInputs(), [`in_${dtype}`]: values });
        if (fits) await running;
        else expect(await rejection(running)).toMatchObject({ code: "wrong-dtype" });
      }
    }
  });
});

/** What objects have from their prototype, and what means something to one. */
const ODD_NAMES = ["__proto__", "constructor", "hasOwnProperty", "toString", "then", "0", "a\0b"];

test.each(["wasm", "webgpu"] as const)("names may be anything, on %s", async (backend) => {
  const { made } = await served();
  for (const name of ODD_NAMES) {
    for (const tensors of [made.manifest.inputs, made.manifest.outputs]) tensors[0].name = name;
    const fetch = packageFetch(made);
    const model = await load(BASE, { backends: [backend], fetch, gpu: fakeGpu().gpu });
    expect(await rejection(model.run({}))).toMatchObject({ code: "missing-input", input: name });
    const x = sampleInput();
    for (const inputs of [{ [name]: x }, Object.assign(Object.create(null), { [name]: x })]) {
      const outputs = await model.run(inputs);
      const profiled = await model.profile(inputs);
      for (const found of [outputs, profiled.outputs]) {
        expect(Object.keys(found)).toEqual([name]);
        expect(Object.getPrototypeOf(found)).toBe(null);
        expect(found[name]?.[1]).toBeCloseTo(expected(x)[1] as number, 5);
      }
    }
    expect(await rejection(model.run({ [name]: x, valueOf: x }))).toMatchObject({
      code: "unknown-input",
      input: "valueOf",
    });
  }
  expect({}).not.toHaveProperty("length");
});

test("a profile has a time for each launch, and the outputs", async () => {
  const model = await open();
  const { method, launches, outputs } = await model.profile({ x: sampleInput() });
  expect(method).toBe("clock");
  expect(launches.map(({ kernel, label }) => [kernel, label])).toEqual([
    ["scale", ["Mul_0", "Add_1"]],
    ["relu", ["Relu_2"]],
  ]);
  for (const { milliseconds } of launches) expect(milliseconds).toBeGreaterThanOrEqual(0);
  expect(outputs).toEqual(await model.run({ x: sampleInput() }));
});

test("a trap is an error, and the runs after it are not lost", async () => {
  const model = await open({ trap: true });
  const x = sampleInput();
  const both = await Promise.all([rejection(model.run({ x })), rejection(model.profile({ x }))]);
  for (const error of both) {
    expect(error).toBeInstanceOf(ExecutionError);
    expect(error).toMatchObject({
      code: "execution-failed",
      message: expect.stringMatching(/unreachable/),
    });
  }
});

test("a model that was disposed of runs no more", async () => {
  const model = await open();
  const x = sampleInput();
  const done = await model.run({ x });
  const waiting = [rejection(model.run({ x })), rejection(model.profile({ x }))];
  model.dispose();
  model.dispose();
  for (const error of await Promise.all([...waiting, rejection(model.run({ x }))])) {
    expect(error).toBeInstanceOf(DisposedError);
    expect(error).toMatchObject({ code: "disposed" });
  }
  expect(done.y).toHaveLength(100);
});

test("a run makes no arrays but those of the outputs", async () => {
  const model = await open();
  const x = sampleInput();
  await model.run({ x });
  const made = vi.spyOn(globalThis, "ArrayBuffer");
  const views = vi.spyOn(globalThis, "Float32Array");
  try {
    await model.run({ x });
    expect(made).not.toHaveBeenCalled();
    expect(views.mock.calls.length).toBeLessThanOrEqual(1);
  } finally {
    vi.restoreAllMocks();
  }
});

test("launches at load run once, before the first run, and are not profiled", async () => {
  const model = await open({ prepare: true, webgpu: false });
  const x = sampleInput();
  for (let run = 0; run < 2; run++) {
    const { y } = await model.run({ x });
    for (const [i, v] of expected(x).entries()) expect(y?.[i]).toBeCloseTo(v, 5);
  }
  const { launches } = await model.profile({ x });
  expect(launches.map(({ kernel }) => kernel)).toEqual(["scale", "relu"]);
});

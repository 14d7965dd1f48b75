import { describe, expect, test } from "vitest";
import {
  DeviceLostError,
  type DType,
  ExecutionError,
  InputError,
  load,
  NoBackendError,
  type Tensors,
  type TypedArray,
} from "../src/index.js";
import {
  isStoredAsIs,
  narrow,
  storageBytes,
  storageFits,
  widen,
  wordsOver,
} from "../src/webgpu/storage.js";
import { type FakeOptions, fakeGpu } from "./fake_gpu.js";
import { BASE, expected, type FixtureOptions, rejection, sampleInput, served } from "./helpers.js";

const x = sampleInput();

async function open(options: FakeOptions = {}, make: FixtureOptions = {}) {
  const { gpu, devices } = fakeGpu(options);
  const { fetch } = await served(make);
  const model = await load(BASE, { backends: ["webgpu"], fetch, gpu });
  return { model, devices };
}

/** Why WebGPU was passed over. */
async function refusal(
  options: FakeOptions,
  change: (webgpu: Record<string, unknown>) => void = () => {},
) {
  const { gpu, devices } = fakeGpu(options);
  const { made, fetch } = await served();
  change(made.manifest.backends.webgpu);
  const error = await rejection(load(BASE, { backends: ["webgpu"], fetch, gpu }));
  expect(error).toBeInstanceOf(NoBackendError);
  const [failure] = (error as NoBackendError).failures;
  const { requests } = fetch;
  return { code: failure?.code, reason: failure?.reason, error: failure?.error, devices, requests };
}

test("a run is one submission, and outputs are right", async () => {
  const { model, devices } = await open();
  for (const sign of [1, -1]) {
    const input = x.map((v) => v * sign);
    const { y } = await model.run({ x: input });
    for (const [i, v] of expected(input).entries()) expect(y?.[i]).toBeCloseTo(v, 5);
  }
  expect(model.backend).toBe("webgpu");
  expect(devices).toHaveLength(1);
  expect(devices[0]?.submissions).toHaveLength(2);
  expect(devices[0]?.scopes).toEqual([]);
});

test("launches at load are one submission of their own, and are not profiled", async () => {
  const { model, devices } = await open({}, { prepare: true });
  expect(devices[0]?.submissions).toHaveLength(1);
  for (let i = 0; i < 2; i++) {
    const { y } = await model.run({ x });
    for (const [i, v] of expected(x).entries()) expect(y?.[i]).toBeCloseTo(v, 5);
  }
  expect(devices[0]?.submissions).toHaveLength(3);
  const { launches } = await model.profile({ x });
  expect(launches.map(({ kernel }) => kernel)).toEqual(["scale_0", "relu_0"]);
});

test("buffers have no usage but what they need", async () => {
  const { devices } = await open();
  const usages = devices[0]?.buffers.map((b) => [b.descriptor.label, b.descriptor.usage]);
  expect(usages).toEqual([
    ["weights 0", 0x88],
    ["weights 1", 0x88],
    ["arena 2", 0x88],
    ["arena 3", 0x80],
    ["arena 4", 0x84],
    ["outputs", 0x9],
  ]);
});

describe("a device that will not do", () => {
  test("no adapter", async () => {
    expect(await refusal({ adapter: "none" })).toMatchObject({
      code: "unsupported-feature",
      reason: expect.stringContaining("offers no adapter"),
    });
    const { reason } = await refusal({ adapter: "throws" });
    expect(reason).toBe("no WebGPU adapter: blocked");
  });

  test("no device", async () => {
    const { reason } = await refusal({ device: "refuses" });
    expect(reason).toBe("the WebGPU adapter gives no device: too many devices");
  });

  test("features and limits: all that is missing is told, and nothing is downloaded", async () => {
    const { reason, requests } = await refusal({}, (webgpu) => {
      webgpu.features = ["shader-f16"];
      webgpu.limits = {
        maxStorageBuffersPerShaderStage: 10,
        minStorageBufferOffsetAlignment: 32,
        maxNonsense: 1,
      };
    });
    expect(reason).toBe(
      'the GPU is too small: feature "shader-f16" is missing; maxStorageBuffersPerShaderStage is 8, 10 is needed; ' +
        "minStorageBufferOffsetAlignment is 256, 32 is needed; limit maxNonsense is not known",
    );
    expect(requests).toEqual(["model.json"]);
  });

  test("limits that are none", async () => {
    for (const name of ["__proto__", "constructor", "toString"]) {
      const limits = Object.fromEntries([[name, 1]]);
      const { reason } = await refusal({}, (webgpu) => Object.assign(webgpu, { limits }));
      expect(reason).toMatch(`limit ${name} is not known`);
    }
  });

  test("what the package needs is asked for, and time stamps where there are any", async () => {
    const { devices } = await open({ features: ["timestamp-query", "shader-f16"] });
    expect(devices[0]?.descriptor).toEqual({
      requiredFeatures: ["timestamp-query"],
      requiredLimits: { maxStorageBuffersPerShaderStage: 8 },
    });
  });
});

describe("what goes wrong while loading", () => {
  test("the compiler's messages are told, and the device is given back", async () => {
    const messages = [
      { type: "warning", lineNum: 1, linePos: 1, message: "odd" },
      { type: "error", lineNum: 3, linePos: 7, message: "unresolved value 'q'" },
    ];
    const { code, error, devices } = await refusal({ compile: { error: "invalid", messages } });
    expect(code).toBe("compile-failed");
    expect(error).toMatchObject({ messages: ["webgpu/kernels-0.wgsl:4:7: unresolved value 'q'"] });
    expect(devices[0]?.destroyed).toBe(true);
  });

  test("a pipeline that fails without messages gives the error's own", async () => {
    const { reason } = await refusal({ compile: { error: "binding 3 is missing", messages: [] } });
    expect(reason).toMatch(/^kernel \w+: binding 3 is missing$/);
  });

  test("memory that runs out, and what WebGPU calls invalid", async () => {
    const memory = await refusal({ scopeError: { filter: "out-of-memory", message: "4 GB" } });
    expect(memory).toMatchObject({
      code: "out-of-memory",
      reason: "making the model: GPU memory ran out: 4 GB",
    });
    const invalid = await refusal({ scopeError: { filter: "validation", message: "too big" } });
    expect(invalid).toMatchObject({
      code: "execution-failed",
      reason: "making the model: too big",
    });
  });

  test("shaders and weights of more bytes than there are", async () => {
    for (const part of ["shaders", "weights"]) {
      const { code, reason, requests } = await refusal({}, (webgpu) => {
        // biome-ignore lint/suspicious/noExplicitAny: a manifest that is wrong on purpose
        const { shaders, weights } = webgpu as any;
        const file = part === "shaders" ? shaders[0] : weights.shards[1];
        const more = 2 ** 52;
        file.bytes += more;
        if (part === "weights") weights.bytes += more;
      });
      expect(code).toBe("out-of-memory");
      expect(reason).toMatch(/bytes of memory cannot be had/);
      expect(requests.length).toBeLessThan(4);
    }
  });

  test("a file that is missing is no reason to try another back end; the device is given back", async () => {
    const { gpu, devices } = fakeGpu();
    const { made, fetch } = await served();
    made.files.delete("webgpu/kernels-0.wgsl");
    const error = await rejection(load(BASE, { fetch, gpu }));
    expect(error).toMatchObject({ code: "download-failed", status: 404 });
    expect(devices[0]?.destroyed).toBe(true);
  });

  test("a changed shader is not compiled", async () => {
    const { gpu } = fakeGpu();
    const { made, fetch } = await served();
    const shader = made.files.get("webgpu/kernels-0.wgsl") as Uint8Array;
    made.files.set("webgpu/kernels-0.wgsl", shader.slice().reverse());
    const error = await rejection(load(BASE, { fetch, gpu }));
    expect(error).toMatchObject({ code: "checksum-mismatch" });
  });
});

describe("what goes wrong while running", () => {
  test("a device that gets lost in a run, and after it", async () => {
    const { model } = await open({
      onSubmit: (device) => device.lose({ message: "driver reset" }),
    });
    const runs = [model.run({ x }), model.run({ x }), model.profile({ x })];
    for (const error of await Promise.all(runs.map(rejection))) {
      expect(error).toBeInstanceOf(DeviceLostError);
      expect(error).toMatchObject({
        code: "device-lost",
        message: "the GPU device was lost: driver reset",
      });
    }
  });

  test("a loss without a message gives the reason", async () => {
    const { model } = await open({ onSubmit: (device) => device.lose({ message: "" }) });
    expect(await rejection(model.run({ x }))).toMatchObject({
      message: expect.stringMatching(/unknown$/),
    });
  });

  test("a run that WebGPU calls invalid", async () => {
    const options: FakeOptions = {};
    const { model } = await open(options);
    options.scopeError = { filter: "validation", message: "too many groups" };
    const error = await rejection(model.run({ x }));
    expect(error).toBeInstanceOf(ExecutionError);
    expect(error).toMatchObject({ message: "running the model: too many groups" });
    delete options.scopeError;
    expect(await model.run({ x })).toHaveProperty("y");
  });

  test("disposal destroys the device", async () => {
    const { model, devices } = await open({
      onSubmit: () => queueMicrotask(() => model.dispose()),
    });
    expect(await rejection(model.run({ x }))).toMatchObject({ code: "disposed" });
    expect(devices[0]?.destroyed).toBe(true);
  });
});

describe("profiles", () => {
  test("by time stamps", async () => {
    const { model, devices } = await open({ features: ["timestamp-query"] });
    const { method, launches, outputs } = await model.profile({ x });
    expect(method).toBe("timestamp-query");
    expect(launches).toEqual([
      { kernel: "scale_0", label: ["Mul_0", "Add_1"], milliseconds: 1.5 },
      { kernel: "relu_0", label: ["Relu_2"], milliseconds: 1.5 },
    ]);
    expect(outputs).toEqual(await model.run({ x }));
    expect(devices[0]?.scopes).toEqual([]);
  });

  test("by submissions where there are no time stamps", async () => {
    const { model, devices } = await open();
    const { method, launches } = await model.profile({ x });
    expect(method).toBe("submit");
    expect(launches).toHaveLength(2);
    // One for each launch, and one for the outputs.
    expect(devices[0]?.submissions).toHaveLength(3);
  });
});

describe("storage in 32-bit words", () => {
  const cases: [DType, "f32" | "i32" | "u32" | "i64", TypedArray][] = [
    ["float16", "f32", Uint16Array.of(0, 0x3c00, 0xfbff)],
    ["float32", "f32", Float32Array.of(0, -1.5, 3e38)],
    ["int8", "i32", Int8Array.of(0, -128, 127)],
    ["int16", "i32", Int16Array.of(0, -32768, 32767)],
    ["int32", "i32", Int32Array.of(0, -(2 ** 31), 2 ** 31 - 1)],
    ["int64", "i32", BigInt64Array.of(0n, -(2n ** 31n), 2n ** 31n - 1n)],
    ["uint8", "u32", Uint8Array.of(0, 255, 128)],
    ["uint8", "i32", Uint8Array.of(0, 255, 128)],
    ["uint16", "u32", Uint16Array.of(0, 65535, 32768)],
    ["uint16", "i32", Uint16Array.of(0, 65535, 32768)],
    ["uint32", "u32", Uint32Array.of(0, 2 ** 32 - 1, 2 ** 31)],
    ["uint64", "u32", BigUint64Array.of(0n, 2n ** 32n - 1n, 2n ** 31n)],
    ["int64", "i64", BigInt64Array.of(0n, -(2n ** 63n), 2n ** 63n - 1n)],
    ["uint64", "i64", BigUint64Array.of(0n, 2n ** 64n - 1n, 2n ** 63n)],
    ["bool", "u32", Uint8Array.of(0, 1, 1)],
    ["bool", "i32", Uint8Array.of(0, 1, 1)],
  ];
  test.each(cases)("%s in %s", (dtype, storage, values) => {
    expect(storageFits(dtype, storage)).toBe(true);
    const words = wordsOver(storage, new ArrayBuffer(3 * storageBytes(storage)), 0, 3);
    const tensor = { name: "t", dtype, shape: [3] };
    widen(tensor, values, words);
    const back = narrow(tensor, words);
    expect(new Uint8Array(back.buffer)).toEqual(new Uint8Array(values.buffer));
    if (isStoredAsIs(dtype, storage) && dtype !== "uint64") expect([...words]).toEqual([...values]);
  });

  test.each(["float64", "bfloat16"] as const)("%s is never stored as something else", (dtype) => {
    for (const storage of ["f32", "i32", "u32", "i64"] as const)
      expect(storageFits(dtype, storage)).toBe(false);
  });

  test.each([
    ["int64", 2n ** 31n],
    ["int64", -(2n ** 31n) - 1n],
    ["int64", 2n ** 62n],
    ["uint64", 2n ** 32n],
  ] as const)("%s %i is refused, and the run after it works", async (dtype, value) => {
    const { model } = await open({}, { dtypes: [dtype] });
    const array = (v: bigint) =>
      (dtype === "int64" ? new BigInt64Array(5) : new BigUint64Array(5)).fill(v);
    const inputs = (v: bigint): Tensors => ({ x, [`in_${dtype}`]: array(v) });
    const error = await rejection(model.run(inputs(value)));
    expect(error).toBeInstanceOf(InputError);
    expect(error).toMatchObject({ code: "out-of-range", input: `in_${dtype}` });
    expect((await model.run(inputs(7n)))[`out_${dtype}`]).toEqual(array(7n));
  });
});

test("a kernel without a range has the whole file; kernels of one range share a module", async () => {
  const { gpu, devices } = fakeGpu();
  const { made, fetch } = await served();
  const { kernels } = made.manifest.backends.webgpu;
  delete kernels[4].range;
  await load(BASE, { backends: ["webgpu"], fetch, gpu });
  const whole = new TextDecoder().decode(made.files.get("webgpu/kernels-0.wgsl"));
  const codes = devices[0]?.codes ?? [];
  // Of five kernels, the first two have one range.
  expect(codes).toHaveLength(4);
  expect(codes).toContain(whole);
  expect(codes[0]).toMatch(/^@group.*fn relu.*\}\n$/s);
});

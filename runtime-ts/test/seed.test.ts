import { describe, expect, test } from "vitest";
import { InputError, load, type Model } from "../src/index.js";
import { seedWords } from "../src/seed.js";
import { fakeGpu } from "./fake_gpu.js";
import { BASE, type DType, rejection, sampleInput, served } from "./helpers.js";

const dtypes: DType[] = ["int8", "uint32", "bool"];
const x = sampleInput();
const others = { in_int8: new Int8Array(5), in_bool: new Uint8Array(5) };

async function open(backend: "wasm" | "webgpu"): Promise<Model> {
  const { fetch } = await served({ dtypes, seeded: true });
  return load(BASE, { backends: [backend], fetch, gpu: fakeGpu().gpu });
}

/** What a run finds where the seed is. */
const words = async (model: Model, options?: { seed?: number }) => [
  ...((await model.run({ x, ...others }, options)).out_uint32 as Uint32Array).subarray(0, 2),
];

describe.each(["wasm", "webgpu"] as const)("on %s", (backend) => {
  test("the seed is no input, and comes to its place", async () => {
    const model = await open(backend);
    expect(model.inputs.map((t) => t.name)).toEqual(["x", "in_int8", "in_bool"]);
    expect(await words(model, { seed: 5 })).toEqual([5, 0]);
    expect(await words(model, { seed: 2 ** 53 - 1 })).toEqual([2 ** 32 - 1, 2 ** 21 - 1]);
    expect(await words(model, { seed: 0 })).toEqual([0, 0]);
  });

  test("without a seed each run has another one", async () => {
    const model = await open(backend);
    const found = await Promise.all([words(model), words(model, {}), words(model)]);
    expect(new Set(found.map(String)).size).toBe(3);
  });

  test("a profile takes one too", async () => {
    const model = await open(backend);
    const { outputs } = await model.profile({ x, ...others }, { seed: 7 });
    expect([...(outputs.out_uint32 as Uint32Array).subarray(0, 2)]).toEqual([7, 0]);
  });

  test("a model that draws nothing ignores it", async () => {
    const { fetch } = await served();
    const model = await load(BASE, { backends: [backend], fetch, gpu: fakeGpu().gpu });
    expect(await model.run({ x }, { seed: 1 })).toEqual(await model.run({ x }));
  });

  test.each([-1, 0.5, 2 ** 53, Number.NaN])("%s is no seed", async (seed) => {
    const error = await rejection((await open(backend)).run({ x, ...others }, { seed }));
    expect(error).toBeInstanceOf(InputError);
    expect(error).toMatchObject({ code: "out-of-range", input: "seed" });
  });
});

test("random seeds use all of their bits", () => {
  const seeds = Array.from({ length: 64 }, () => seedWords());
  for (const word of [0, 1]) {
    const bits = seeds.map((seed) => seed[word] as number);
    expect(bits.reduce((all, one) => all | one, 0)).toBe(-1);
    expect(bits.reduce((all, one) => all & one, -1)).toBe(0);
  }
});

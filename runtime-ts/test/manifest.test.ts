import { readFileSync } from "node:fs";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, test } from "vitest";
import { ManifestError, parseManifest } from "../src/index.js";
import { checkForm } from "../src/parse.js";
import { ALL_DTYPES, GPU_DTYPES, makePackage } from "./helpers.js";

const schema = JSON.parse(
  readFileSync(new URL("../../driver/package.schema.json", import.meta.url), "utf8"),
);
/** For this test and for that of the compiler. */
const fileNames: Record<"good" | "bad", string[]> = JSON.parse(
  readFileSync(new URL("../../tests/file_names.json", import.meta.url), "utf8"),
);
const validate = new Ajv2020({ strict: true, strictRequired: false }).compile(schema);

// biome-ignore lint/suspicious/noExplicitAny: a manifest that tests spoil in every way
type Spoilt = any;

const { manifest: full } = await makePackage({ dtypes: GPU_DTYPES, threads: true });
const { manifest: preparing } = await makePackage({ prepare: true });
const { manifest: deferring } = await makePackage({ prepare: true, firstRun: true });
const { manifest: labelled } = await makePackage({ dtypes: ["int32"], labelled: true });
const { manifest: seeded } = await makePackage({ dtypes: ["uint32"], seeded: true });
const { manifest: wasmOnly } = await makePackage({ dtypes: ALL_DTYPES, webgpu: false });
const { manifest: webgpuOnly } = await makePackage({ wasm: false });

const accepts = (value: unknown): boolean => {
  try {
    checkForm(value);
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(ManifestError);
    return false;
  }
};

/** The paths of all values inside a value. */
function* paths(value: unknown, path: string[] = []): Generator<string[]> {
  if (path.length > 0) yield path;
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) yield* paths(inner, [...path, key]);
}

function at(root: Spoilt, path: readonly string[]): Spoilt {
  return path.reduce((value, key) => value[key], root);
}

/** A copy in which one field is set, or deleted if there is no value. */
function changed(root: unknown, path: readonly string[], ...value: unknown[]): Spoilt {
  const copy = structuredClone(root);
  const owner = at(copy, path.slice(0, -1));
  const key = path.at(-1) as string;
  if (value.length > 0) owner[key] = value[0];
  else if (Array.isArray(owner)) owner.splice(Number(key), 1);
  else delete owner[key];
  return copy;
}

describe("the schema and the runtime's types agree", () => {
  test.each([
    ["both back ends", full],
    ["launches at load", preparing],
    ["labels and metadata", labelled],
    ["a seed", seeded],
    ["wasm", wasmOnly],
    ["webgpu", webgpuOnly],
  ])("on a good manifest: %s", (_, manifest) => {
    expect(validate(manifest), JSON.stringify(validate.errors)).toBe(true);
    expect(accepts(manifest)).toBe(true);
  });

  test("on a manifest with any one value deleted or replaced", async () => {
    const { manifest } = await makePackage({
      dtypes: ["bool", "uint32"],
      prepare: true,
      firstRun: true,
      threads: true,
      labelled: true,
      seeded: true,
    });
    const junk = [null, true, "", "x", "../x", -1, 0, 0.5, 65537, [], [1], {}];
    let rejected = 0;
    for (const path of paths(manifest)) {
      for (const variant of [
        changed(manifest, path),
        ...junk.map((v) => changed(manifest, path, v)),
      ]) {
        const [bySchema, byRuntime] = [validate(variant), accepts(variant)];
        if (!byRuntime) rejected++;
        if (bySchema !== byRuntime) {
          const value = JSON.stringify(at(variant, path));
          expect.fail(`${path.join(".")} = ${value}: schema ${bySchema}, runtime ${byRuntime}`);
        }
      }
    }
    expect(rejected).toBeGreaterThan(1000);
  });

  test("on what is no object at all", () => {
    for (const value of [null, 1, "x", [], undefined]) {
      expect(validate(value)).toBe(false);
      expect(accepts(value)).toBe(false);
    }
  });

  test.each(["good", "bad"] as const)("on names of files: %s ones", (kind) => {
    const path = ["backends", "wasm", "weights", "shards", "0", "file"];
    for (const name of fileNames[kind]) {
      const variant = changed(full, path, name);
      const wanted = kind === "good";
      expect([name, validate(variant), accepts(variant)]).toEqual([name, wanted, wanted]);
    }
  });
});

test("the schema refuses fields that it does not know; the runtime ignores them", () => {
  for (const path of paths(full)) {
    const value = at(full, path);
    if (typeof value !== "object" || Array.isArray(value) || path.at(-1) === "limits") continue;
    const variant = changed(full, [...path, "surprise"], 1);
    expect([path, validate(variant), accepts(variant)]).toEqual([path, false, true]);
  }
});

describe("what a schema cannot say", () => {
  const wasm = ["backends", "wasm"];
  const webgpu = ["backends", "webgpu"];
  const labels = ["outputs", "0", "labels"];
  const file = (shard: number): string => full.backends.wasm?.weights.shards[shard]?.file ?? "";
  const cases: [string, Spoilt, string[], unknown, string, RegExp][] = [
    ["two files of a name", full, [...wasm, "weights", "shards", "0", "file"], file(1), "", /two/],
    [
      "two files of a name but for its case",
      full,
      [...wasm, "weights", "shards", "0", "file"],
      file(1).toUpperCase(),
      "",
      /two files/,
    ],
    ["the manifest as a file", full, [...webgpu, "shaders", "0", "file"], "Model.json", "", /two/],
    [
      "labels of too few classes",
      labelled,
      [...labels, "names"],
      [],
      "outputs[0].labels",
      /1 entries/,
    ],
    ["labels of another dimension", labelled, [...labels, "axis"], 1, "", /must have 100 entries/],
    ["labels of no dimension", labelled, [...labels, "axis"], 2, "", /must have 0 entries/],
    ["two inputs of a name", full, ["inputs", "1", "name"], "x", "inputs", /one name/],
    ["more inputs than places", full, [...wasm, "inputs"], [], "backends.wasm.inputs", /entries/],
    ["an input beyond the memory", full, [...wasm, "inputs", "0", "offset"], 65536, "", /beyond/],
    ["weights beyond the memory", full, [...wasm, "weights", "offset"], 65536, "", /beyond/],
    ["more launches at load than there are", preparing, [...wasm, "prepare"], 4, "", /3 launches/],
    [
      "what is prepared beyond the memory",
      preparing,
      [...wasm, "prepared", "offset"],
      65536,
      "",
      /beyond/,
    ],
    [
      "a launch that stands for none",
      deferring,
      [...wasm, "firstRun", "launches", "1", "instead"],
      2,
      "",
      /not that of a run's next launch/,
    ],
    [
      "launches of a first run that are not in order",
      deferring,
      [...wasm, "firstRun", "launches", "0", "instead"],
      1,
      "",
      /not that of a run's next launch/,
    ],
    [
      "a launch at load for which none stands",
      deferring,
      [...wasm, "launches", "0", "before"],
      1,
      "",
      /is of none in firstRun/,
    ],
    ["no room for a seed", seeded, [...wasm, "seed", "bytes"], 4, "", /"seed" needs 8/],
    ["a seed beyond the memory", seeded, [...wasm, "seed", "offset"], 65536, "", /beyond/],
    ["an unaligned seed", seeded, [...wasm, "seed", "offset"], 2050, "", /aligned/],
    ["a seed in no buffer", seeded, [...webgpu, "seed", "buffer"], 99, "", /number of a buffer/],
    [
      "a seed as floats",
      seeded,
      [...webgpu, "seed", "storage"],
      "f32",
      "backends.webgpu.seed.storage",
      /hold each uint32/,
    ],
    ["an arena beyond the memory", full, [...wasm, "arena", "offset"], 65536, "", /beyond/],
    ["an input that is too small", full, [...wasm, "inputs", "0", "bytes"], 4, "", /needs 400/],
    ["an unaligned input", full, [...wasm, "inputs", "0", "offset"], 2049, "", /aligned/],
    ["shards that do not add up", full, [...wasm, "weights", "bytes"], 911, "", /shards have 912/],
    [
      "shards that do not add up",
      full,
      [...webgpu, "weights", "bytes"],
      913,
      "",
      /shards have 912/,
    ],
    ["no such shader", full, [...webgpu, "kernels", "0", "shader"], 1, "", /number of a shader/],
    [
      "a range beyond the shader",
      full,
      [...webgpu, "kernels", "1", "range", "bytes"],
      99999,
      "",
      /beyond the shader/,
    ],
    ["no such kernel", full, [...webgpu, "launches", "0", "kernel"], 9, "", /number of a kernel/],
    ["too few bindings", full, [...webgpu, "launches", "0", "bindings"], [], "", /4 entries/],
    ["no such buffer", full, [...webgpu, "inputs", "0", "buffer"], 99, "", /number of a buffer/],
    [
      "a binding too large",
      full,
      [...webgpu, "launches", "0", "bindings", "0", "bytes"],
      404,
      "",
      /beyond buffer 2/,
    ],
    ["an input beyond its buffer", full, [...webgpu, "inputs", "0", "offset"], 4, "", /beyond/],
    ["an output that is too small", full, [...webgpu, "outputs", "0", "bytes"], 4, "", /needs 400/],
    [
      "an unaligned input",
      webgpuOnly,
      [...webgpu, "inputs", "0"],
      { buffer: 0, offset: 2, bytes: 400, storage: "f32" },
      "",
      /aligned/,
    ],
    [
      "a buffer beyond the weights",
      full,
      [...webgpu, "buffers", "1", "offset"],
      516,
      "",
      /weights/,
    ],
    [
      "a buffer at an odd offset",
      full,
      [...webgpu, "buffers", "1", "offset"],
      510,
      "",
      /multiple of 4/,
    ],
    [
      "a storage that cannot hold the type",
      full,
      [...webgpu, "inputs", "0", "storage"],
      "u32",
      "",
      /hold each float32/,
    ],
  ];
  test.each(cases)("%s", (_, manifest, path, value, where, problem) => {
    expect(() => parseManifest(manifest)).not.toThrow();
    const error = (() => {
      try {
        return parseManifest(changed(manifest, path, value));
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).toBeInstanceOf(ManifestError);
    expect(error).toMatchObject({
      code: "manifest-invalid",
      message: expect.stringMatching(problem),
    });
    if (where) expect((error as ManifestError).path).toBe(where);
  });

  test("shards that end inside a word", () => {
    const variant = structuredClone(full);
    const { shards } = variant.backends.webgpu.weights;
    shards[0].bytes += 1;
    shards[1].bytes -= 1;
    expect(() => parseManifest(variant)).toThrow(/not a multiple of 4/);
  });

  test("a memory of more than 4 GiB is not wasm32's", () => {
    const variant = changed(full, ["backends", "wasm", "memory", "pages"], 65537);
    expect(() => parseManifest(variant)).toThrow(/at most 65536/);
  });
});

test("the message names the field and shows the value", () => {
  const variant = changed(full, ["backends", "webgpu", "launches", "1", "workgroups", "2"], 0);
  expect(() => parseManifest(variant)).toThrow(
    "model.json: backends.webgpu.launches[1].workgroups[2] must be an integer of at least 1, not 0",
  );
  expect(() => parseManifest(changed(full, ["version"], 1))).toThrow("version must be 4, not 1");
  expect(() => parseManifest(changed(full, ["name"]))).toThrow("model.json: name is missing");
});

describe("a message about what may be of any size", () => {
  const deep = (open: string, close: string): unknown =>
    JSON.parse(open.repeat(200_000) + close.repeat(200_000));
  test.each<[string, unknown, RegExp]>([
    ["lists in lists", deep("[", "]"), /an array of 1$/],
    ["a list of many", Array(1e6).fill(0), /an array of 1000000$/],
    ["a long text", "x".repeat(1e6), /not "x{59}$/],
    ["an object that holds itself", Object.assign({}, { self: full }), /an object$/],
    ["a number that JSON does not have", 2n ** 64n, /18446744073709551616$/],
  ])("%s", (_, value, shown) => {
    for (const path of [["inputs", "0", "dtype"], ["version"], ["backends", "wasm", "prepare"]]) {
      const error = (() => {
        try {
          return parseManifest(changed(full, path, value));
        } catch (thrown) {
          return thrown;
        }
      })() as ManifestError;
      expect(error).toBeInstanceOf(ManifestError);
      expect(error.message).toMatch(shown);
      expect(error.message.length).toBeLessThan(400);
    }
    expect(accepts(value)).toBe(false);
  });
});

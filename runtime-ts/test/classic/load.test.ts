import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { getBackendAvailability } from "../../src/classic/backends.js";
import * as WebDNN from "../../src/classic/index.js";
import {
  DownloadError,
  InputError,
  NoBackendError,
  UnsupportedError,
  type WebDNNError,
} from "../../src/index.js";
import {
  BASE,
  expected,
  makePackage,
  packageFetch,
  rejection,
  sampleInput,
  served,
  writePackage,
} from "../helpers.js";

const wasm: WebDNN.InitOption = { backendOrder: "webassembly" };

/** Let the global `fetch` serve a package at BASE. */
async function publish(options?: Parameters<typeof makePackage>[0]) {
  const { made } = await served(options);
  const fetch = packageFetch(made);
  vi.stubGlobal("fetch", fetch);
  return { made, requests: fetch.requests };
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("a runner", () => {
  let runner: WebDNN.DescriptorRunner;
  beforeEach(async () => {
    await publish();
    runner = await WebDNN.load(BASE, wasm);
  });

  test("runs what is in its views", async () => {
    const [x, y] = [runner.getInputViews()[0], runner.getOutputViews()[0]];
    expect(x).toBe(runner.inputs[0]);
    expect(y).toBe(runner.outputs[0]);
    expect([x?.length, y?.length]).toEqual([100, 100]);
    const sample = sampleInput();
    x?.set(sample);
    const result = y?.toActual();
    expect(await runner.run()).toBeUndefined();
    for (const [i, value] of expected(sample).entries()) expect(result?.[i]).toBeCloseTo(value, 5);
  });

  test("views keep what they hold from run to run", async () => {
    const [x, y] = [runner.inputs[0], runner.outputs[0]];
    x?.set(sampleInput());
    await runner.run();
    const first = y?.toActual().slice();
    y?.fill(-1);
    await runner.run();
    expect(y?.toActual()).toEqual(first);
    expect(x?.toActual()).toEqual(sampleInput());
  });

  test("a view may be set as soon as a run has begun", async () => {
    const sample = sampleInput();
    runner.inputs[0]?.set(sample);
    const running = runner.run();
    runner.inputs[0]?.fill(0);
    await running;
    for (const [i, value] of expected(sample).entries()) {
      expect(runner.outputs[0]?.toActual()[i]).toBeCloseTo(value, 5);
    }
  });

  test("has no sizes that are bound at run time", async () => {
    const error = (await rejection(runner.setPlaceholderValue({ T: 4 }))) as WebDNNError;
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toMatch(/"T" can be 4.*--dim/);
    await runner.setPlaceholderValue({});
  });

  test("leads to the model", () => {
    expect(runner.model.inputs[0]?.name).toBe("x");
    expect(runner.transformUrlDelegate("./a/b.bin")).toBe("./a/b.bin");
  });
});

describe("inputs and outputs that are no floats of 32 bits", () => {
  const TYPES = ["float64", "int8", "int32", "int64", "uint8", "uint64", "bool"] as const;
  const open = async () => {
    await publish({ dtypes: [...TYPES], webgpu: false });
    const runner = await WebDNN.load(BASE, wasm);
    return (type: (typeof TYPES)[number]) => {
      const index = runner.model.inputs.findIndex(({ name }) => name === `in_${type}`);
      const view = runner.inputs[index] as WebDNN.SymbolicFloat32Array;
      return {
        run: async (values: number[]): Promise<number[]> => {
          view.set(values);
          await runner.run();
          return [...(runner.outputs[index] as WebDNN.SymbolicFloat32Array)];
        },
      };
    };
  };

  test("are converted", async () => {
    const of = await open();
    const values: [(typeof TYPES)[number], number[]][] = [
      ["float64", [0.5, -1e30, Number.NaN, Number.NEGATIVE_INFINITY, 0]],
      ["int8", [0, -128, 127, 1, -1]],
      ["int32", [0, -(2 ** 31), 2 ** 24, 1, -1]],
      ["int64", [0, -(2 ** 63), 2 ** 40, 1, -1]],
      ["uint8", [0, 255, 128, 1, 2]],
      ["uint64", [0, 2 ** 63, 2 ** 32, 1, 2]],
      ["bool", [0, 1, 1, 0, 1]],
    ];
    for (const [type, elements] of values) {
      expect(await of(type).run(elements), type).toEqual(elements.map(Math.fround));
    }
  });

  test("must be numbers of their type", async () => {
    const of = await open();
    const error = (await rejection(of("uint8").run([0, 0, 0, 256]))) as InputError;
    expect(error).toBeInstanceOf(InputError);
    expect(error.message).toBe('element 3 of input "in_uint8" is 256, which is no uint8');
  });

  test("bits for which there are no numbers", async () => {
    await publish({ dtypes: ["bfloat16"], webgpu: false });
    const error = (await rejection(WebDNN.load(BASE, wasm))) as WebDNNError;
    expect(error).toBeInstanceOf(UnsupportedError);
    expect(error.message).toMatch(
      /"in_bfloat16" is bfloat16, of which this engine reads the bits alone/,
    );
  });
});

test("a folder of Node's own files", async () => {
  const folder = await mkdtemp(join(tmpdir(), "webdnn-classic-"));
  try {
    await writePackage(folder, await makePackage({ webgpu: false }));
    const runner = await WebDNN.load(folder, wasm);
    expect(runner.backendName).toBe("webassembly");
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe("back ends", () => {
  test.each<[WebDNN.InitOption["backendOrder"], string]>([
    [undefined, "webassembly"],
    ["webassembly", "webassembly"],
    ["fallback", "webassembly"],
    ["webgl", "webassembly"],
    [["webgl", "fallback"], "webassembly"],
    [["webgpu", "webassembly"], "webassembly"],
    ["wasm" as "webassembly", "webassembly"],
  ])("%j", async (backendOrder, name) => {
    const warn = vi.spyOn(console, "warn").mockReturnValue();
    await publish();
    const runner = await WebDNN.load(BASE, backendOrder === undefined ? {} : { backendOrder });
    expect(runner.backendName).toBe(name);
    for (const [text] of warn.mock.calls) expect(text).toMatch(/^WebDNN: not on webgpu: /);
  });

  test.each(["webgpu", "webmetal"])("%s alone, where there is none", async (name) => {
    await publish();
    const error = (await rejection(
      WebDNN.load(BASE, { backendOrder: name as "webgpu" }),
    )) as NoBackendError;
    expect(error).toBeInstanceOf(NoBackendError);
    expect(error.failures.map(({ backend }) => backend)).toEqual(["webgpu"]);
  });

  test("one that never was", async () => {
    const error = await rejection(WebDNN.load(BASE, { backendOrder: "cuda" as "webgpu" }));
    expect(String(error)).toBe('UnsupportedError: there is no back end "cuda"');
  });

  test("which there are", () => {
    const status = { webgpu: false, webgl: false, webassembly: true, fallback: false };
    vi.stubGlobal("navigator", {});
    expect(getBackendAvailability()).toEqual({ status, defaultOrder: ["webassembly"] });
    vi.stubGlobal("navigator", { gpu: {} });
    expect(getBackendAvailability()).toEqual({
      status: { ...status, webgpu: true },
      defaultOrder: ["webgpu", "webassembly"],
    });
  });
});

describe("what is told and asked while a package is loaded", () => {
  test("how much has arrived", async () => {
    const { made } = await publish();
    const told: [number, number][] = [];
    await WebDNN.load(BASE, {
      ...wasm,
      progressCallback: (loaded, total) => told.push([loaded, total]),
    });
    const [, total] = told.at(-1) ?? [];
    expect(told.at(-1)?.[0]).toBe(total);
    const weights = made.manifest.backends.wasm.weights.bytes;
    expect(total).toBeGreaterThan(weights);
    expect(told.map(([loaded]) => loaded)).toEqual(
      told.map(([loaded]) => loaded).sort((a, b) => a - b),
    );
  });

  /** Serve the package for whatever address ends like one of its files; give the addresses. */
  const listen = async () => {
    const { made } = await served();
    const inner = packageFetch(made);
    const asked: string[] = [];
    vi.stubGlobal("fetch", (url: string, init: { signal: AbortSignal }) => {
      asked.push(url);
      return inner(BASE + /(model\.json|wasm\/.*)$/.exec(url)?.[0], init);
    });
    return asked;
  };

  test.each([BASE, BASE.slice(0, -1), `${BASE}model.json`])(
    "the delegate sees addresses as the program wrote the folder: %s",
    async (directory) => {
      const asked = await listen();
      const seen: string[] = [];
      const runner = await WebDNN.load(directory, {
        ...wasm,
        transformUrlDelegate: (url) => {
          seen.push(url);
          return url.replace("example.test", "elsewhere.test");
        },
      });
      const files = ["model.json", "wasm/weights-0.bin", "wasm/weights-1.bin"];
      for (const file of files) expect(seen).toContain(BASE + file);
      expect(asked).toEqual(seen.map((url) => url.replace("example.test", "elsewhere.test")));
      expect(runner.transformUrlDelegate(`${BASE}a.bin`)).toMatch(/elsewhere/);
    },
  );

  test.each(["https://elsewhere.test/w", "https://elsewhere.test/w/"])(
    "weights are in %s",
    async (weightDirectory) => {
      const asked = await listen();
      await WebDNN.load(BASE, { ...wasm, weightDirectory });
      const weights = asked.filter((url) => url.includes(".bin"));
      expect(weights.sort()).toEqual(
        [0, 1].map((i) => `https://elsewhere.test/w/wasm/weights-${i}.bin`),
      );
      for (const url of asked) expect(url.startsWith(BASE)).toBe(!url.includes(".bin"));
    },
  );

  test("the folder of weights comes before the delegate", async () => {
    const asked = await listen();
    await WebDNN.load(BASE, {
      ...wasm,
      weightDirectory: "https://elsewhere.test/w",
      transformUrlDelegate: (url) => url.replace("elsewhere", "nowhere"),
    });
    expect(asked).toContain("https://nowhere.test/w/wasm/weights-0.bin");
  });

  test("a folder that the first WebDNN wrote", async () => {
    vi.stubGlobal(
      "fetch",
      async () => new Response(null, { status: 404, statusText: "Not Found" }),
    );
    const error = (await rejection(WebDNN.load(BASE))) as DownloadError;
    expect(error).toBeInstanceOf(DownloadError);
    expect(error.status).toBe(404);
    expect(error.message).toMatch(/model\.json: is not there: compile again/);
  });
});

test("configurations are kept, and mean nothing", () => {
  expect(WebDNN.getConfiguration("a", 1)).toBe(1);
  expect(WebDNN.getConfiguration("a")).toBeUndefined();
  WebDNN.setConfiguration("a", false);
  expect(WebDNN.getConfiguration("a", true)).toBe(false);
});

import { afterEach, expect, test, vi } from "vitest";
import {
  AbortedError,
  ChecksumError,
  DisposedError,
  DownloadError,
  ExecutionError,
  type Fetch,
  type LoadOptions,
  load,
} from "../src/index.js";
import { BASE, expected, type FixtureOptions, rejection, sampleInput, served } from "./helpers.js";

const x = sampleInput();

afterEach(() => {
  vi.restoreAllMocks();
});

/** The launches that have run. */
function watchLaunches(): number[] {
  const launches: number[] = [];
  const { instantiate } = WebAssembly;
  vi.spyOn(WebAssembly, "instantiate").mockImplementation((async (
    module: WebAssembly.Module,
    imports: WebAssembly.Imports,
  ) => {
    const instance = await instantiate(module, imports);
    // The tool that assembles the fixture is made of WebAssembly too.
    if (!(module instanceof WebAssembly.Module)) return instance;
    const run_range = (begin: number, end: number): void => {
      for (let i = begin; i < end; i++) launches.push(i);
      (instance.exports.run_range as typeof run_range)(begin, end);
    };
    return { exports: { ...instance.exports, run_range } };
  }) as never);
  return launches;
}

/** A model that is loaded while its second shard is held back. */
async function early(make: FixtureOptions = {}, options: LoadOptions = {}) {
  const { made, fetch } = await served({ prepare: true, ...make });
  let release = (): void => {};
  let fail = (_: Error): void => {};
  let signal: AbortSignal | undefined;
  const held: Fetch = async (url, init) => {
    if (url.endsWith("weights-1.bin")) {
      signal = init.signal;
      await new Promise<void>((resolve, reject) => {
        release = resolve;
        fail = reject;
        init.signal.addEventListener("abort", () => reject(init.signal.reason));
      });
    }
    return fetch(url, init);
  };
  const model = await load(BASE, { backends: ["wasm"], complete: false, fetch: held, ...options });
  return {
    model,
    made,
    release: () => release(),
    fail: (e: Error) => fail(e),
    signal: () => signal,
  };
}

const soon = () => new Promise((resolve) => setTimeout(resolve, 50));

function check(y: unknown): void {
  for (const [i, v] of expected(x).entries()) expect((y as Float32Array)[i]).toBeCloseTo(v, 5);
}

test("a first run begins with the weights that are there", async () => {
  const launches = watchLaunches();
  const { model, release } = await early();
  const first = model.run({ x });
  await soon();
  expect(launches).toEqual([0]);
  release();
  check((await first).y);
  expect(launches).toEqual([0, 1, 2]);
  await model.arrived;
  check((await model.run({ x })).y);
  expect(launches).toEqual([0, 1, 2, 1, 2]);
});

/** A model that can defer its launch at load, loaded while all of its weights are held back. */
async function deferring(options: { complete?: boolean } = {}) {
  const { made, fetch } = await served({ prepare: true, firstRun: true });
  let release = (): void => {};
  const gate = new Promise<void>((resolve) => {
    release = resolve;
  });
  const held: Fetch = async (url, init) => {
    if (url.endsWith(".bin")) await gate;
    return fetch(url, init);
  };
  const loading = load(BASE, { backends: ["wasm"], complete: false, fetch: held, ...options });
  if (options.complete) release();
  return { model: await loading, made, release };
}

test("a first run that comes before the launches at load leaves them for later", async () => {
  const launches = watchLaunches();
  const { model, release } = await deferring();
  const first = model.run({ x });
  release();
  check((await first).y);
  expect(launches).toEqual([3, 4, 2]);
  await soon();
  expect(launches).toEqual([3, 4, 2, 0]);
  check((await model.run({ x })).y);
  expect(launches).toEqual([3, 4, 2, 0, 1, 2]);
});

test("a second run does not wait for later", async () => {
  const launches = watchLaunches();
  const { model, release } = await deferring();
  const first = model.run({ x });
  release();
  check((await first).y);
  check((await model.run({ x })).y);
  await soon();
  expect(launches).toEqual([3, 4, 2, 0, 1, 2]);
});

test("a profile after a first run", async () => {
  const { model, release } = await deferring();
  const first = model.run({ x });
  release();
  await first;
  const { launches, outputs } = await model.profile({ x });
  expect(launches.map(({ kernel }) => kernel)).toEqual(["scale", "relu"]);
  check(outputs.y);
});

test("what has run at load is not overwritten by a first run", async () => {
  const launches = watchLaunches();
  const { model } = await deferring({ complete: true });
  check((await model.run({ x })).y);
  expect(launches).toEqual([0, 1, 2]);
});

test("a model that is disposed of after a first run leaves it at that", async () => {
  const launches = watchLaunches();
  const { model, release } = await deferring();
  const first = model.run({ x });
  release();
  await first;
  model.dispose();
  await soon();
  expect(launches).toEqual([3, 4, 2]);
});

test("a first run gives no outputs of weights with the wrong sum", async () => {
  const { model, made, release } = await deferring();
  const content = made.files.get("wasm/weights-0.bin") as Uint8Array;
  content[0] = (content[0] as number) ^ 1;
  const first = rejection(model.run({ x }));
  release();
  expect(await first).toBeInstanceOf(ChecksumError);
  expect(await rejection(model.run({ x }))).toBeInstanceOf(ChecksumError);
});

test("without a run, what is to run at load does so when its weights are there", async () => {
  const launches = watchLaunches();
  const { model, release } = await early();
  await soon();
  expect(launches).toEqual([0]);
  release();
  await model.arrived;
  expect(launches).toEqual([0]);
  check((await model.run({ x })).y);
});

test("a profile waits for all weights", async () => {
  const { model, release } = await early();
  const profile = model.profile({ x });
  await soon();
  release();
  const { launches, outputs } = await profile;
  expect(launches.map(({ kernel }) => kernel)).toEqual(["scale", "relu"]);
  check(outputs.y);
});

test("weights that do not arrive fail the run", async () => {
  const { model, fail } = await early();
  const first = rejection(model.run({ x }));
  await soon();
  fail(new TypeError("offline"));
  expect(await first).toBeInstanceOf(DownloadError);
  expect(await rejection(model.arrived)).toBeInstanceOf(DownloadError);
  expect(await rejection(model.run({ x }))).toBeInstanceOf(DownloadError);
});

test("no outputs are given of weights with the wrong sum", async () => {
  const { model, made, release } = await early();
  const content = made.files.get("wasm/weights-1.bin") as Uint8Array;
  content[0] = (content[0] as number) ^ 1;
  const first = rejection(model.run({ x }));
  await soon();
  release();
  expect(await first).toBeInstanceOf(ChecksumError);
});

test("a launch that wrong weights make fail is the weights' fault, one that right ones do is not", async () => {
  for (const [wrong, type] of [
    [true, ChecksumError],
    [false, ExecutionError],
  ] as const) {
    const { model, made, release } = await early({ prepare: false, trap: true });
    const content = made.files.get("wasm/weights-1.bin") as Uint8Array;
    if (wrong) content[0] = (content[0] as number) ^ 1;
    const first = rejection(model.run({ x }));
    await soon();
    release();
    expect(await first).toBeInstanceOf(type);
  }
});

test("an abort after load ends what is on its way", async () => {
  const controller = new AbortController();
  const { model, signal } = await early({}, { signal: controller.signal });
  const first = rejection(model.run({ x }));
  await soon();
  controller.abort("bored");
  expect(await first).toMatchObject({ code: "aborted", cause: "bored" });
  expect(await rejection(model.arrived)).toBeInstanceOf(AbortedError);
  expect(signal()?.aborted).toBe(true);
});

test("to dispose of a model ends what is on its way", async () => {
  const { model, signal } = await early();
  const first = rejection(model.run({ x }));
  await soon();
  model.dispose();
  expect(await first).toBeInstanceOf(DisposedError);
  expect(await rejection(model.arrived)).toBeInstanceOf(DisposedError);
  expect(signal()?.aborted).toBe(true);
});

test("by default load waits for all weights", async () => {
  const { fetch } = await served({ prepare: true });
  const paths = (): boolean => fetch.requests.includes("wasm/weights-1.bin");
  await load(BASE, { backends: ["wasm"], fetch });
  expect(paths()).toBe(true);
  const broken: Fetch = async (url, init) =>
    url.endsWith("weights-1.bin") ? new Response(null, { status: 500 }) : fetch(url, init);
  const error = rejection(load(BASE, { backends: ["wasm"], fetch: broken }));
  expect(await error).toBeInstanceOf(DownloadError);
});

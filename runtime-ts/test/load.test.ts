import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { serve } from "../../tests/e2e/server.mjs";
import {
  AbortedError,
  type BackendName,
  ChecksumError,
  CompileError,
  DownloadError,
  type Fetch,
  type LoadOptions,
  load,
  NoBackendError,
  type Progress,
  UnsupportedError,
  type WebDNNError,
} from "../src/index.js";
import { missingFeatures } from "../src/wasm/features.js";
import {
  assembleWat,
  BASE,
  expected,
  makePackage,
  packageFetch,
  rejection,
  sampleInput,
  served,
  writePackage,
} from "./helpers.js";

const wasm: Pick<LoadOptions, "backends" | "complete"> = { backends: ["wasm"], complete: true };

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe("where a package is", () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "webdnn-test-"));
    await writePackage(folder, await makePackage({ webgpu: false }));
    return () => rm(folder, { recursive: true });
  });

  test.each<[string, (folder: string) => string | URL]>([
    ["a path", (f) => f],
    ["a path with a slash at its end", (f) => `${f}/`],
    ["a relative path", (f) => relative(process.cwd(), f)],
    ["the path of model.json", (f) => join(f, "model.json")],
    ["a file URL", (f) => pathToFileURL(f)],
    ["the text of a file URL", (f) => pathToFileURL(join(f, "model.json")).href],
  ])("%s, in Node", async (_, location) => {
    const progress: Progress[] = [];
    const model = await load(location(folder), { ...wasm, onProgress: (p) => progress.push(p) });
    const x = sampleInput();
    const { y } = await model.run({ x });
    expect(y).toBeInstanceOf(Float32Array);
    for (const [i, v] of expected(x).entries()) expect(y?.[i]).toBeCloseTo(v, 5);
    expect(progress.at(-1)?.loaded).toBe(progress.at(-1)?.total);
  });

  test("a URL with http", async () => {
    const server = await serve({ folders: { "/some/model/": folder } });
    try {
      for (const path of ["/some/model", "/some/model/", "/some/model/model.json?a=b"]) {
        const model = await load(server.origin + path, wasm);
        expect(model.name).toBe("tiny");
      }
    } finally {
      await server.close();
    }
  });

  test("files that are not there, or not of their size", async () => {
    const nowhere = await rejection(load(join(folder, "nowhere"), wasm));
    expect(nowhere).toBeInstanceOf(DownloadError);
    expect(nowhere).toMatchObject({
      code: "download-failed",
      message: expect.stringMatching(/nowhere\/model.json.*ENOENT/),
    });
    await rm(join(folder, "wasm/weights-1.bin"));
    expect(await rejection(load(folder, wasm))).toBeInstanceOf(DownloadError);
    const made = await makePackage({ webgpu: false });
    made.files.set("wasm/weights-1.bin", new Uint8Array(3));
    await writePackage(folder, made);
    const error = await rejection(load(folder, wasm));
    expect(error).toMatchObject({
      code: "checksum-mismatch",
      message: expect.stringMatching(/has 3 bytes, not 312/),
    });
  });
});

test("in a browser, relative locations count from the page", async () => {
  const { fetch } = await served();
  vi.stubGlobal("process", undefined);
  vi.stubGlobal("document", { baseURI: "https://example.test/models/index.html" });
  vi.resetModules();
  const fresh = await import("../src/index.js");
  expect((await fresh.load("tiny", { ...wasm, fetch })).name).toBe("tiny");
  vi.stubGlobal("document", undefined);
  vi.stubGlobal("location", { href: "https://example.test/worker.js" });
  expect((await fresh.load("./models/tiny/", { ...wasm, fetch })).name).toBe("tiny");
});

describe("choosing a back end", () => {
  test("wasm after webgpu, with the reason told", async () => {
    const { fetch } = await served();
    const model = await load(BASE, { fetch });
    expect(model.backend).toBe("wasm");
    expect(model.failures).toMatchObject([
      { backend: "webgpu", code: "unsupported-feature", reason: "WebGPU does not exist here" },
    ]);
    expect(model.failures[0]?.error).toBeInstanceOf(UnsupportedError);
    expect(fetch.requests.some((path) => path.startsWith("webgpu/"))).toBe(false);
  });

  test("a page that is not secure has no WebGPU, and is told why", async () => {
    vi.stubGlobal("isSecureContext", false);
    const { fetch } = await served();
    const { failures } = await load(BASE, { fetch });
    expect(failures[0]?.reason).toContain("not a secure context");
  });

  test("no back end is left", async () => {
    const { fetch } = await served({ wasm: false });
    const error = await rejection(load(BASE, { fetch }));
    expect(error).toBeInstanceOf(NoBackendError);
    expect(error).toMatchObject({
      code: "no-backend",
      message: expect.stringMatching(/webgpu: .*wasm: the package has no/),
    });
    expect((error as NoBackendError).failures).toHaveLength(2);
    expect(await rejection(load(BASE, { fetch, backends: [] }))).toMatchObject({
      code: "no-backend",
      message: expect.stringMatching(/none was asked for/),
    });
  });

  test("a package without a webgpu part", async () => {
    const { fetch } = await served({ webgpu: false });
    const { failures } = await load(BASE, { fetch });
    expect(failures[0]?.reason).toBe("the package has no webgpu part");
  });

  test("a back end that does not exist", async () => {
    const { fetch } = await served();
    const error = await rejection(load(BASE, { fetch, backends: ["webgl" as BackendName] }));
    expect(error).toMatchObject({
      code: "unsupported-feature",
      message: expect.stringMatching(/"webgl"/),
    });
  });
});

describe("the wasm module", () => {
  const relaxedProbe = (bytes: BufferSource) =>
    // The opcode prefix and the first byte of i32x4.relaxed_trunc_f32x4_s.
    Buffer.from(bytes as Uint8Array).includes(Buffer.from([253, 129, 2]));

  test("is the best that the engine can compile", async () => {
    for (const [hasRelaxed, wanted] of [
      [true, "wasm/relaxed-simd.wasm"],
      [false, "wasm/simd128.wasm"],
    ] as const) {
      vi.spyOn(WebAssembly, "validate").mockImplementation((b) => hasRelaxed || !relaxedProbe(b));
      const { made, fetch } = await served();
      // This engine may lack relaxed SIMD: what is loaded is the plain module under both names.
      made.files.set("wasm/relaxed-simd.wasm", made.files.get("wasm/simd128.wasm") as Uint8Array);
      const [relaxed, plain] = made.manifest.backends.wasm.modules;
      Object.assign(relaxed, { bytes: plain.bytes, xxh32: plain.xxh32 });
      await load(BASE, { ...wasm, fetch });
      expect(fetch.requests.filter((path) => path.endsWith(".wasm"))).toEqual([wanted]);
    }
  });

  test("needs features that are not there", async () => {
    vi.spyOn(WebAssembly, "validate").mockReturnValue(false);
    const { fetch } = await served();
    const error = await rejection(load(BASE, { ...wasm, fetch }));
    expect(error).toMatchObject({
      message: expect.stringContaining("wasm/relaxed-simd.wasm needs simd128 and relaxed-simd"),
    });
  });

  test("needs features that are not known", () => {
    expect(missingFeatures(["simd128", "teleportation", "toString"])).toEqual([
      "teleportation",
      "toString",
    ]);
  });

  test("does not compile", async () => {
    const error = await loadWithModule(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0, 99));
    expect(error).toMatchObject({ failures: [{ code: "compile-failed" }] });
    expect((error as NoBackendError).failures[0]?.error).toBeInstanceOf(CompileError);
  });

  test("lacks an export, or wants an import", async () => {
    const lacking = '(module (import "env" "memory" (memory 1 1)) (func (export "run")))';
    expect(await loadWithModule(await assembleWat(lacking))).toMatchObject({
      message: expect.stringMatching(/does not export "run_range"/),
    });
    const wanting = '(module (import "env" "sin" (func)))';
    expect(await loadWithModule(await assembleWat(wanting))).toMatchObject({
      message: expect.stringMatching(/sin/),
    });
  });

  test.each(["start", "warm_up"])("fails in %s", async (name) => {
    const failing = `(module (import "env" "memory" (memory 1 1))
      (func (export "run_range") (param i32 i32)) (func (export "${name}") unreachable))`;
    expect(await loadWithModule(await assembleWat(failing))).toMatchObject({
      failures: [{ code: "execution-failed", reason: expect.stringMatching(/unreachable/) }],
    });
    const other = `(module (import "env" "memory" (memory 1 1))
      (func (export "run_range") (param i32 i32)) (global (export "${name}") i32 (i32.const 1)))`;
    expect(await loadWithModule(await assembleWat(other))).toMatchObject({
      failures: [{ code: "execution-failed" }],
    });
  });

  test.each([2 ** 33, 2 ** 40, Number.MAX_SAFE_INTEGER])(
    "is said to have %d bytes",
    async (bytes) => {
      const made = await makePackage({ webgpu: false });
      for (const module of made.manifest.backends.wasm.modules) module.bytes = bytes;
      const error = await rejection(load(BASE, { ...wasm, fetch: packageFetch(made) }));
      // Where so much memory can be had, the file is too short.
      if (error instanceof NoBackendError) {
        expect(error).toMatchObject({
          failures: [{ code: "out-of-memory", reason: expect.stringMatching(`^${bytes} bytes`) }],
        });
      } else expect(error).toBeInstanceOf(ChecksumError);
    },
  );

  test("compiles where there is no streaming, and from a server with other content types", async () => {
    const { made, fetch } = await served();
    const untyped: Fetch = async (url, init) => new Response((await fetch(url, init)).body);
    expect((await load(BASE, { ...wasm, fetch: untyped })).backend).toBe("wasm");
    vi.spyOn(WebAssembly, "compileStreaming").mockRejectedValue(new Error("no"));
    expect((await load(BASE, { ...wasm, fetch: packageFetch(made) })).backend).toBe("wasm");
  });

  test("gets no memory", async () => {
    vi.spyOn(WebAssembly, "Memory").mockImplementation(function refuse() {
      throw new RangeError("could not allocate memory");
    });
    const { fetch } = await served();
    const error = await rejection(load(BASE, { ...wasm, fetch }));
    expect(error).toMatchObject({
      failures: [
        { code: "out-of-memory", reason: expect.stringMatching(/1 MiB.*could not allocate/) },
      ],
    });
  });

  async function loadWithModule(content: Uint8Array): Promise<unknown> {
    const made = await makePackage({ webgpu: false });
    const [module] = made.manifest.backends.wasm.modules;
    Object.assign(module, { bytes: content.length, features: [] });
    made.files.set(module.file, content);
    return rejection(load(BASE, { ...wasm, fetch: packageFetch(made), verify: false }));
  }
});

describe("checksums", () => {
  test.each([["wasm/weights-0.bin"], ["wasm/weights-1.bin"], ["module"]])(
    "a changed byte in %s",
    async (which) => {
      const { made, fetch } = await served();
      // The module that this engine takes is not known beforehand: change both.
      for (const [name, content] of made.files) {
        if (which === "module" ? name.endsWith(".wasm") : name === which) {
          const copy = content.slice();
          copy[copy.length - 1] = (copy.at(-1) as number) ^ 1;
          made.files.set(name, copy);
        }
      }
      // Another back end may not step in for a damaged package.
      const error = await rejection(load(BASE, { ...wasm, fetch, backends: ["wasm", "webgpu"] }));
      expect(error).toBeInstanceOf(ChecksumError);
      expect(error).toMatchObject({
        code: "checksum-mismatch",
        message: expect.stringMatching(/its XXH32 is \w+, not/),
      });
      if (which !== "module") {
        expect((await load(BASE, { ...wasm, fetch, verify: false })).backend).toBe("wasm");
      }
    },
  );

  test.each([
    [599, /has 599 bytes, not 600 bytes/],
    [601, /has more than 600 bytes/],
  ])("a file of %i bytes in place of 600", async (size, problem) => {
    const { made, fetch } = await served();
    made.files.set("wasm/weights-0.bin", new Uint8Array(size));
    const error = await rejection(load(BASE, { ...wasm, fetch, verify: false }));
    expect(error).toMatchObject({ code: "checksum-mismatch", message: problem });
  });
});

describe("downloads", () => {
  test("report their progress", async () => {
    const { made, fetch } = await served();
    const progress: Progress[] = [];
    await load(BASE, { ...wasm, fetch, onProgress: (p) => progress.push(p) });
    const module = fetch.requests.find((path) => path.endsWith(".wasm")) as string;
    const total = (made.files.get(module) as Uint8Array).length + 912;
    expect(progress[0]).toEqual({ backend: "wasm", loaded: 0, total });
    expect(progress.at(-1)).toEqual({ backend: "wasm", loaded: total, total });
    const loaded = progress.map((p) => p.loaded);
    expect(loaded).toEqual([...loaded].sort((a, b) => a - b));
  });

  test("run at the same time", async () => {
    const { fetch } = await served();
    let [open, most] = [0, 0];
    const slow: Fetch = async (url, init) => {
      most = Math.max(most, ++open);
      await new Promise((resolve) => setTimeout(resolve, 10));
      open--;
      return fetch(url, init);
    };
    await load(BASE, { ...wasm, fetch: slow });
    expect(most).toBe(3);
  });

  test("that fail stop the others", async () => {
    const { fetch } = await served();
    const aborted: string[] = [];
    const failing: Fetch = (url, init) => {
      if (url.endsWith("weights-0.bin")) return Promise.reject(new TypeError("offline"));
      if (url.endsWith("model.json")) return fetch(url, init);
      return new Promise((_, reject) => {
        init.signal.addEventListener("abort", () => {
          aborted.push(url);
          reject(init.signal.reason);
        });
      });
    };
    const error = await rejection(load(BASE, { ...wasm, fetch: failing }));
    expect(error).toMatchObject({
      code: "download-failed",
      message: expect.stringMatching(/weights-0.bin: offline/),
    });
    expect(aborted).toHaveLength(2);
  });

  test("that break off in the middle", async () => {
    const { fetch } = await served();
    const breaking: Fetch = async (url, init) => {
      const response = await fetch(url, init);
      if (!url.endsWith("weights-0.bin")) return response;
      let pulls = 0;
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (pulls++ > 0) controller.error(new TypeError("connection reset"));
          else controller.enqueue(new Uint8Array(10));
        },
      });
      return new Response(body);
    };
    expect(await rejection(load(BASE, { ...wasm, fetch: breaking }))).toMatchObject({
      code: "download-failed",
      message: expect.stringMatching(/connection reset/),
    });
  });

  test("by a function that gives no Response", async () => {
    for (const nothing of [undefined, "text"]) {
      const broken = (async () => nothing) as unknown as Fetch;
      expect(await rejection(load(BASE, { fetch: broken }))).toMatchObject({
        code: "download-failed",
        message: expect.stringMatching(/model.json: fetch gave no Response/),
      });
    }
  });

  test("answered with an error, or with what is not JSON", async () => {
    const { made, fetch } = await served();
    made.files.delete("wasm/weights-1.bin");
    const error = await rejection(load(BASE, { ...wasm, fetch }));
    expect(error).toMatchObject({
      code: "download-failed",
      status: 404,
      message: expect.stringMatching(/404 Not Found/),
    });
    const page: Fetch = async () => new Response("<!doctype html>");
    expect(await rejection(load(BASE, { fetch: page }))).toMatchObject({
      code: "download-failed",
      message: expect.stringMatching(/is not JSON/),
    });
  });

  test("answered with JSON that is nested too deeply", async () => {
    const { made } = await served();
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    const manifest = { ...made.manifest, name: "name" };
    for (const json of [
      deep,
      deep.slice(0, 200_000),
      JSON.stringify(manifest).replace('"name":"name"', `"name":${deep}`),
    ]) {
      const error = await rejection(load(BASE, { fetch: async () => new Response(json) }));
      expect((error as WebDNNError).code).toMatch(/download-failed|manifest-invalid/);
    }
  });
});

describe("aborting", () => {
  test("before loading", async () => {
    const { fetch } = await served();
    const error = await rejection(load(BASE, { fetch, signal: AbortSignal.abort("bored") }));
    expect(error).toBeInstanceOf(AbortedError);
    expect(error).toMatchObject({ code: "aborted", cause: "bored" });
    expect(fetch.requests).toEqual([]);
  });

  test.each(["model.json", "weights-0.bin", "weights-1.bin"])("while %s is read", async (file) => {
    const { fetch } = await served();
    const controller = new AbortController();
    const aborting: Fetch = (url, init) => {
      if (url.endsWith(file)) controller.abort();
      return fetch(url, init);
    };
    const { signal } = controller;
    // No other back end is tried then.
    const error = await rejection(
      load(BASE, { ...wasm, fetch: aborting, signal, backends: ["wasm", "webgpu"] }),
    );
    expect(error).toBeInstanceOf(AbortedError);
  });

  test("while local files are read", async () => {
    const folder = await mkdtemp(join(tmpdir(), "webdnn-test-"));
    try {
      await writePackage(folder, await makePackage());
      const controller = new AbortController();
      const onProgress = () => controller.abort();
      const error = await rejection(
        load(folder, { ...wasm, onProgress, signal: controller.signal }),
      );
      expect(error).toBeInstanceOf(AbortedError);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("after loading changes nothing", async () => {
    const { fetch } = await served();
    const controller = new AbortController();
    const model = await load(BASE, { ...wasm, fetch, signal: controller.signal });
    controller.abort();
    expect(Object.keys(await model.run({ x: sampleInput() }))).toEqual(["y"]);
  });
});

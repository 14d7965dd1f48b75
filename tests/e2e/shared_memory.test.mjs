// One thread in a page that may share memory: a worker writes the weights straight into the model's memory.
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { bundle } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { expected, makePackage, sampleInput, writePackage } from "./fixture.mjs";
import { serve } from "./server.mjs";

/** Sets `run(options)`: what becomes of a model, or of its loading, as JSON. */
const PAGE_SCRIPT = `
import { load } from "/runtime.js";

const failed = ({ name, code, message, cause }) => ({ name, code, message, cause: cause && String(cause) });

globalThis.run = async ({ x, end, own, ...options }) => {
  const controller = new AbortController();
  const progress = [];
  try {
    const model = await load("package", {
      ...options, backends: ["wasm"], threads: 1, signal: controller.signal, onProgress: (p) => progress.push(p.loaded),
      ...(own ? { fetch: (url, init) => fetch(url, init) } : {}),
    });
    const running = model.run({ x: Float32Array.from(x) });
    running.catch(() => undefined);
    if (end) await fetch("/held");
    if (end === "abort") controller.abort("bored");
    if (end === "dispose") model.dispose();
    const arrived = await model.arrived.then(() => undefined, failed);
    const { y } = await running;
    return { y: Array.from(y), own: y.buffer instanceof ArrayBuffer, threads: model.threads, progress, arrived };
  } catch (error) {
    return failed(error);
  }
};
`;
const PAGE =
  "<!doctype html><title>shared memory</title><script type=module src=/page.js></script>";

/** @type {string} */
let root;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {{ code: string, worker: string }} */
let runtime;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "webdnn-shared-"));
  runtime = await bundle();
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await rm(root, { recursive: true, force: true });
});

/**
 * Serve a package and call the page's `run`.
 *
 * @param {{ make?: import("./fixture.mjs").FixtureOptions, change?: (files: Map<string, Uint8Array>) => void,
 *   held?: string, without?: string, [option: string]: unknown }} [options] `held` is a file that is never sent
 * @returns {Promise<any>}
 */
async function runInPage({ make = { threads: true }, change, held, without, ...options } = {}) {
  const folder = await mkdtemp(join(root, "package-"));
  const made = await makePackage({ webgpu: false, prepare: true, ...make });
  change?.(made.files);
  await writePackage(folder, made);
  const files = {
    ...{ "/": PAGE, "/page.js": PAGE_SCRIPT, "/held": "" },
    ...{ "/runtime.js": runtime.code, "/worker.js": runtime.worker },
  };
  let isAskedFor = () => {};
  const asked = new Promise((resolve) => {
    isAskedFor = () => resolve(undefined);
  });
  const server = await serve({
    files: Object.fromEntries(Object.entries(files).filter(([path]) => path !== without)),
    folders: { "/package/": folder },
    delay: async (path) => {
      if (path === "/held") await asked;
      if (held === undefined || path !== `/package/${held}`) return;
      isAskedFor();
      await new Promise(() => {});
    },
  });
  const page = await browser.newPage();
  try {
    await page.goto(`${server.origin}/`, { waitUntil: "load" });
    const result = await page.evaluate(
      // @ts-expect-error the page's script sets it
      (given) => globalThis.run(given),
      { ...options, x: Array.from(sampleInput()) },
    );
    return { ...result, served: server.served.map(({ path }) => path) };
  } finally {
    await page.close();
    await server.close();
  }
}

const THREADED = "/package/wasm/threads-simd128.wasm";

/** @param {any} result */
function assertRight(result) {
  assert.equal(result.message, undefined);
  assert.equal(result.threads, 1);
  assert.equal(result.own, true, "outputs are the caller's own");
  for (const [i, v] of expected(sampleInput()).entries()) {
    assert.ok(Math.abs(result.y[i] - v) <= 1e-5, `element ${i} is ${result.y[i]}, not ${v}`);
  }
}

for (const complete of [true, false]) {
  test(`results and progress, complete: ${complete}`, async () => {
    const result = await runInPage({ complete });
    assertRight(result);
    assert.ok(result.served.includes(THREADED));
    assert.ok(result.served.includes("/worker.js"));
    assert.ok(
      result.progress.every(
        (/** @type {number} */ n, /** @type {number} */ i, /** @type {number[]} */ all) =>
          n >= (all[i - 1] ?? 0),
      ),
    );
  });
}

test("a first run that comes before the launches at load", async () => {
  assertRight(await runInPage({ complete: false, make: { threads: true, firstRun: true } }));
});

test("the page itself writes there if the worker's script is missing", async () => {
  const result = await runInPage({ without: "/worker.js" });
  assertRight(result);
  assert.ok(result.served.includes(THREADED));
});

test("memory is not shared where no worker writes, or the package has no module for that", async () => {
  for (const options of [{ own: true }, { make: {} }]) {
    const result = await runInPage(options);
    assertRight(result);
    assert.ok(!result.served.includes(THREADED));
  }
});

test("weights that are missing, not whole, too long or wrong are errors", async () => {
  const shard = "wasm/weights-1.bin";
  for (const complete of [true, false]) {
    const result = (
      /** @type {(files: Map<string, Uint8Array>, content: Uint8Array) => void} */ f,
    ) =>
      runInPage({
        complete,
        change: (files) => f(files, /** @type {Uint8Array} */ (files.get(shard))),
      });
    const missing = await result((files) => files.delete(shard));
    assert.equal(missing.code, "download-failed");
    assert.match(missing.message, /weights-1\.bin: the server answered 404/);
    const cases = {
      "has 100 bytes, not": (/** @type {Uint8Array} */ content) => content.slice(0, 100),
      "has more than": (/** @type {Uint8Array} */ content) => new Uint8Array(content.length + 1),
      "its XXH32 is": (/** @type {Uint8Array} */ content) => content.slice().fill(1),
    };
    for (const [problem, change] of Object.entries(cases)) {
      const wrong = await result((files, content) => files.set(shard, change(content)));
      assert.equal(wrong.code, "checksum-mismatch");
      assert.ok(wrong.message.includes(`weights-1.bin: ${problem}`), wrong.message);
    }
  }
});

test("an abort and a disposal end a load whose weights are on their way", async () => {
  const held = "wasm/weights-1.bin";
  const aborted = await runInPage({ held, end: "abort", complete: false });
  assert.deepEqual([aborted.code, aborted.cause], ["aborted", "bored"]);
  const disposed = await runInPage({ held, end: "dispose", complete: false });
  assert.equal(disposed.code, "disposed");
});

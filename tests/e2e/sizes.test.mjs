// Attention with a cache, compiled once for ranges of sizes by `webdnn compile`, in a browser on both back ends: runs of
// three sizes, each of which gets the cache that the one before gave, beside ONNX Runtime's results.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { promisify } from "node:util";
import { bundle } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { serve } from "./server.mjs";

const run = promisify(execFile);

const WIDTH = 16;
/** Of x in each run: ragged, the least and the greatest. */
const LENGTHS = [5, 1, 32];

const MAKE_MODEL = `
import json
import numpy as np, onnx, onnxruntime
from onnx import numpy_helper
text = '''<ir_version: 10, opset_import: ["" : 18]>
attention (float[seq, ${WIDTH}] x, float[past, ${WIDTH}] past) => (float[seq, ${WIDTH}] y, float[total, ${WIDTH}] present) {
    new = MatMul(x, w)
    present = Concat <axis = 0> (past, new)
    keys = Transpose <perm = [1, 0]> (present)
    scores = MatMul(x, keys)
    weights = Softmax <axis = -1> (scores)
    y = MatMul(weights, present)
}'''
model = onnx.parser.parse_model(text)
rng = np.random.default_rng(0)
w = rng.standard_normal((${WIDTH}, ${WIDTH})).astype(np.float32) / 4
model.graph.initializer.append(numpy_helper.from_array(w, "w"))
onnx.save(model, "attention.onnx")
session = onnxruntime.InferenceSession("attention.onnx")
past, runs = np.zeros((0, ${WIDTH}), np.float32), []
for length in ${JSON.stringify(LENGTHS)}:
    x = rng.standard_normal((length, ${WIDTH})).astype(np.float32)
    y, past = session.run(["y", "present"], {"x": x, "past": past})
    values = {"x": x, "y": y, "present": past}
    runs.append({name: {"data": a.ravel().tolist(), "dims": a.shape} for name, a in values.items()})
with open("runs.json", "w") as file:
    json.dump(runs, file)
`;

const PAGE_SCRIPT = `
import { load } from "/runtime.js";

const tensor = ({ data, dims }) => ({ data: Float32Array.from(data), dims });

async function results(backend, runs) {
  const model = await load("/package/", { backends: [backend] });
  const found = [];
  let past = { data: new Float32Array(0), dims: [0, ${WIDTH}] };
  for (const { x } of runs) {
    const { y, present } = await model.run({ x: tensor(x), past });
    found.push({ y: { data: [...y], dims: y.dims }, present: { data: [...present], dims: present.dims } });
    past = present;
  }
  const tooLong = { data: new Float32Array(33 * ${WIDTH}), dims: [33, ${WIDTH}] };
  const error = await model.run({ x: tooLong, past }).then(() => "none", (error) => error.message);
  model.dispose();
  return { found, error, backend: model.backend };
}

globalThis.results = results;
`;

/** @typedef {{ data: number[], dims: number[] }} Tensor */

describe("runs of several sizes", () => {
  /** @type {string} */
  let folder;
  /** @type {import("playwright-core").Browser} */
  let browser;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "webdnn-sizes-"));
    browser = await launchBrowser();
    await writeFile(join(folder, "make.py"), MAKE_MODEL);
    await run("python", ["make.py"], { cwd: folder });
    const dims = ["--dim", "seq=1..32@1", "--dim", "past=0..64@16"];
    await run("webdnn", ["compile", "attention.onnx", ...dims, "--no-state", "-o", "package"], {
      cwd: folder,
    });
  });
  after(async () => {
    await browser?.close();
    await rm(folder, { recursive: true, force: true });
  });

  for (const backend of ["wasm", "webgpu"]) {
    test(backend, async () => {
      /** @type {Record<"x" | "y" | "present", Tensor>[]} */
      const runs = JSON.parse(await readFile(join(folder, "runs.json"), "utf8"));
      const { code: runtime, worker } = await bundle();
      const { origin, close } = await serve({
        files: {
          "/index.html":
            "<!doctype html><title>sizes</title><script type=module src=/page.js></script>",
          "/page.js": PAGE_SCRIPT,
          "/runtime.js": runtime,
          "/worker.js": worker,
        },
        folders: { "/package/": join(folder, "package") },
      });
      const tab = await browser.newPage();
      try {
        await tab.goto(`${origin}/index.html`);
        await tab.waitForFunction(() => "results" in globalThis, undefined, { timeout: 30_000 });
        const call = `globalThis.results(${JSON.stringify(backend)}, ${JSON.stringify(runs)})`;
        const { found, error, backend: used } = /** @type {any} */ (await tab.evaluate(call));
        assert.equal(used, backend);
        for (const [i, expected] of runs.entries()) {
          for (const name of /** @type {const} */ (["y", "present"])) {
            const { data, dims } = /** @type {Tensor} */ (found[i][name]);
            assert.deepEqual(dims, expected[name].dims, `${name} of run ${i}`);
            assert.equal(data.length, expected[name].data.length);
            for (const [j, wanted] of expected[name].data.entries())
              assert(
                Math.abs((data[j] ?? Number.NaN) - wanted) < 1e-4,
                `${name}[${j}] of run ${i}`,
              );
          }
        }
        assert.equal(error, 'input "x" has 33 for seq (dimension 0): it can be 1 to 32');
      } finally {
        await tab.close();
        await close();
      }
    });
  }
});

// A decoder with a cache, compiled by `webdnn compile`, through the runtime: 20 steps against the same in plain JavaScript, in
// Node and in a browser, on both back ends and on any number of threads.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { bundle } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { serve } from "./server.mjs";

const run = promisify(execFile);

const MAKE_MODEL = `
import onnx
text = '''<ir_version: 10, opset_import: ["" : 21]>
decoder (float[1, s, 4] q, float[1, s, 4] k, float[1, past, 4] past_key, int64[2] count)
  => (float[1, s, 4] y, float[1, total, 4] present_key, int64[2] count_out) {
  present_key = Concat<axis = 1>(past_key, k)
  t = Transpose<perm = [0, 2, 1]>(present_key)
  scores = MatMul(q, t)
  p = Softmax<axis = -1>(scores)
  y = MatMul(p, present_key)
  one = Constant<value_ints = [4294967297]>()
  count_out = Add(count, one)
}'''
onnx.save(onnx.parser.parse_model(text), "decoder.onnx")
`;

/** What a page and Node do alike; it is a file of its own, because the content security policy forbids inline scripts. */
const SCRIPT = `
const tokens = (seed, count) => {
  let state = seed;
  return Float32Array.from({ length: count * 4 }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
};

/** One row of attention over all rows of keys. */
const attend = (q, keys) => {
  const rows = keys.length / 4;
  const dot = (i) => [0, 1, 2, 3].reduce((sum, c) => sum + q[c] * keys[4 * i + c], 0);
  const weights = Array.from({ length: rows }, (_, i) => Math.exp(dot(i)));
  const total = weights.reduce((a, b) => a + b);
  return [0, 1, 2, 3].map((c) => weights.reduce((sum, w, i) => sum + (w / total) * keys[4 * i + c], 0));
};

const check = (condition, what) => {
  if (!condition) throw new Error(what);
};

class Sequence {
  constructor(model, seed, state) {
    Object.assign(this, { model, seed, state, keys: [] });
  }
  async step(count = 1) {
    const q = tokens(this.seed++, count);
    const k = tokens(this.seed++, count);
    const dims = [1, count, 4];
    const inputs = { q: { data: q, dims }, k: { data: k, dims } };
    const { y, ...others } = await this.model.run(inputs, this.state ? { state: this.state } : {});
    check(Object.keys(others).length === 0, "a state is an output");
    this.keys.push(...k);
    check(y.length === q.length, "y is of another length");
    const expected = Array.from({ length: count }, (_, i) => attend(q.slice(4 * i, 4 * i + 4), this.keys)).flat();
    for (const [i, value] of expected.entries())
      check(Math.abs(y[i] - value) < 1e-4, "y[" + i + "] is " + y[i] + ", not " + value + " after " + this.keys.length / 4);
  }
}

export async function runStates(load, url, options) {
  const model = await load(url, options);
  check(model.inputs.map((t) => t.name).join() === "q,k", "other inputs");
  check(model.states.map((t) => t.input).join() === "past_key,count", "other states");
  const first = new Sequence(model, 1);
  for (let i = 0; i < 20; i++) await first.step(i === 4 ? 3 : 1);
  const kept = await model.getState();
  check(kept.past_key.dims.join() === "1,22,4", "dims are " + kept.past_key.dims);
  check(kept.past_key.data.every((x, i) => x === first.keys[i]), "another cache");
  check(kept.count.data.join() === [20n, 20n].map((n) => n * 4294967297n).join(), "counts " + kept.count.data);
  // Several states.
  const second = new Sequence(model, 100, model.createState());
  for (let i = 0; i < 3; i++) {
    await second.step(2);
    await first.step();
  }
  // Too much.
  const error = await first.step(8).catch((e) => e);
  check(error.code === "out-of-range" && /"past_key".*25 of past.*33.*32/.test(error.message), String(error));
  const wrong = await model.run({ q: tokens(1, 1), k: tokens(1, 1), past_key: tokens(1, 1) }).catch((e) => e);
  check(wrong.code === "unknown-input", String(wrong));
  await first.step(7 - 4);
  // Back to what it was, and to nothing.
  await model.setState(kept);
  first.keys = first.keys.slice(0, 22 * 4);
  await first.step();
  await model.reset();
  first.keys = [];
  await first.step(2);
  check((await model.getState()).count.data.join() === "4294967297,4294967297", "a count that was not reset");
  await second.step();
  const short = await model.setState({ past_key: kept.past_key }).catch((e) => e);
  check(short.code === "missing-input", String(short));
  // Runs that were asked for together.
  const states = [1, 2].map((n) => new Sequence(model, 1000 * n, model.createState()));
  for (let i = 0; i < 3; i++) await Promise.all(states.map((s) => s.step()));
  const { backend, threads } = model;
  model.dispose();
  return { backend, threads };
}
`;

/** @type {string} */
let folder;

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "webdnn-states-"));
  await writeFile(join(folder, "make.py"), MAKE_MODEL);
  await run("python", ["make.py"], { cwd: folder });
  const dims = ["--dim", "past=0..32@8", "--dim", "s=1..8@1"];
  const states = ["--state", "past_key=present_key", "--state", "count=count_out"];
  const { stdout } = await run(
    "webdnn",
    ["compile", "decoder.onnx", "-o", "decoder", ...dims, ...states],
    { cwd: folder },
  );
  assert.match(stdout, /present_key is past_key in the next run/);
  const { code, worker } = await bundle();
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
  await writeFile(join(folder, "index.js"), code);
  await writeFile(join(folder, "worker.js"), worker);
  await writeFile(join(folder, "script.js"), SCRIPT);
});

after(() => rm(folder, { recursive: true }));

for (const threads of [1, 2]) {
  test(`Node keeps states on ${threads} threads`, async () => {
    const { load } = await import(pathToFileURL(join(folder, "index.js")).href);
    const { runStates } = await import(pathToFileURL(join(folder, "script.js")).href);
    const options = { backends: ["wasm"], threads };
    const found = await runStates(load, join(folder, "decoder"), options);
    assert.deepEqual(found, { backend: "wasm", threads });
  });
}

for (const [backend, threads] of /** @type {const} */ ([
  ["wasm", 1],
  ["wasm", 2],
  ["webgpu", 1],
])) {
  test(`a browser keeps states with ${backend} on ${threads} threads`, async () => {
    const { code, worker } = await bundle();
    const page_script = `import { load } from "/runtime.js"; import { runStates } from "/script.js";
      globalThis.states = (options) => runStates(load, "/package/", options);`;
    const server = await serve({
      files: {
        "/": "<!doctype html><title>states</title><script type=module src=/page.js></script>",
        "/page.js": page_script,
        "/script.js": SCRIPT,
        "/runtime.js": code,
        "/worker.js": worker,
        "/favicon.ico": "",
      },
      folders: { "/package/": join(folder, "decoder") },
    });
    const browser = await launchBrowser({ webgpu: backend === "webgpu" });
    try {
      const page = await browser.newPage();
      await page.goto(`${server.origin}/`, { waitUntil: "load" });
      const found = await page.evaluate(
        // @ts-expect-error the page's script sets it
        (options) => globalThis.states(options),
        { backends: [backend], threads },
      );
      assert.deepEqual(found, { backend, threads });
    } finally {
      await browser.close();
      await server.close();
    }
  });
}

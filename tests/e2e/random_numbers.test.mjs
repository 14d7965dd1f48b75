// A sampler as variational autoencoders have it, compiled by `webdnn compile`, in a browser: with one seed it draws what
// `webdnn run` does, on both back ends and on any number of threads.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { runPackage } from "./run_package.mjs";

const run = promisify(execFile);

/** Images of black and white dots, from the means and deviations that an encoder gives of x, which is 0 here. */
const MAKE_MODEL = `
import numpy as np, onnx
from onnx import numpy_helper
text = '''<ir_version: 10, opset_import: ["" : 21]>
sampler (float[3, 33] x) => (float[3, 8] z, float[3, 500] dots) {
    mean = Gemm(x, to_mean, mean_bias)
    log_variance = Gemm(x, to_variance, variance_bias)
    half = Constant <value_float = 0.5> ()
    halved = Mul(log_variance, half)
    deviation = Exp(halved)
    noise = RandomNormalLike(mean)
    scaled = Mul(noise, deviation)
    z = Add(mean, scaled)
    logits = MatMul(z, decoder)
    chances = Sigmoid(logits)
    dots = Bernoulli(chances)
}'''
model = onnx.parser.parse_model(text)
rng = np.random.default_rng(0)
for name, shape in (("to_mean", (33, 8)), ("mean_bias", (8,)), ("to_variance", (33, 8)), ("variance_bias", (8,)), ("decoder", (8, 500))):
    model.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
onnx.save(model, "sampler.onnx")
np.save("x.npy", np.zeros((3, 33), np.float32))
`;

/** @type {string} */
let folder;
/** @type {Float32Array[]} */
let expected;

/** @param {Buffer} bytes @param {number} offset */
const floats = (bytes, offset = 0) =>
  new Float32Array(bytes.buffer.slice(bytes.byteOffset + offset, bytes.byteOffset + bytes.length));

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "webdnn-random-"));
  await writeFile(join(folder, "make.py"), MAKE_MODEL);
  await run("python", ["make.py"], { cwd: folder });
  await run("webdnn", ["compile", "sampler.onnx", "-o", "sampler"], { cwd: folder });
  const options = ["--input", "x=x.npy", "--seed", "12", "-o", "expected"];
  await run("webdnn", ["run", "sampler", ...options], { cwd: folder });
  expected = await Promise.all(
    ["z", "dots"].map(async (name) => {
      const bytes = await readFile(join(folder, "expected", `${name}.npy`));
      return floats(bytes, 10 + bytes.readUInt16LE(8)); // behind the header of the file
    }),
  );
});

after(() => rm(folder, { recursive: true }));

/**
 * @param {"wasm" | "webgpu"} backend
 * @param {{ seed?: number, threads?: number }} options
 * @returns the outputs
 */
async function outputs(backend, options) {
  const out = join(folder, "out");
  await runPackage({
    packageDir: join(folder, "sampler"),
    backend,
    outputs: out,
    repeat: 0,
    ...options,
  });
  return Promise.all([0, 1].map(async (i) => floats(await readFile(join(out, `${i}.bin`)))));
}

for (const [backend, threads] of /** @type {const} */ ([
  ["wasm", 1],
  ["wasm", 2],
  ["webgpu", undefined],
])) {
  test(`the numbers of a seed on ${backend}${threads ? `, ${threads} threads` : ""}`, async () => {
    const [z, dots] = await outputs(backend, { seed: 12, ...(threads && { threads }) });
    assert.equal(z?.length, 24);
    for (const [i, wanted] of (expected[0] ?? []).entries())
      assert(Math.abs((z[i] ?? Number.NaN) - wanted) < 1e-5, `z[${i}] is ${z[i]}, not ${wanted}`);
    assert.deepEqual(dots, expected[1]);
  });
}

test("other seeds, and runs without one, draw others", async () => {
  const found = [expected];
  for (const options of [{ seed: 13 }, {}, {}]) found.push(await outputs("wasm", options));
  assert.equal(new Set(found.map(([z]) => String(z))).size, found.length);
});

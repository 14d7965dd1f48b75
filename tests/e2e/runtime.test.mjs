// The runtime in a real browser, under a strict content security policy: npm run test:e2e in runtime-ts.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { bundle } from "../../runtime-ts/build.mjs";
import { launchBrowser } from "./browser.mjs";
import { expected, GPU_DTYPES, makePackage, sampleInput, writePackage } from "./fixture.mjs";
import { serve } from "./server.mjs";

/** Sets `run(backends, options)`, which gives all that can be told of a model as JSON. */
const PAGE_SCRIPT = `
import { load } from "/runtime.js";

const COPIED = {
  float16: Uint16Array.of(0, 0x3c00, 0xc000, 0x7bff, 1),
  float32: Float32Array.of(0, -1.5, 3e38, 1e-20, 1),
  int8: Int8Array.of(0, -128, 127, 1, -1),
  int16: Int16Array.of(0, -32768, 32767, 1, -1),
  int32: Int32Array.of(0, -(2 ** 31), 2 ** 31 - 1, 1, -1),
  int64: BigInt64Array.of(0n, -(2n ** 31n), 2n ** 31n - 1n, 1n, -1n),
  uint8: Uint8Array.of(0, 255, 128, 1, 2),
  uint16: Uint16Array.of(0, 65535, 32768, 1, 2),
  uint32: Uint32Array.of(0, 2 ** 32 - 1, 2 ** 31, 1, 2),
  uint64: BigUint64Array.of(0n, 2n ** 32n - 1n, 2n ** 31n, 1n, 2n),
  bool: Uint8Array.of(0, 1, 1, 0, 1),
};
const hex = (array) =>
  Array.from(new Uint8Array(array.buffer, array.byteOffset, array.byteLength), (b) => b.toString(16).padStart(2, "0")).join("");
const failed = (error) => ({ name: error.name, code: error.code, message: error.message });

globalThis.run = async ({ url, backends, x, spoil, threads, complete }) => {
  try {
    const progress = [];
    const model = await load(url, { backends, threads, complete, onProgress: (p) => progress.push(p) });
    const inputs = { x: Float32Array.from(x) };
    for (const { name, dtype } of model.inputs) if (name !== "x") inputs[name] = COPIED[dtype];
    Object.assign(inputs, spoil && { in_int64: BigInt64Array.of(0n, 0n, 0n, 0n, 2n ** 31n) });
    const negated = { ...inputs, x: inputs.x.map((v) => -v) };
    const [first, second] = await Promise.all([model.run(inputs), model.run(negated)]);
    const copies = Object.keys(COPIED)
      .filter((dtype) => first["out_" + dtype])
      .map((dtype) => ({ dtype, given: hex(COPIED[dtype]), got: hex(first["out_" + dtype]) }));
    const profile = await model.profile(inputs);
    const profiledY = Array.from(profile.outputs.y);
    delete profile.outputs;
    const waiting = model.run(inputs).catch(failed);
    model.dispose();
    const disposed = [await waiting, await model.run(inputs).catch(failed)];
    return {
      backend: model.backend, threads: model.threads, isolated: crossOriginIsolated, failures: model.failures.map(({ backend, code, reason }) => ({ backend, code, reason })),
      y: Array.from(first.y), negatedY: Array.from(second.y), profiledY, copies, profile, disposed, last: progress.at(-1),
    };
  } catch (error) {
    return failed(error);
  }
};
`;

const PAGE = "<!doctype html><title>runtime</title><script type=module src=/page.js></script>";

/** @type {string} */
let root;
/** @type {import("playwright-core").Browser} */
let browser;
/** @type {string} */
let code;
/** @type {string} */
let worker;

before(async () => {
  root = await mkdtemp(join(tmpdir(), "webdnn-e2e-"));
  ({ code, worker } = await bundle());
  browser = await launchBrowser();
});

after(async () => {
  await browser?.close();
  await rm(root, { recursive: true, force: true });
});

/**
 * Write a package, serve it and call the page's `run`.
 *
 * @param {{ make?: import("./fixture.mjs").FixtureOptions, backends?: string[], spoil?: boolean, origin?: string,
 *   policy?: string, threads?: number, complete?: boolean, isolated?: boolean, without?: string, twice?: boolean, in?: import("playwright-core").Browser, change?: (made: any) => void }} options
 * @returns {Promise<any>}
 */
async function runInPage({
  make,
  backends,
  spoil,
  policy,
  threads = 1,
  complete = true,
  isolated = true,
  without,
  twice,
  in: where = browser,
  change,
}) {
  const folder = await mkdtemp(join(root, "package-"));
  const made = await makePackage(make);
  change?.(made);
  await writePackage(folder, made);
  const files = {
    ...{ "/": PAGE, "/page.js": PAGE_SCRIPT, "/runtime.js": code, "/worker.js": worker },
    "/favicon.ico": "",
  };
  const server = await serve({
    files: Object.fromEntries(Object.entries(files).filter(([path]) => path !== without)),
    folders: { "/package/": folder },
    isolated,
    ...(policy === undefined ? {} : { policy }),
  });
  const page = await where.newPage();
  try {
    /** @type {string[]} */
    const complaints = [];
    page.on("pageerror", (error) => complaints.push(error.message));
    /** @type {string[]} */
    const warnings = [];
    page.on("console", (message) => {
      if (message.type() === "error") complaints.push(message.text());
      if (message.type() === "warning") warnings.push(message.text());
    });
    await page.goto(`${server.origin}/`, { waitUntil: "load" });
    const runOnce = () =>
      page.evaluate(
        // @ts-expect-error the page's script sets it
        (options) => globalThis.run(options),
        { url: "package", backends, spoil, threads, complete, x: Array.from(sampleInput()) },
      );
    if (twice) await runOnce();
    const result = await runOnce();
    return { ...result, complaints, warnings, served: server.served.map(({ path }) => path) };
  } finally {
    await page.close();
    await server.close();
  }
}

/** @param {readonly number[]} found @param {Float32Array} wanted */
function assertClose(found, wanted) {
  assert.equal(found.length, wanted.length);
  for (const [i, v] of wanted.entries()) {
    assert.ok(
      Math.abs((found[i] ?? Number.NaN) - v) <= 1e-5,
      `element ${i} is ${found[i]}, not ${v}`,
    );
  }
}

for (const backend of ["webgpu", "wasm"]) {
  test(`${backend}: results, every element type, profile, disposal`, {
    timeout: 120_000,
  }, async () => {
    const result = await runInPage({
      make: { dtypes: GPU_DTYPES, prepare: true },
      backends: [backend],
    });
    assert.equal(result.message, undefined);
    assert.deepEqual(result.complaints, []);
    assert.equal(result.backend, backend);
    const x = sampleInput();
    assertClose(result.y, expected(x));
    assertClose(result.profiledY, expected(x));
    assertClose(result.negatedY, expected(x.map((v) => -v)));
    assert.equal(result.copies.length, GPU_DTYPES.length);
    for (const { dtype, given, got } of result.copies) assert.equal(got, given, dtype);
    assert.deepEqual(
      result.profile.launches.slice(0, 2).map((/** @type {any} */ l) => l.label),
      [["Mul_0", "Add_1"], ["Relu_2"]],
    );
    for (const { milliseconds } of result.profile.launches) assert.ok(milliseconds >= 0);
    for (const error of result.disposed) assert.equal(error.code, "disposed");
    assert.equal(result.last.loaded, result.last.total);
    const other = backend === "wasm" ? "/package/webgpu/" : "/package/wasm/";
    assert.ok(!result.served.some((/** @type {string} */ path) => path.startsWith(other)));
  });
}

test("wasm: threads share the work, under a strict policy", async () => {
  const make = { dtypes: GPU_DTYPES, threads: true };
  const result = await runInPage({ make, backends: ["wasm"], threads: 3 });
  assert.equal(result.message, undefined);
  assert.equal(result.threads, 3);
  assert.deepEqual([...result.complaints, ...result.warnings], []);
  const x = sampleInput();
  assertClose(result.y, expected(x));
  assertClose(result.profiledY, expected(x));
  assertClose(result.negatedY, expected(x.map((v) => -v)));
  for (const { dtype, given, got } of result.copies) assert.equal(got, given, dtype);
  for (const error of result.disposed) assert.equal(error.code, "disposed");
  assert.ok(result.served.includes("/package/wasm/threads-simd128.wasm"));
});

test("wasm: one thread where a page is not isolated, and the console says so once", async () => {
  const make = { threads: true };
  const options = { make, backends: ["wasm"], threads: 2, isolated: false, twice: true };
  const result = await runInPage(options);
  assert.deepEqual([result.isolated, result.threads], [false, 1]);
  assertClose(result.y, expected(sampleInput()));
  assert.equal(result.warnings.length, 1);
  assert.match(result.warnings[0], /one thread.*not cross-origin isolated.*Cross-Origin-Opener/);
  assert.ok(!result.served.some((/** @type {string} */ path) => path.includes("threads")));
  // A worker reads the weights all the same.
  assert.ok(result.served.includes("/worker.js"));
});

test("wasm: one thread where the script of the threads is missing, or a policy forbids it", async () => {
  const policy =
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; connect-src 'self'; worker-src 'none'";
  for (const cause of [{ without: "/worker.js" }, { policy }]) {
    const result = await runInPage({
      ...{ make: { threads: true }, backends: ["wasm"], threads: 2 },
      ...cause,
    });
    assert.equal(result.threads, 1);
    assertClose(result.y, expected(sampleInput()));
    assert.equal(result.warnings.length, 1);
    assert.match(result.warnings[0], /one thread, because no worker can be started/);
  }
});

test("wasm: a first run that does not wait for all weights, on one thread and on several", async () => {
  for (const threads of [1, 3]) {
    const options = { backends: ["wasm"], threads, complete: false };
    const make = { threads: true, prepare: true };
    const result = await runInPage({ make, ...options });
    assert.equal(result.message, undefined);
    assert.equal(result.threads, threads);
    assertClose(result.y, expected(sampleInput()));
    assertClose(result.negatedY, expected(sampleInput().map((v) => -v)));
    const change = (/** @type {any} */ { files }) => files.get("wasm/weights-1.bin").fill(1);
    const wrong = await runInPage({ make, change, ...options });
    assert.equal(wrong.code, "checksum-mismatch");
  }
});

test("wasm: a thread that fails is an error of the run", async () => {
  const result = await runInPage({
    ...{ make: { threads: true, trap: true }, backends: ["wasm"], threads: 2 },
  });
  assert.equal(result.code, "execution-failed");
  assert.match(result.message, /unreachable/);
});

test("wasm: Chromium takes the relaxed-simd module", async () => {
  const { served } = await runInPage({ backends: ["wasm"] });
  assert.ok(served.includes("/package/wasm/relaxed-simd.wasm"));
  assert.ok(!served.includes("/package/wasm/simd128.wasm"));
});

test("wasm: a policy that forbids WebAssembly is named in the error", async () => {
  const policy = "default-src 'none'; script-src 'self'; connect-src 'self'";
  const result = await runInPage({ backends: ["wasm"], policy });
  assert.equal(result.code, "no-backend");
  assert.match(result.message, /Content Security Policy/);
});

test("webgpu: a shader that does not compile gives the compiler's messages", async () => {
  const wgsl = "@compute @workgroup_size(64) fn scale() {\n  let x: i32 = 1.5;\n}\n";
  const result = await runInPage({ make: { wgsl }, backends: ["webgpu"] });
  assert.equal(result.code, "no-backend");
  assert.match(result.message, /webgpu: kernel \w+: webgpu\/kernels-0\.wgsl:3:\d+: /);
});

test("webgpu: a kernel whose bindings are not the shader's is refused", async () => {
  const result = await runInPage({
    backends: ["webgpu"],
    change: ({ manifest }) => manifest.backends.webgpu.kernels[1].bindings.reverse(),
  });
  assert.equal(result.code, "no-backend");
  assert.match(result.message, /webgpu: kernel relu_0: .*binding/s);
});

test("webgpu: a launch that WebGPU refuses is an error", async () => {
  const result = await runInPage({
    backends: ["webgpu"],
    change: ({ manifest }) => {
      manifest.backends.webgpu.launches[0].workgroups = [65536, 1, 1];
    },
  });
  assert.equal(result.code, "execution-failed");
  assert.match(result.message, /running the model: .*65536/s);
});

test("webgpu: limits and features that the adapter lacks are named; wasm steps in", async () => {
  const result = await runInPage({
    change: ({ manifest }) => {
      manifest.backends.webgpu.limits = { maxBufferSize: 2 ** 50 };
      manifest.backends.webgpu.features = ["teleportation"];
    },
  });
  assert.equal(result.backend, "wasm");
  const [{ backend, code, reason }] = result.failures;
  assert.deepEqual([backend, code], ["webgpu", "unsupported-feature"]);
  assert.match(
    reason,
    /feature "teleportation" is missing; maxBufferSize is \d+, 1125899906842624 is needed/,
  );
});

test("webgpu: an int64 that does not fit 32 bits is refused", async () => {
  const result = await runInPage({
    make: { dtypes: ["int64"] },
    backends: ["webgpu"],
    spoil: true,
  });
  assert.equal(result.code, "out-of-range");
  assert.match(result.message, /"in_int64": element 4 \(2147483648\)/);
});

test("a browser without WebGPU runs wasm and says why", async () => {
  const plain = await launchBrowser({
    webgpu: false,
    args: ["--disable-features=WebGPU", "--disable-gpu"],
  });
  try {
    const result = await runInPage({ in: plain });
    assert.equal(result.backend, "wasm");
    assert.match(result.failures[0].reason, /WebGPU|adapter/);
    assertClose(result.y, expected(sampleInput()));
  } finally {
    await plain.close();
  }
});

/**
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @returns {Promise<{ status: number, stdout: string, stderr: string }>}
 */
function runScript(args, env = {}) {
  const script = fileURLToPath(new URL("run_package.mjs", import.meta.url));
  return new Promise((resolve) => {
    const options = { env: { ...process.env, ...env } };
    execFile(process.execPath, [script, ...args], options, (error, stdout, stderr) => {
      resolve({ status: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

test("run_package.mjs: raw inputs and outputs, timings, bytes", { timeout: 120_000 }, async () => {
  const folder = join(root, "script");
  await writePackage(folder, await makePackage());
  const inputs = await mkdtemp(join(root, "inputs-"));
  await writeFile(join(inputs, "0.bin"), new Uint8Array(sampleInput().buffer));
  for (const backend of ["webgpu", "wasm"]) {
    const outputs = join(root, `outputs-${backend}`);
    const profile = join(root, `profile-${backend}.json`);
    const { status, stdout, stderr } = await runScript([
      ...[folder, "--backend", backend, "--inputs", inputs, "--outputs", outputs],
      ...["--repeat", "3", "--profile", profile],
    ]);
    assert.equal(status, 0, stderr);
    const report = JSON.parse(stdout);
    assert.equal(report.backend, backend);
    assert.equal(report.runsMs.length, 3);
    for (const key of ["loadMs", "firstRunMs", "medianMs"]) assert.ok(report[key] >= 0, key);
    assert.equal(report.downloadBytes.weights, 912);
    assert.ok(report.downloadBytes.code > report.downloadBytes.runtime);
    assert.ok(report.downloadBytes.code < 25_000);
    const { buffer, byteOffset } = await readFile(join(outputs, "0.bin"));
    assertClose(
      [...new Float32Array(buffer.slice(byteOffset, byteOffset + 400))],
      expected(sampleInput()),
    );
    assert.equal(JSON.parse(await readFile(profile, "utf8")).launches.length, 2);
  }
});

test("run_package.mjs: what is wrong is said in one line", async () => {
  const folder = join(root, "wrong");
  await writePackage(folder, await makePackage({ webgpu: false }));
  const noBackend = await runScript([folder, "--backend", "webgpu"]);
  assert.equal(noBackend.status, 1);
  assert.match(noBackend.stderr, /^run_package: the package has no webgpu part\n$/);
  const noBrowser = await runScript([folder, "--backend", "wasm"], {
    CHROMIUM: "/nowhere/chromium",
  });
  assert.equal(noBrowser.status, 1);
  assert.match(noBrowser.stderr, /^run_package: there is no browser at \/nowhere\/chromium: .*\n$/);
  const noPackage = await runScript([join(root, "nothing"), "--backend", "wasm"]);
  assert.match(noPackage.stderr, /^run_package: .*model\.json.*\n$/);
  const inputs = await mkdtemp(join(root, "inputs-"));
  await writeFile(join(inputs, "0.bin"), new Uint8Array(3));
  const badInput = await runScript([folder, "--backend", "wasm", "--inputs", inputs]);
  assert.match(
    badInput.stderr,
    /^run_package: 0\.bin for input "x" .* must have 400 bytes, not 3\n$/,
  );
  assert.equal((await runScript([folder])).status, 2);
  assert.equal((await runScript([folder, "--backend", "webgl"])).status, 2);
});

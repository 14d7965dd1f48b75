#!/usr/bin/env node
// Runs a compiled package in Node with several threads; see USAGE.
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { bundle } from "../../runtime-ts/build.mjs";

const USAGE = `usage: node run_in_node.mjs <package> <inputs> <outputs> <threads> <repeat>

<inputs> has 0.bin, 1.bin ...: the raw little-endian elements of each input; <outputs> gets the same of the outputs. All
runs must give the same bits. Prints how many threads there were.`;

const [packageDir, inputs, outputs, threads, repeat] = process.argv.slice(2);
if (!packageDir || !inputs || !outputs || !threads || !repeat) {
  console.error(USAGE);
  process.exit(2);
}

const folder = await mkdtemp(join(tmpdir(), "webdnn-node-"));
try {
  const { code, worker } = await bundle();
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
  await writeFile(join(folder, "index.js"), code);
  await writeFile(join(folder, "worker.js"), worker);
  const { load } = await import(pathToFileURL(join(folder, "index.js")).href);
  const model = await load(packageDir, { backends: ["wasm"], threads: Number(threads) });
  /** @type {Record<string, any>} */
  const feeds = {};
  for (const [i, { name, dtype }] of model.inputs.entries()) {
    const { buffer } = new Uint8Array(await readFile(join(inputs, `${i}.bin`)));
    feeds[name] = { float32: () => new Float32Array(buffer) }[dtype]();
  }
  await mkdir(outputs, { recursive: true });
  const bytes = (/** @type {any} */ a) => Buffer.from(a.buffer, a.byteOffset, a.byteLength);
  const first = await model.run(feeds);
  for (let i = 1; i < Number(repeat); i++) {
    const again = await model.run(feeds);
    for (const { name } of model.outputs) {
      if (!bytes(again[name]).equals(bytes(first[name]))) throw new Error(`run ${i} differs`);
    }
  }
  for (const [i, { name }] of model.outputs.entries()) {
    await writeFile(join(outputs, `${i}.bin`), bytes(first[name]));
  }
  console.log(model.threads);
  model.dispose();
} finally {
  await rm(folder, { recursive: true });
}

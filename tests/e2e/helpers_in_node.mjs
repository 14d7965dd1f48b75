#!/usr/bin/env node
// Runs the module for threads of a package in Node with fewer helpers than it has been told of; see USAGE.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Worker } from "node:worker_threads";

const USAGE = `usage: node helpers_in_node.mjs <package> <inputs> <outputs> <threads> <helpers>

The module is told that there are <threads>, of which thread 0 is the only one at first. Then <helpers> more begin to help,
one after the other, at any time of a run, and are ended again between two runs. All runs must give the same bits. <inputs>
and <outputs> have 0.bin, 1.bin ...: the raw little-endian elements.`;

const HELPER = `
  const { workerData, parentPort } = require("node:worker_threads");
  const { module, memory, thread, stackEnd } = workerData;
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  exports.__stack_pointer.value = stackEnd;
  parentPort.postMessage("here");
  exports.help(thread);`;

const [folder, inputs, outputs, threads, helpers] = process.argv.slice(2);
if (!folder || !inputs || !outputs || !threads || !helpers) {
  console.error(USAGE);
  process.exit(2);
}
const { wasm } = JSON.parse(await readFile(join(folder, "model.json"), "utf8")).backends;
const files = wasm.modules.filter((/** @type {any} */ m) => m.features.includes("threads"));
const codes = await Promise.all(
  files.map((/** @type {any} */ m) => readFile(join(folder, m.file))),
);
const module = new WebAssembly.Module(codes.find((code) => WebAssembly.validate(code)));
const { stackBytes } = wasm.threads;
const pages = wasm.memory.pages + Math.ceil(((Number(threads) - 1) * stackBytes) / 65536);
const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
const bytes = new Uint8Array(memory.buffer);
let offset = wasm.weights.offset;
for (const { file } of wasm.weights.shards) {
  const shard = await readFile(join(folder, file));
  bytes.set(shard, offset);
  offset += shard.length;
}
const feeds = await Promise.all(
  wasm.inputs.map((/** @type {any} */ _, /** @type {number} */ i) =>
    readFile(join(inputs, `${i}.bin`)),
  ),
);
const exports = /** @type {any} */ (new WebAssembly.Instance(module, { env: { memory } }).exports);
exports.start(Number(threads));
exports.prepare?.();

/** The outputs of the first run. @type {any} */
let first;
let runs = 0;

async function run() {
  for (const [i, { offset }] of wasm.inputs.entries()) bytes.set(feeds[i], offset);
  exports.run();
  /** @type {Uint8Array[]} */
  const found = wasm.outputs.map((/** @type {any} */ o) =>
    bytes.slice(o.offset, o.offset + o.bytes),
  );
  first ??= found;
  for (const [i, output] of found.entries()) {
    if (Buffer.compare(output, first[i]) !== 0) throw new Error(`run ${runs} differs`);
  }
  // What the next run does not write shows.
  for (const { offset, bytes: size } of wasm.outputs) bytes.fill(0xa5, offset, offset + size);
  runs++;
  await new Promise(setImmediate);
}

for (let i = 0; i < 3; i++) await run();
const workers = [];
for (let thread = 1; thread <= Number(helpers); thread++) {
  const stackEnd = wasm.memory.pages * 65536 + thread * stackBytes;
  const worker = new Worker(HELPER, {
    eval: true,
    workerData: { module, memory, thread, stackEnd },
  });
  let isHere = false;
  worker.on("message", () => {
    isHere = true;
  });
  while (!isHere) await run();
  for (let i = 0; i < 20; i++) await run();
  workers.push(worker);
}
for (const worker of workers) {
  await worker.terminate();
  for (let i = 0; i < 5; i++) await run();
}
await mkdir(outputs, { recursive: true });
for (const [i, output] of first.entries()) {
  await writeFile(join(outputs, `${i}.bin`), output);
}

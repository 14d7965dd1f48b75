// A tiny package, written by hand, for tests of the runtime: y = relu(x * scale + bias), and a copy of one tensor of each
// element type that is asked for.
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { importInstalled } from "./node_modules_of_runtime.mjs";
import { THREADS, threadedText } from "./threaded_module.mjs";

const COUNT = 100;
/** Where the bias begins in the weights: WebGPU wants multiples of 256. */
const BIAS_OFFSET = 512;
const WEIGHT_BYTES = BIAS_OFFSET + COUNT * 4;
/** The first shard ends in the middle of the bias. */
const SHARD_BYTES = [600, WEIGHT_BYTES - 600];

/** The size of an element in wasm memory, and its storage type on the GPU. */
const DTYPES = {
  bfloat16: { bytes: 2, storage: undefined },
  float16: { bytes: 2, storage: "f32" },
  float32: { bytes: 4, storage: "f32" },
  float64: { bytes: 8, storage: undefined },
  int8: { bytes: 1, storage: "i32" },
  int16: { bytes: 2, storage: "i32" },
  int32: { bytes: 4, storage: "i32" },
  int64: { bytes: 8, storage: "i32" },
  uint8: { bytes: 1, storage: "u32" },
  uint16: { bytes: 2, storage: "u32" },
  uint32: { bytes: 4, storage: "u32" },
  uint64: { bytes: 8, storage: "u32" },
  bool: { bytes: 1, storage: "u32" },
};
const COPIED = 5;
/** Of the first dimension of y. */
const LABELS = { axis: 0, names: ["all"] };
const FIRST_RUN = {
  limit: 0,
  launches: [
    { kernel: "copy_f32", label: [], weights: COUNT * 4, instead: 0 },
    { kernel: "scale", label: ["Mul_0", "Add_1"], instead: 0 },
  ],
};

/** @typedef {keyof typeof DTYPES} DType */

export const ALL_DTYPES = /** @type {DType[]} */ (Object.keys(DTYPES));
/** Those that WebGPU can hold. */
export const GPU_DTYPES = ALL_DTYPES.filter((d) => DTYPES[d].storage !== undefined);

/** @param {number} i */
const scale = (i) => (i % 7) - 3;
/** @param {number} i */
const bias = (i) => (i % 5) * 0.5 - 1;

/**
 * What the package computes from x.
 *
 * @param {Float32Array} x of 100 elements
 */
export function expected(x) {
  return x.map((v, i) => Math.max(v * scale(i) + bias(i), 0));
}

/** An x to run the package with. */
export function sampleInput() {
  return Float32Array.from({ length: COUNT }, (_, i) => Math.sin(i) * 3);
}

function weightBytes() {
  const bytes = new Uint8Array(WEIGHT_BYTES);
  new Float32Array(bytes.buffer, 0, COUNT).forEach((_, i, all) => {
    all[i] = scale(i);
  });
  new Float32Array(bytes.buffer, BIAS_OFFSET, COUNT).forEach((_, i, all) => {
    all[i] = bias(i);
  });
  return bytes;
}

/** @param {number} n @param {number} step */
const roundUp = (n, step) => Math.ceil(n / step) * step;

/**
 * @typedef {object} FixtureOptions
 * @property {DType[]} [dtypes] the types of the tensors that are copied
 * @property {boolean} [wasm] whether there is a wasm part
 * @property {boolean} [webgpu] whether there is a WebGPU part
 * @property {string} [wgsl] in place of the module of the first two kernels
 * @property {boolean} [trap] whether the first wasm kernel traps; in a module for threads, whether a thread does
 * @property {boolean} [threads] whether there is a wasm module for threads
 * @property {boolean} [prepare] whether the scale is read from where a launch at load copies it
 * @property {boolean} [labelled] whether there are labels and metadata
 * @property {boolean} [seeded] whether the tensor of type uint32 that is copied is no input, but the place of the seed
 * @property {boolean} [firstRun] whether a first run may begin before that; its launches use the same memory
 */

const { h32Raw } = await (await importInstalled("xxhash-wasm")).default();

/** @param {Uint8Array} content @returns {string} its XXH32 */
export function xxh32(content) {
  return h32Raw(content).toString(16).padStart(8, "0");
}

/**
 * The files of the package by name; "model.json" is an object still, so that tests can spoil it.
 *
 * @param {FixtureOptions} [options]
 * @returns {Promise<{ manifest: any, files: Map<string, Uint8Array> }>}
 */
export async function makePackage(options = {}) {
  const { dtypes = [], wasm = true, webgpu = true, wgsl } = options;
  const { prepare = false, labelled = false } = options;
  /** @type {Map<string, Uint8Array>} */
  const files = new Map();
  /** @param {string} file @param {Uint8Array} content */
  const add = (file, content) => {
    files.set(file, content);
    return { file, bytes: content.length, xxh32: xxh32(content) };
  };
  /** @param {string} folder */
  const addShards = (folder) => {
    const weights = weightBytes();
    let begin = 0;
    return SHARD_BYTES.map((bytes, i) => {
      begin += bytes;
      return add(`${folder}/weights-${i}.bin`, weights.slice(begin - bytes, begin));
    });
  };
  const main = { dtype: /** @type {DType} */ ("float32"), shape: [1, COUNT] };
  const copies = dtypes.map((dtype) => ({ dtype, shape: [COPIED] }));
  const manifest = {
    format: "webdnn-package",
    version: 4,
    generator: "fixture",
    name: "tiny",
    ...(labelled ? { metadata: { author: "nobody" } } : {}),
    inputs: [{ name: "x", ...main }, ...copies.map((c) => ({ name: `in_${c.dtype}`, ...c }))],
    outputs: [
      { name: "y", ...main, ...(labelled ? { labels: LABELS } : {}) },
      ...copies.map((c) => ({ name: `out_${c.dtype}`, ...c })),
    ],
    backends: /** @type {any} */ ({}),
  };
  if (wasm) manifest.backends.wasm = await wasmPart(dtypes, add, addShards("wasm"), options);
  if (webgpu)
    manifest.backends.webgpu = webgpuPart(dtypes, add, addShards("webgpu"), wgsl, prepare);
  if (options.seeded) {
    const number = manifest.inputs.findIndex(({ dtype }) => dtype === "uint32");
    manifest.inputs.splice(number, 1);
    for (const section of Object.values(manifest.backends))
      [section.seed] = section.inputs.splice(number, 1);
  }
  return { manifest, files };
}

/**
 * Write a package into a folder.
 *
 * @param {string} folder
 * @param {{ manifest: unknown, files: Map<string, Uint8Array> }} made
 */
export async function writePackage(folder, { manifest, files }) {
  const all = new Map([...files, ["model.json", Buffer.from(JSON.stringify(manifest))]]);
  for (const [name, content] of all) {
    const path = join(folder, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, content);
  }
}

/**
 * @param {DType[]} dtypes
 * @param {(file: string, content: Uint8Array) => object} add
 * @param {object[]} shards
 * @param {FixtureOptions} options
 */
async function wasmPart(dtypes, add, shards, options) {
  const { trap = false, prepare = false, threads = false, firstRun = false } = options;
  const weights = { offset: 1024, bytes: WEIGHT_BYTES, ...(prepare ? { packed: 0 } : {}), shards };
  const arenaOffset = roundUp(weights.offset + weights.bytes, 64);
  let end = arenaOffset;
  /** @param {number} bytes */
  const place = (bytes) => {
    const offset = end;
    end = roundUp(end + bytes, 64);
    return { offset, bytes };
  };
  const [x, t, y] = [place(COUNT * 4), place(COUNT * 4), place(COUNT * 4)];
  const ins = dtypes.map((d) => place(COPIED * DTYPES[d].bytes));
  const outs = dtypes.map((d) => place(COPIED * DTYPES[d].bytes));
  const arena = { offset: arenaOffset, bytes: end - arenaOffset };
  const prepared = place(COUNT * 4);
  const scaleOffset = prepare ? prepared.offset : weights.offset;
  /** @param {string} body one iteration over four elements at byte $i, up to $end */
  const loop = (body) => `(block $done (loop $l
    (br_if $done (i32.ge_u (local.get $i) (local.get $end)))
    ${body}
    (local.set $i (i32.add (local.get $i) (i32.const 16)))
    (br $l)))`;
  /** @param {number} offset */
  const load = (offset) => `(v128.load offset=${offset} (local.get $i))`;
  /** @param {boolean} relaxed @param {boolean} trap */
  const kernels = (relaxed, trap) => {
    const [a, b, c] = [load(x.offset), load(scaleOffset), load(weights.offset + BIAS_OFFSET)];
    const sum = relaxed
      ? `(f32x4.relaxed_madd ${a} ${b} ${c})`
      : `(f32x4.add (f32x4.mul ${a} ${b}) ${c})`;
    const zero = "(f32x4.splat (f32.const 0))";
    const copy = loop(
      `(v128.store offset=${prepared.offset} (local.get $i) ${load(weights.offset)})`,
    );
    const scaled = loop(`(v128.store offset=${t.offset} (local.get $i) ${sum})`);
    return [
      ...(prepare ? [copy] : []),
      trap ? "unreachable" : scaled,
      loop(`(v128.store offset=${y.offset} (local.get $i) (f32x4.max ${load(t.offset)} ${zero}))`),
      ...ins.map(
        (r, i) =>
          `(memory.copy (i32.const ${outs[i]?.offset}) (i32.const ${r.offset}) (i32.const ${r.bytes}))`,
      ),
      ...(firstRun ? [copy, scaled] : []),
    ];
  };
  const launches = [
    ...(prepare ? [{ kernel: "copy_f32", label: [], weights: COUNT * 4, before: 0 }] : []),
    { kernel: "scale", label: ["Mul_0", "Add_1"] },
    { kernel: "relu", label: ["Relu_2"], weights: 0 },
    ...dtypes.map((d) => ({ kernel: `copy_${d}`, label: [`Identity_${d}`], weights: 0 })),
  ];
  /** @param {boolean} relaxed */
  const assemble = async (relaxed) => {
    const bodies = kernels(relaxed, trap);
    const text = `(module (import "env" "memory" (memory 1 1))
      ${bodies.map((body, i) => `(func $k${i} (local $i i32) (local $end i32) (local.set $end (i32.const ${COUNT * 4})) ${body})`).join("\n")}
      (func (export "run") ${launches.map((_, i) => (prepare && i === 0 ? "" : `(call $k${i})`)).join(" ")})
      ${prepare ? `(func (export "prepare") (call $k0))` : ""}
      (func (export "run_range") (param $b i32) (param $e i32)
        ${bodies.map((_, i) => `(if (i32.and (i32.le_u (local.get $b) (i32.const ${i})) (i32.gt_u (local.get $e) (i32.const ${i}))) (then (call $k${i})))`).join("\n")}))`;
    return assembleWat(text);
  };
  const threaded = async () => ({
    ...add(
      "wasm/threads-simd128.wasm",
      await assembleWat(
        threadedText(kernels(false, false), {
          first: prepare ? 1 : 0,
          shared: 2,
          bytes: COUNT * 4,
          trap,
        }),
      ),
    ),
    features: ["simd128", "threads"],
  });
  return {
    ...(threads ? { threads: THREADS } : {}),
    modules: [
      ...(threads ? [await threaded()] : []),
      {
        ...add("wasm/relaxed-simd.wasm", await assemble(true)),
        features: ["simd128", "relaxed-simd"],
      },
      { ...add("wasm/simd128.wasm", await assemble(false)), features: ["simd128"] },
    ],
    memory: { pages: 1 },
    weights,
    arena,
    ...(prepare ? { prepared, prepare: 1, arenaLowerBound: arena.bytes } : {}),
    inputs: [x, ...ins],
    outputs: [y, ...outs],
    launches,
    ...(firstRun ? { firstRun: FIRST_RUN } : {}),
  };
}

/**
 * The bytes of a wasm module.
 *
 * @param {string} text WebAssembly's text format
 * @returns {Promise<Uint8Array>}
 */
export async function assembleWat(text) {
  const { default: wabt } = await importInstalled("wabt");
  const tools = await wabt();
  const module = tools.parseWat("module.wat", text, {
    simd: true,
    relaxed_simd: true,
    bulk_memory: true,
    threads: true,
  });
  try {
    return module.toBinary({}).buffer.slice();
  } finally {
    module.destroy();
  }
}

/**
 * @param {DType[]} dtypes
 * @param {(file: string, content: Uint8Array) => object} add
 * @param {object[]} shards
 * @param {string | undefined} wgsl
 * @param {boolean} prepare
 */
function webgpuPart(dtypes, add, shards, wgsl, prepare) {
  const storages = ["f32", "i32", "u32"];
  const main =
    wgsl ??
    `@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> c: array<f32>;
@group(0) @binding(3) var<storage, read_write> d: array<f32>;
@group(0) @binding(1) var<storage, read_write> e: array<f32>;
@compute @workgroup_size(64) fn scale(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < ${COUNT}u) { d[id.x] = a[id.x] * b[id.x] + c[id.x]; }
}
@compute @workgroup_size(64) fn relu(@builtin(global_invocation_id) id: vec3<u32>) {
  if (id.x < ${COUNT}u) { e[id.x] = max(a[id.x], 0.0); }
}
`;
  const modules = [
    main,
    ...storages.map(
      (s) => `@group(0) @binding(0) var<storage, read> from_${s}: array<${s}>;
@group(0) @binding(1) var<storage, read_write> to_${s}: array<${s}>;
@compute @workgroup_size(${COPIED}) fn copy_${s}(@builtin(global_invocation_id) id: vec3<u32>) {
  to_${s}[id.x] = from_${s}[id.x];
}
`,
    ),
  ];
  // One file, a part of it for each module, and a line before them all.
  let source = "// The shaders of the fixture.\n";
  const ranges = modules.map((text) => {
    const offset = Buffer.byteLength(source);
    source += text;
    return { offset, bytes: Buffer.byteLength(text) };
  });
  const arena = (/** @type {number} */ count) => ({ kind: "arena", bytes: count * 4 });
  const whole = (/** @type {number} */ buffer, /** @type {number} */ count) => ({
    buffer,
    offset: 0,
    bytes: count * 4,
  });
  // 0 and 1: weights, the second showing the bias alone; 2, 3, 4: x, x * scale + bias, y; then the copies.
  const first = 5;
  const copies = dtypes.map((dtype, i) => {
    const { storage } = DTYPES[dtype];
    if (storage === undefined) throw new Error(`WebGPU cannot hold ${dtype}`);
    return {
      dtype,
      storage,
      from: whole(first + 2 * i, COPIED),
      to: whole(first + 2 * i + 1, COPIED),
    };
  });
  const prepared = first + 2 * copies.length;
  return {
    features: [],
    limits: { maxStorageBuffersPerShaderStage: 8 },
    weights: { bytes: WEIGHT_BYTES, shards },
    buffers: [
      { kind: "weights", bytes: WEIGHT_BYTES, offset: 0 },
      { kind: "weights", bytes: COUNT * 4, offset: BIAS_OFFSET },
      arena(COUNT),
      arena(COUNT),
      arena(COUNT),
      ...copies.flatMap(() => [arena(COPIED), arena(COPIED)]),
      ...(prepare ? [{ kind: "prepared", bytes: COUNT * 4 }] : []),
    ],
    shaders: [add("webgpu/kernels-0.wgsl", Buffer.from(source))],
    kernels: [
      {
        name: "scale_0",
        shader: 0,
        range: ranges[0],
        entryPoint: "scale",
        bindings: ["read", "read", "read", "read_write"],
      },
      {
        name: "relu_0",
        shader: 0,
        range: ranges[0],
        entryPoint: "relu",
        bindings: ["read", "read_write"],
      },
      ...storages.map((s, i) => ({
        name: `copy_${s}`,
        shader: 0,
        range: ranges[i + 1],
        entryPoint: `copy_${s}`,
        bindings: ["read", "read_write"],
      })),
    ],
    ...(prepare ? { prepare: 1, arenaLowerBound: 0 } : {}),
    launches: [
      ...(prepare
        ? [
            {
              kernel: 2,
              workgroups: [Math.ceil(COUNT / COPIED), 1, 1],
              bindings: [whole(0, COUNT), whole(prepared, COUNT)],
              label: [],
            },
          ]
        : []),
      {
        kernel: 0,
        workgroups: [2, 1, 1],
        bindings: [
          whole(2, COUNT),
          whole(prepare ? prepared : 0, COUNT),
          whole(1, COUNT),
          whole(3, COUNT),
        ],
        label: ["Mul_0", "Add_1"],
      },
      {
        kernel: 1,
        workgroups: [2, 1, 1],
        bindings: [whole(3, COUNT), whole(4, COUNT)],
        label: ["Relu_2"],
      },
      ...copies.map(({ dtype, storage, from, to }) => ({
        kernel: 2 + storages.indexOf(storage),
        workgroups: [1, 1, 1],
        bindings: [from, to],
        label: [`Identity_${dtype}`],
      })),
    ],
    inputs: [
      { ...whole(2, COUNT), storage: "f32" },
      ...copies.map(({ from, storage }) => ({ ...from, storage })),
    ],
    outputs: [
      { ...whole(4, COUNT), storage: "f32" },
      ...copies.map(({ to, storage }) => ({ ...to, storage })),
    ],
  };
}

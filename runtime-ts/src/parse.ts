import { integer, list, object, oneOf, type Rule, record, text } from "./check.js";
import { DTYPES, elementBytes, elementCount } from "./dtypes.js";
import { ManifestError } from "./errors.js";
import { MANIFEST } from "./location.js";
import type {
  BufferRange,
  ByteRange,
  FileRef,
  GpuBuffer,
  GpuKernel,
  GpuLaunch,
  GpuTensor,
  Labels,
  Manifest,
  TensorInfo,
  WasmFirstRun,
  WasmLaunch,
  WasmModule,
  WasmSection,
  WasmThreads,
  WebGpuSection,
} from "./manifest.js";
import { PAGE } from "./memory.js";
import { SEED } from "./seed.js";
import { storageBytes, storageFits } from "./webgpu/storage.js";

/** The rule of the schema: one path on every system and in a URL, which never leads out of the package's folder. */
const FILE =
  /^(?=.{1,240}$)(?!(.*\/)?(con|prn|aux|nul|(com|lpt)\d)(\.|\/|$))[\w.-]*[\w-](\/[\w.-]*[\w-])*$/i;
const XXH32 = /^[0-9a-f]{8}$/;
/** Linear memory of wasm32 is at most 4 GiB. */
const MAX_PAGES = 2 ** 32 / PAGE;

const size = integer(0);
const fileFields = {
  file: text(FILE, "a relative path inside the package"),
  bytes: size,
  xxh32: text(XXH32, "8 lower-case hexadecimal digits"),
};
const file = object<FileRef>(fileFields);
const rangeFields = { offset: size, bytes: size };
const range = object<ByteRange>(rangeFields);
const bufferRangeFields = { buffer: size, ...rangeFields };
const label = list(text());
const tensor = object<TensorInfo>({
  name: text(/[\s\S]/, "a string that is not empty"),
  dtype: oneOf(...DTYPES),
  shape: list(size),
  labels: { optional: object<Labels>({ axis: { optional: size }, names: label }) },
});
const wasmLaunch = object<WasmLaunch>({
  kernel: text(),
  label,
  weights: { optional: size },
  before: { optional: size },
  instead: { optional: size },
});

const wasm = object<WasmSection>({
  modules: list(object<WasmModule>({ ...fileFields, features: label })),
  memory: object<WasmSection["memory"]>({ pages: integer(1, MAX_PAGES) }),
  threads: {
    optional: object<WasmThreads>({
      max: integer(1),
      maxPages: integer(1, MAX_PAGES),
      stackBytes: integer(1),
    }),
  },
  weights: object<WasmSection["weights"]>({
    ...rangeFields,
    packed: { optional: size },
    shards: list(file),
  }),
  arena: range,
  arenaLowerBound: { optional: size },
  prepared: { optional: range },
  inputs: list(range),
  seed: { optional: range },
  outputs: list(range),
  launches: list(wasmLaunch),
  prepare: { optional: size },
  firstRun: { optional: object<WasmFirstRun>({ limit: size, launches: list(wasmLaunch) }) },
});

const weightsBuffer = object<Extract<GpuBuffer, { kind: "weights" }>>({
  kind: oneOf("weights"),
  bytes: size,
  offset: size,
});
const otherBuffer = object<Exclude<GpuBuffer, { kind: "weights" }>>({
  kind: oneOf("weights", "arena", "prepared") as Rule<"arena" | "prepared">,
  bytes: size,
});
const gpuBuffer: Rule<GpuBuffer> = (value, path) => {
  otherBuffer(value, path);
  if ((value as GpuBuffer).kind === "weights") weightsBuffer(value, path);
};
const gpuTensor = object<GpuTensor>({
  ...bufferRangeFields,
  storage: oneOf("f32", "i32", "u32", "i64"),
});

const webgpu = object<WebGpuSection>({
  features: label,
  limits: record(size),
  weights: object<WebGpuSection["weights"]>({ bytes: size, shards: list(file) }),
  buffers: list(gpuBuffer),
  shaders: list(file),
  kernels: list(
    object<GpuKernel>({
      name: text(),
      shader: size,
      range: { optional: range },
      entryPoint: text(),
      bindings: list(oneOf("read", "read_write")),
    }),
  ),
  launches: list(
    object<GpuLaunch>({
      kernel: size,
      workgroups: list(integer(1), 3) as unknown as Rule<GpuLaunch["workgroups"]>,
      bindings: list(object<BufferRange>(bufferRangeFields)),
      label,
    }),
  ),
  prepare: { optional: size },
  arenaLowerBound: { optional: size },
  inputs: list(gpuTensor),
  seed: { optional: gpuTensor },
  outputs: list(gpuTensor),
});

const manifestForm = object<Manifest>({
  format: oneOf("webdnn-package"),
  version: oneOf(3),
  generator: text(),
  name: text(),
  metadata: { optional: record(text()) },
  inputs: list(tensor),
  outputs: list(tensor),
  backends: object<Manifest["backends"]>({
    wasm: { optional: wasm },
    webgpu: { optional: webgpu },
  }),
});

/** Check that a parsed `model.json` has the form that driver/package.schema.json describes. */
export function checkForm(value: unknown): asserts value is Manifest {
  manifestForm(value, "");
}

/**
 * Check a parsed `model.json`: its form, and what a schema cannot say (indices in range, places inside their buffers).
 *
 * @throws ManifestError
 */
export function parseManifest(value: unknown): Manifest {
  checkForm(value);
  unique(value.inputs, "inputs");
  unique(value.outputs, "outputs");
  checkFiles(value.backends);
  if (value.backends.wasm) checkWasm(value, value.backends.wasm);
  if (value.backends.webgpu) checkWebGpu(value, value.backends.webgpu);
  return value;
}

function ensure(condition: boolean, path: string, problem: string): asserts condition {
  if (!condition) throw new ManifestError(path, problem);
}

function unique(tensors: readonly TensorInfo[], path: string): void {
  const names = new Set(tensors.map((t) => t.name));
  ensure(names.size === tensors.length, path, "has two tensors of one name");
  for (const [i, { shape, labels }] of tensors.entries()) {
    if (labels?.axis !== undefined)
      hasEntries(labels.names, shape[labels.axis] ?? 0, `${path}[${i}].labels`);
  }
}

function hasEntries(list: readonly unknown[], count: number, path: string): void {
  ensure(list.length === count, path, `must have ${count} entries`);
}

/** No two files have one path, also where case is not told apart, and none is the manifest. */
function checkFiles({ wasm, webgpu }: Manifest["backends"]): void {
  const taken = new Set([MANIFEST]);
  for (const { file } of [
    ...(wasm?.modules ?? []),
    ...(wasm?.weights.shards ?? []),
    ...(webgpu?.shaders ?? []),
    ...(webgpu?.weights.shards ?? []),
  ]) {
    const path = file.toLowerCase();
    ensure(!taken.has(path), "backends", `has two files "${file}"`);
    taken.add(path);
  }
}

function sumsUp(shards: readonly FileRef[], bytes: number, path: string): void {
  const sum = shards.reduce((total, shard) => total + shard.bytes, 0);
  ensure(sum === bytes, path, `has ${bytes} bytes, but its shards have ${sum}`);
}

/** Call `place` for each input and output, and a seed, with where it lies. */
function eachTensor<P>(
  manifest: Manifest,
  section: { readonly inputs: readonly P[]; readonly outputs: readonly P[]; readonly seed?: P },
  at: string,
  place: (tensor: TensorInfo, place: P, path: string) => void,
): void {
  for (const role of ["inputs", "outputs"] as const) {
    const [tensors, places] = [manifest[role], section[role]];
    const path = `${at}.${role}`;
    hasEntries(places, tensors.length, path);
    for (const [i, t] of tensors.entries()) place(t, places[i] as P, `${path}[${i}]`);
  }
  if (section.seed) place(SEED, section.seed, `${at}.seed`);
}

/** A place holds all elements of a tensor, each of so many bytes, and is aligned. */
function hasRoom(
  { name, shape }: TensorInfo,
  { offset, bytes }: ByteRange,
  element: number,
  alignment: number,
  path: string,
): void {
  const needed = elementCount(shape) * element;
  ensure(bytes >= needed, path, `has ${bytes} bytes, but "${name}" needs ${needed}`);
  ensure(offset % alignment === 0, path, `is not aligned to ${alignment} bytes`);
}

function preparesItsOwn(section: WasmSection | WebGpuSection, at: string): void {
  const { launches, prepare = 0 } = section;
  const count = launches.length;
  ensure(prepare <= count, `${at}.prepare`, `is ${prepare}, but there are ${count} launches`);
}

function checkWasm(manifest: Manifest, section: WasmSection): void {
  const at = "backends.wasm";
  const { pages } = section.memory;
  const inMemory = (r: ByteRange, path: string): void =>
    ensure(r.offset + r.bytes <= pages * PAGE, path, "reaches beyond the memory");
  const { threads } = section;
  if (threads) {
    const room = (threads.maxPages - pages) * PAGE;
    const fits = room >= (threads.max - 1) * threads.stackBytes && threads.stackBytes % 16 === 0;
    ensure(fits, `${at}.threads`, "has no room for the stacks");
  }
  inMemory(section.weights, `${at}.weights`);
  inMemory(section.arena, `${at}.arena`);
  if (section.prepared) inMemory(section.prepared, `${at}.prepared`);
  preparesItsOwn(section, at);
  checkFirstRun(section, at);
  sumsUp(section.weights.shards, section.weights.bytes, `${at}.weights`);
  eachTensor(manifest, section, at, (t, place, path) => {
    inMemory(place, path);
    const element = elementBytes(t.dtype);
    hasRoom(t, place, element, element, path);
  });
}

/** Launches that are left for later have others in their place. */
function checkFirstRun({ launches, prepare = 0, firstRun }: WasmSection, at: string): void {
  if (!firstRun) return;
  const ofARun = launches.length - prepare;
  let last = 0;
  for (const [i, { instead = ofARun }] of firstRun.launches.entries()) {
    const path = `${at}.firstRun.launches[${i}].instead`;
    ensure(instead >= last && instead < ofARun, path, "is not that of a run's next launch");
    last = instead;
  }
  const numbers = new Set(firstRun.launches.map((launch) => launch.instead));
  for (const [i, { before = 0 }] of launches.slice(0, prepare).entries())
    ensure(numbers.has(before), `${at}.launches[${i}].before`, "is of none in firstRun");
}

function checkWebGpu(manifest: Manifest, section: WebGpuSection): void {
  const at = "backends.webgpu";
  const { buffers, kernels, shaders, weights } = section;
  const inBuffer = (r: BufferRange, path: string): void => {
    const buffer = buffers[r.buffer];
    ensure(buffer !== undefined, `${path}.buffer`, "is not the number of a buffer");
    ensure(r.offset + r.bytes <= buffer.bytes, path, `reaches beyond buffer ${r.buffer}`);
  };
  sumsUp(weights.shards, weights.bytes, `${at}.weights`);
  for (const [i, shard] of weights.shards.slice(0, -1).entries()) {
    const path = `${at}.weights.shards[${i}].bytes`;
    ensure(shard.bytes % 4 === 0, path, "is not a multiple of 4, and the shard is not the last");
  }
  for (const [i, b] of buffers.entries()) {
    const aligned = b.kind !== "weights" || b.offset % 4 === 0;
    ensure(aligned, `${at}.buffers[${i}].offset`, "is not a multiple of 4");
    const inside = b.kind !== "weights" || b.offset + b.bytes <= weights.bytes;
    ensure(inside, `${at}.buffers[${i}]`, "reaches beyond the weights");
  }
  for (const [i, k] of kernels.entries()) {
    const path = `${at}.kernels[${i}]`;
    const shader = shaders[k.shader];
    ensure(shader !== undefined, `${path}.shader`, "is not the number of a shader");
    const inside = !k.range || k.range.offset + k.range.bytes <= shader.bytes;
    ensure(inside, `${path}.range`, "reaches beyond the shader");
  }
  for (const [i, launch] of section.launches.entries()) {
    const path = `${at}.launches[${i}]`;
    const kernel = kernels[launch.kernel];
    ensure(kernel !== undefined, `${path}.kernel`, "is not the number of a kernel");
    hasEntries(launch.bindings, kernel.bindings.length, `${path}.bindings`);
    for (const [j, b] of launch.bindings.entries()) inBuffer(b, `${path}.bindings[${j}]`);
  }
  preparesItsOwn(section, at);
  eachTensor(manifest, section, at, (t, place, path) => {
    inBuffer(place, path);
    hasRoom(t, place, storageBytes(place.storage), 4, path);
    const fits = storageFits(t.dtype, place.storage);
    ensure(fits, `${path}.storage`, `"${place.storage}" cannot hold each ${t.dtype}`);
  });
}

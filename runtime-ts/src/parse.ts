import { integer, list, object, oneOf, type Rule, record, text } from "./check.js";
import { DTYPES, elementBytes, elementCount } from "./dtypes.js";
import { ManifestError } from "./errors.js";
import { MANIFEST } from "./location.js";
import type {
  BufferRange,
  ByteRange,
  Definition,
  Expression,
  FileRef,
  GpuBuffer,
  GpuKernel,
  GpuLaunch,
  GpuState,
  GpuTensor,
  Labels,
  Manifest,
  SizeSymbol,
  SizeTable,
  StateInfo,
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
import { likelySizes, manifestAt, namesIn, OPERATOR_NAMES } from "./sizes.js";
import { storageBytes, storageFits } from "./webgpu/storage.js";

/** The rule of the schema: one path on every system and in a URL, which never leads out of the package's folder. */
const FILE =
  /^(?=.{1,240}$)(?!(.*\/)?(con|prn|aux|nul|(com|lpt)\d)(\.|\/|$))[\w.-]*[\w-](\/[\w.-]*[\w-])*$/i;
const XXH32 = /^[0-9a-f]{8}$/;
/** Linear memory of wasm32 is at most 4 GiB. */
const MAX_PAGES = 2 ** 32 / PAGE;
/** How deep expressions are nested at most. */
const DEEPEST = 64;

const size = integer(0);
const fileFields = {
  file: text(FILE, "a relative path inside the package"),
  bytes: size,
  xxh32: text(XXH32, "8 lower-case hexadecimal digits"),
};
const file = object<FileRef>(fileFields);
const rangeFields = { offset: size, bytes: size };
const range = object<ByteRange>(rangeFields);
const operator = oneOf(...OPERATOR_NAMES);
const anyInteger = integer(-Number.MAX_SAFE_INTEGER);

function expressionRule(depth: number): Rule<Expression> {
  return (value, path) => {
    if (typeof value === "string") return;
    if (!Array.isArray(value)) {
      (depth ? anyInteger : size)(value, path);
      return;
    }
    const count = value.length - 1;
    if (depth > DEEPEST || (value[0] === "/" ? count !== 2 : count < 2))
      throw new ManifestError(path, "has an expression of a wrong form");
    operator(value[0], path);
    for (const each of value.slice(1)) expressionRule(depth + 1)(each, path);
  };
}
const expression = expressionRule(0);
const workgroups: Rule<Expression> = (value, path) =>
  (typeof value === "string" || Array.isArray(value) ? expression : integer(1))(value, path);
const definitions = { optional: list(object<Definition>({ name: text(), size: expression })) };
const placeFields = { offset: expression, bytes: expression };
const place = object<ByteRange<Expression>>(placeFields);
const bufferRangeFields = { buffer: size, ...placeFields };
const label = list(text());
const tensor = object<TensorInfo<Expression>>({
  name: text(/[\s\S]/, "a string that is not empty"),
  dtype: oneOf(...DTYPES),
  shape: list(expression),
  labels: { optional: object<Labels>({ axis: { optional: size }, names: label }) },
});
const state = object<StateInfo<Expression>>({
  input: text(/[\s\S]/, "a string that is not empty"),
  output: text(/[\s\S]/, "a string that is not empty"),
  dtype: oneOf(...DTYPES),
  shape: list(expression),
});
const wasmLaunch = object<WasmLaunch>({
  kernel: text(),
  label,
  weights: { optional: size },
  before: { optional: size },
  instead: { optional: size },
});

const wasm = object<WasmSection<Expression>>({
  modules: list(object<WasmModule>({ ...fileFields, features: label })),
  memory: object<WasmSection["memory"]>({
    pages: integer(1, MAX_PAGES),
    maxPages: { optional: integer(1, MAX_PAGES) },
  }),
  threads: {
    optional: object<WasmThreads>({
      max: integer(1),
      maxPages: integer(1, MAX_PAGES),
      stackBytes: integer(1),
      offset: { optional: size },
    }),
  },
  weights: object<WasmSection["weights"]>({
    ...rangeFields,
    packed: { optional: size },
    shards: list(file),
  }),
  definitions,
  table: { optional: object<SizeTable<Expression>>({ offset: size, words: list(expression) }) },
  arena: place,
  arenaLowerBound: { optional: size },
  prepared: { optional: range },
  inputs: list(place),
  seed: { optional: place },
  outputs: list(place),
  turn: { optional: text() },
  states: { optional: list(range) },
  launches: list(wasmLaunch),
  prepare: { optional: size },
  firstRun: { optional: object<WasmFirstRun>({ limit: size, launches: list(wasmLaunch) }) },
});

const weightsBuffer = object<Extract<GpuBuffer, { kind: "weights" }>>({
  kind: oneOf("weights"),
  bytes: size,
  offset: size,
});
const otherBuffer = object<Exclude<GpuBuffer<Expression>, { kind: "weights" }>>({
  kind: oneOf("weights", "arena", "prepared", "state") as Rule<"arena" | "prepared" | "state">,
  bytes: expression,
});
const gpuBuffer: Rule<GpuBuffer<Expression>> = (value, path) => {
  otherBuffer(value, path);
  if ((value as GpuBuffer).kind === "weights") weightsBuffer(value, path);
};
const gpuTensor = object<GpuTensor<Expression>>({
  ...bufferRangeFields,
  storage: oneOf("f32", "i32", "u32", "i64"),
});

const webgpu = object<WebGpuSection<Expression>>({
  features: label,
  limits: record(size),
  largestLimits: { optional: record(size) },
  weights: object<WebGpuSection["weights"]>({ bytes: size, shards: list(file) }),
  definitions,
  buffers: list(gpuBuffer),
  shaders: list(file),
  kernels: list(
    object<GpuKernel>({
      name: text(),
      shader: size,
      range: { optional: range },
      entryPoint: text(),
      bindings: list(oneOf("read", "read_write")),
      sizes: { optional: integer(1, 4096) },
    }),
  ),
  launches: list(
    object<GpuLaunch<Expression>>({
      kernel: size,
      workgroups: list(workgroups, 3) as unknown as Rule<GpuLaunch<Expression>["workgroups"]>,
      bindings: list(object<BufferRange<Expression>>(bufferRangeFields)),
      sizes: { optional: list(expression) },
      label,
    }),
  ),
  prepare: { optional: size },
  arenaLowerBound: { optional: size },
  inputs: list(gpuTensor),
  seed: { optional: gpuTensor },
  outputs: list(gpuTensor),
  states: {
    optional: list(
      object<GpuState>({
        buffers: list(size, 2) as unknown as Rule<GpuState["buffers"]>,
        storage: oneOf("f32", "i32", "u32", "i64"),
      }),
    ),
  },
});

const manifestForm = object<Manifest>({
  format: oneOf("webdnn-package"),
  version: oneOf(4),
  generator: text(),
  name: text(),
  metadata: { optional: record(text()) },
  symbols: {
    optional: list(
      object<SizeSymbol>({
        name: text(),
        low: size,
        high: size,
        multiple: integer(1),
        likely: size,
        next: { optional: expression },
      }),
    ),
  },
  inputs: list(tensor),
  outputs: list(tensor),
  states: { optional: list(state) },
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
  for (const { name, next } of value.symbols ?? []) {
    const isSet =
      next !== undefined || value.inputs.some(({ shape }) => shape.flatMap(namesIn).includes(name));
    ensure(isSet, "symbols", `has "${name}", which no input sets`);
  }
  const likely = manifestAt(value, likelySizes(value.symbols));
  const { backends } = likely;
  unique(likely.inputs, "inputs");
  unique(likely.outputs, "outputs");
  for (const side of ["input", "output"] as const) {
    const names = [
      ...likely[`${side}s`].map((t) => t.name),
      ...statesOf(likely).map((s) => s[side]),
    ];
    ensure(new Set(names).size === names.length, "states", `has an ${side} of another's name`);
  }
  const known = new Set(value.symbols?.map(({ name }) => name));
  for (const { next } of value.symbols ?? [])
    ensure(
      namesIn(next ?? 0).every((name) => known.has(name)),
      "symbols",
      "has an unknown name",
    );
  const { turn } = backends.wasm ?? {};
  ensure(turn === undefined || !known.has(turn), "backends.wasm.turn", "is the name of a symbol");
  checkFiles(backends);
  if (backends.wasm) checkWasm(likely, backends.wasm);
  if (backends.webgpu) checkWebGpu(likely, backends.webgpu);
  return value;
}

function ensure(condition: boolean, path: string, problem: string): asserts condition {
  if (!condition) throw new ManifestError(path, problem);
}

function unique(tensors: readonly TensorInfo<number>[], path: string): void {
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
function checkFiles({ wasm, webgpu }: Manifest<number>["backends"]): void {
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
  manifest: Manifest<number>,
  section: { readonly inputs: readonly P[]; readonly outputs: readonly P[]; readonly seed?: P },
  at: string,
  place: (tensor: TensorInfo<number>, place: P, path: string) => void,
): void {
  for (const role of ["inputs", "outputs"] as const) {
    const [tensors, places] = [manifest[role], section[role]];
    const path = `${at}.${role}`;
    hasEntries(places, tensors.length, path);
    for (const [i, t] of tensors.entries()) place(t, places[i] as P, `${path}[${i}]`);
  }
  if (section.seed) place(SEED, section.seed, `${at}.seed`);
}

function statesOf({ states = [] }: Manifest<number>): readonly StateInfo<number>[] {
  return states;
}

/** Call `check` for each state with where it lies. */
function eachState<P>(
  manifest: Manifest<number>,
  places: readonly P[] | undefined,
  at: string,
  check: (state: TensorInfo<number>, place: P, path: string) => void,
): void {
  const states = statesOf(manifest);
  hasEntries(places ?? [], states.length, `${at}.states`);
  for (const [i, { input: name, dtype, shape }] of states.entries())
    check({ name, dtype, shape }, places?.[i] as P, `${at}.states[${i}]`);
}

/** A place holds all elements of a tensor, each of so many bytes, and is aligned. */
function hasRoom(
  { name, shape }: TensorInfo<number>,
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

function checkWasm(manifest: Manifest<number>, section: WasmSection): void {
  const at = "backends.wasm";
  const { pages, maxPages = pages } = section.memory;
  const inMemory = (r: ByteRange, path: string): void =>
    ensure(r.offset + r.bytes <= maxPages * PAGE, path, "reaches beyond the memory");
  const { threads, table } = section;
  if (table) {
    const end = table.offset + 4 * table.words.length;
    const fits = table.offset % 4 === 0 && end <= pages * PAGE;
    ensure(fits, `${at}.table`, "is not in the memory");
  }
  if (threads) {
    const { offset } = threads;
    const room =
      offset === undefined ? (threads.maxPages - pages) * PAGE : section.arena.offset - offset;
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
  eachState(manifest, section.states, at, (state, place, path) => {
    const end = place.offset + 2 * place.bytes;
    ensure(end <= pages * PAGE, path, "reaches beyond the memory");
    const element = elementBytes(state.dtype);
    hasRoom(state, place, element, element, path);
    ensure(place.bytes % element === 0, path, `is not aligned to ${element} bytes`);
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

function checkWebGpu(manifest: Manifest<number>, section: WebGpuSection): void {
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
    hasEntries(launch.sizes ?? [], kernel.sizes ?? 0, `${path}.sizes`);
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
  eachState(manifest, section.states, at, (state, { buffers: pair, storage }, path) => {
    const bytes = elementCount(state.shape) * storageBytes(storage);
    for (const [i, buffer] of pair.entries())
      inBuffer({ buffer, offset: 0, bytes }, `${path}.buffers[${i}]`);
    const fits = storageFits(state.dtype, storage);
    ensure(fits, `${path}.storage`, `"${storage}" cannot hold each ${state.dtype}`);
  });
}

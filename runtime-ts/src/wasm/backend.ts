import {
  type Backend,
  type BackendContext,
  type LaunchProfile,
  noTensors,
  type Tensors,
} from "../backend.js";
import { arrayClass, elementCount, type TypedArray } from "../dtypes.js";
import {
  CompileError,
  DisposedError,
  messageOf,
  OutOfMemoryError,
  UnsupportedError,
} from "../errors.js";
import type { BoundInputs } from "../inputs.js";
import type {
  ByteRange,
  Expression,
  Manifest,
  SizeTable,
  StateInfo,
  TensorInfo,
  WasmModule,
  WasmSection,
} from "../manifest.js";
import { allocate, PAGE } from "../memory.js";
import { keyOf, type Sizes, sectionAt, tensorAt } from "../sizes.js";
import { StatesOnDevice } from "../state.js";
import { Arrivals } from "./arrivals.js";
import { type Executor, onThisThread } from "./executor.js";
import { missingFeatures } from "./features.js";
import { FirstRun } from "./first_run.js";
import { Pool } from "./pool.js";
import { WorkerError } from "./thread.js";
import { countThreads, sayOneThread, THREADS } from "./threads.js";

/** An input or output and a view of the part of the memory that holds it, which is made anew when that grows. */
interface Slot {
  readonly name: string;
  readonly view: TypedArray;
}

/** Fetch, check and instantiate the wasm part of a package. */
export async function createWasmBackend(context: BackendContext): Promise<Backend> {
  const section = context.manifest.backends.wasm;
  if (!section) throw new UnsupportedError("the package has no wasm part");
  if (typeof WebAssembly === "undefined")
    throw new UnsupportedError("there is no WebAssembly here");
  const threads = countThreads(section, context.threads);
  if (threads > 1) {
    try {
      return await create(context, section, threads);
    } catch (error) {
      if (!(error instanceof WorkerError)) throw error;
      sayOneThread(`no worker can be started: ${error.message}`);
    }
  }
  return create(context, section, 1);
}

/**
 * Get all but the weights, which may still be on their way then.
 *
 * @throws WorkerError if there are no workers for several threads; one thread may do
 */
async function create(
  context: BackendContext,
  section: WasmSection<Expression>,
  threads: number,
): Promise<Backend> {
  const isShared = threads > 1 || canShare(section, context);
  const chosen = chooseModule(section.modules, isShared);
  const pool = threads > 1 ? new Pool(threads) : undefined;
  let arrivals: Arrivals | undefined;
  try {
    const { pages } = section.memory;
    const { offset = pages * PAGE, stackBytes: bytes = 0 } = section.threads ?? {};
    const stacks = { offset, bytes };
    const end = Math.ceil((offset + (threads - 1) * bytes) / PAGE);
    const initial = Math.max(pages, end);
    const memory = createMemory(initial, section.memory.maxPages ?? initial, isShared);
    context.expect(chosen.bytes + section.weights.bytes);
    const compiled = compile(chosen, context);
    compiled.catch(() => undefined);
    arrivals = new Arrivals(section, memory, context);
    // Weights that cannot be had end the wait for the module.
    const module = await Promise.race([compiled, arrivals.complete.then(() => compiled)]);
    await pool?.start({ module, memory, stacks }, context.signal);
    // A thread that waits for work keeps a core busy, which reading and hashing have better use for.
    arrivals.complete.then(
      () => pool?.share(),
      () => undefined,
    );
    const executor = pool ?? (await onThisThread(module, memory, chosen.file, arrivals.begun));
    return new WasmBackend(context.manifest, section, memory, executor, arrivals, threads);
  } catch (error) {
    arrivals?.cancel(error);
    pool?.dispose();
    throw error;
  }
}

/** Whether one thread, too, runs a module for several: a worker writes weights straight into memory that is shared. */
function canShare({ threads }: WasmSection<Expression>, { downloader }: BackendContext): boolean {
  return threads !== undefined && downloader.isAside && globalThis.crossOriginIsolated === true;
}

function chooseModule(modules: readonly WasmModule[], threaded: boolean): WasmModule {
  const reasons: string[] = [];
  for (const module of modules.filter((m) => m.features.includes(THREADS) === threaded)) {
    const missing = missingFeatures(module.features.filter((f) => f !== THREADS));
    if (missing.length === 0) return module;
    reasons.push(`${module.file} needs ${missing.join(" and ")}`);
  }
  throw new UnsupportedError(
    `no module of the package runs on this WebAssembly engine: ${reasons.join("; ") || "it has none"}`,
  );
}

function createMemory(initial: number, maximum: number, shared: boolean): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial, maximum, shared });
  } catch (error) {
    throw noMemory(initial, error);
  }
}

function noMemory(pages: number, cause: unknown, why = ""): OutOfMemoryError {
  const mebibytes = Math.ceil(pages / 16);
  const problem = `${mebibytes} MiB of WebAssembly memory cannot be had${why}: ${messageOf(cause)}`;
  return new OutOfMemoryError(problem, { cause });
}

/** Compile while the bytes arrive where that is possible; nothing runs before the sum has been checked. */
async function compile(file: WasmModule, context: BackendContext): Promise<WebAssembly.Module> {
  const { downloader, signal, onBytes } = context;
  const { response, bytes } = await downloader.stream(file, signal, onBytes);
  const streams =
    typeof WebAssembly.compileStreaming === "function" &&
    response.headers.get("Content-Type")?.split(";")[0]?.trim() === "application/wasm";
  const attempt = streams
    ? // Settled to a value, so that a failure is not reported before the bytes have been checked.
      WebAssembly.compileStreaming(response).catch((error: unknown) => error)
    : undefined;
  if (!streams) response.body?.cancel().catch(() => undefined);
  const content = await bytes;
  const streamed = await attempt;
  if (streamed instanceof WebAssembly.Module) return streamed;
  try {
    return await WebAssembly.compile(content);
  } catch (error) {
    throw new CompileError(file.file, [messageOf(error)], { cause: error });
  }
}

/** What depends on the sizes of a run, and on where it finds states. */
interface Sized {
  /** The sizes for which it is. */
  readonly key: string;
  /** The memory as it was then; it is another one when it has grown. */
  readonly buffer: ArrayBufferLike;
  readonly table: SizeTable | undefined;
  readonly seed: Uint32Array | undefined;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
}

/** What runs a model whose inputs have been written. */
interface Ready {
  readonly executor: Executor;
  readonly outputs: readonly Slot[];
}

/** All that keeps the memory alive. */
interface State {
  readonly executor: Executor;
  readonly memory: WebAssembly.Memory;
  /** The last sizes at each turn of the states. */
  readonly sized: (Sized | undefined)[];
  /** That of which the module has been told. */
  told?: Sized;
}

class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly threads: number;
  readonly arrived: Promise<void>;
  readonly states: StatesOnDevice;
  readonly #manifest: Manifest;
  readonly #section: WasmSection<Expression>;
  readonly #arrivals: Arrivals;
  readonly #firstRun: FirstRun;
  /** Undefined once disposed of. */
  #state: State | undefined;

  constructor(
    manifest: Manifest,
    section: WasmSection<Expression>,
    memory: WebAssembly.Memory,
    executor: Executor,
    arrivals: Arrivals,
    threads: number,
  ) {
    this.threads = threads;
    this.#manifest = manifest;
    this.#section = section;
    this.#arrivals = arrivals;
    this.#firstRun = new FirstRun(section, arrivals, executor);
    this.arrived = this.#firstRun.ready;
    // Without its weights it never runs: no worker has to wait for that.
    arrivals.complete.catch(() => executor.dispose());
    this.#state = { executor, memory, sized: [] };
    this.states = new StatesOnDevice(manifest, {
      read: (number, info) => this.#viewOf(number, info).slice(),
      write: (number, info, elements) => put(this.#viewOf(number, info), elements),
    });
  }

  async run(inputs: BoundInputs): Promise<Tensors> {
    const { executor, outputs } = await this.#write(inputs);
    const { launches, prepare = 0 } = this.#section;
    if (this.#firstRun.isOver) await executor.run(prepare, launches.length);
    else await this.#firstRun.run();
    this.states.done(inputs.state, inputs.following);
    return read(outputs);
  }

  async profile(inputs: BoundInputs): ReturnType<Backend["profile"]> {
    await this.#firstRun.prepare();
    const { executor, outputs } = await this.#write(inputs);
    const { launches: all, prepare = 0 } = this.#section;
    const times = await executor.profile(prepare, all.length);
    this.states.done(inputs.state, inputs.following);
    const launches = all.slice(prepare).map(
      ({ kernel, label }, i): LaunchProfile => ({
        kernel,
        label,
        milliseconds: times[i] as number,
      }),
    );
    return { method: "clock", launches, outputs: read(outputs) };
  }

  dispose(): void {
    this.#arrivals.cancel(new DisposedError());
    this.#state?.executor.dispose();
    this.#state = undefined;
  }

  async #write({ arrays, sizes, seed, state: kept }: BoundInputs): Promise<Ready> {
    const sized = await this.#sizedFor(sizes);
    if (!this.#state) throw new DisposedError();
    const { executor, memory, told } = this.#state;
    const { table } = sized;
    if (table && told !== sized)
      new Uint32Array(memory.buffer, table.offset, table.words.length).set(table.words);
    this.#state.told = sized;
    this.states.enter(kept, sizes);
    sized.seed?.set(seed);
    for (const { name, view } of sized.inputs) put(view, arrays[name] as TypedArray);
    return { executor, outputs: sized.outputs };
  }

  /** The place of a state that is read. */
  #viewOf(number: number, { dtype, shape }: StateInfo<number>): TypedArray {
    if (!this.#state) throw new DisposedError();
    const { states = [] } = this.#section;
    const { offset, bytes } = states[number] as ByteRange;
    const { buffer } = this.#state.memory;
    const start = offset + this.states.turn * bytes;
    return new (arrayClass(dtype))(buffer, start, elementCount(shape));
  }

  /** Where all lies for some sizes, for which there is room then. */
  async #sizedFor(sizes: Sizes): Promise<Sized> {
    if (!this.#state) throw new DisposedError();
    const { memory, sized } = this.#state;
    const { turn } = this.states;
    const known = sized[turn];
    const key = keyOf(sizes);
    if (known?.key === key && known.buffer === memory.buffer) return known;
    const section = sectionAt(this.#section, sizes, turn);
    const { arena, table, seed } = section;
    const pages = Math.ceil((arena.offset + arena.bytes) / PAGE);
    const missing = pages - memory.buffer.byteLength / PAGE;
    if (missing > 0) {
      // Weights on their way are written to the memory as it was, unless it is shared.
      if (memory.buffer instanceof ArrayBuffer) await this.#arrivals.complete;
      try {
        memory.grow(missing);
      } catch (error) {
        throw noMemory(pages, error, " for inputs of these sizes");
      }
    }
    const { buffer } = memory;
    const { inputs, outputs } = this.#manifest;
    const found: Sized = {
      key,
      buffer,
      table,
      seed: seed && new Uint32Array(buffer, seed.offset, 2),
      inputs: slots(inputs, section.inputs, memory, sizes),
      outputs: slots(outputs, section.outputs, memory, sizes),
    };
    sized[turn] = found;
    return found;
  }
}

function put(view: TypedArray, value: TypedArray): void {
  // A float16 may come as Float16Array or as its bits.
  if (value instanceof Uint16Array && !(view instanceof Uint16Array)) {
    new Uint16Array(view.buffer, view.byteOffset, view.length).set(value);
  } else {
    (view as { set(from: TypedArray): void }).set(value);
  }
}

function read(slots: readonly Slot[]): Tensors {
  const outputs = noTensors();
  for (const { name, view } of slots) outputs[name] = allocate(view.byteLength, () => view.slice());
  return outputs;
}

function slots(
  tensors: readonly TensorInfo<Expression>[],
  places: readonly ByteRange[],
  memory: WebAssembly.Memory,
  sizes: Sizes,
): Slot[] {
  return tensors.map((tensor, i) => {
    const { name, dtype, shape } = tensorAt(tensor, sizes);
    const { offset } = places[i] as ByteRange;
    const view = new (arrayClass(dtype))(memory.buffer, offset, elementCount(shape));
    return { name, view };
  });
}

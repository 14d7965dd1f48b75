import type { Backend, BackendContext, LaunchProfile, Profile, Tensors } from "../backend.js";
import { arrayClass, elementCount, type TypedArray } from "../dtypes.js";
import {
  CompileError,
  DisposedError,
  ExecutionError,
  messageOf,
  OutOfMemoryError,
  UnsupportedError,
} from "../errors.js";
import type { ByteRange, Manifest, TensorInfo, WasmModule, WasmSection } from "../manifest.js";
import { Arrivals } from "./arrivals.js";
import { missingFeatures } from "./features.js";
import { FirstRun } from "./first_run.js";

interface Exports {
  /** Run all launches but those at load. */
  readonly run: () => void;
  /** Run the launches from `begin` to before `end`. */
  readonly run_range: (begin: number, end: number) => void;
}

/** An input or output and a view of the part of the memory (which never grows) that holds it. */
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
  const chosen = chooseModule(section.modules);
  context.expect(chosen.bytes + section.weights.bytes);
  const memory = createMemory(section.memory.pages);
  const compiled = compile(chosen, context);
  const arrivals = new Arrivals(section, memory, context);
  try {
    // Weights that cannot be had end the wait for the module.
    const module = await Promise.race([compiled, arrivals.complete.then(() => compiled)]);
    const exports = await instantiate(module, memory, chosen.file);
    return new WasmBackend(context.manifest, section, memory, exports, arrivals);
  } catch (error) {
    arrivals.cancel();
    compiled.catch(() => undefined);
    throw error;
  }
}

function chooseModule(modules: readonly WasmModule[]): WasmModule {
  const reasons: string[] = [];
  for (const module of modules) {
    const missing = missingFeatures(module.features);
    if (missing.length === 0) return module;
    reasons.push(`${module.file} needs ${missing.join(" and ")}`);
  }
  throw new UnsupportedError(
    `no module of the package runs on this WebAssembly engine: ${reasons.join("; ") || "it has none"}`,
  );
}

function createMemory(pages: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: pages, maximum: pages });
  } catch (error) {
    const mebibytes = Math.ceil(pages / 16);
    const problem = `${mebibytes} MiB of WebAssembly memory cannot be had: ${messageOf(error)}`;
    throw new OutOfMemoryError(problem, { cause: error });
  }
}

/** Compile while the bytes arrive where that is possible; nothing runs before the sum has been checked. */
async function compile(file: WasmModule, context: BackendContext): Promise<WebAssembly.Module> {
  const { downloader, signal, onBytes } = context;
  const { response, bytes } = await downloader.stream(file, signal, onBytes);
  const streams =
    typeof WebAssembly.compileStreaming === "function" &&
    response?.headers.get("Content-Type")?.split(";")[0]?.trim() === "application/wasm";
  const attempt = streams
    ? // Settled to a value, so that a failure is not reported before the bytes have been checked.
      WebAssembly.compileStreaming(response as Response).catch((error: unknown) => error)
    : undefined;
  if (!streams) response?.body?.cancel().catch(() => undefined);
  const content = await bytes;
  const streamed = await attempt;
  if (streamed instanceof WebAssembly.Module) return streamed;
  try {
    return await WebAssembly.compile(content);
  } catch (error) {
    throw new CompileError(file.file, [messageOf(error)], { cause: error });
  }
}

async function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
  file: string,
): Promise<Exports> {
  let exports: WebAssembly.Exports;
  try {
    ({ exports } = await WebAssembly.instantiate(module, { env: { memory } }));
  } catch (error) {
    throw new CompileError(file, [messageOf(error)], { cause: error });
  }
  for (const name of ["run", "run_range"]) {
    if (typeof exports[name] !== "function") {
      throw new CompileError(file, [`the module does not export "${name}"`]);
    }
  }
  return exports as unknown as Exports;
}

/** All that keeps the memory alive. */
interface State {
  readonly exports: Exports;
  readonly inputs: readonly Slot[];
  readonly outputs: readonly Slot[];
}

class WasmBackend implements Backend {
  readonly name = "wasm";
  readonly arrived: Promise<void>;
  readonly #section: WasmSection;
  readonly #arrivals: Arrivals;
  readonly #firstRun: FirstRun;
  /** Undefined once disposed of. */
  #state: State | undefined;

  constructor(
    manifest: Manifest,
    section: WasmSection,
    memory: WebAssembly.Memory,
    exports: Exports,
    arrivals: Arrivals,
  ) {
    this.#section = section;
    this.#arrivals = arrivals;
    this.arrived = arrivals.complete;
    this.#firstRun = new FirstRun(section, arrivals, (begin, end) => {
      const { exports } = this.#alive();
      call(() => exports.run_range(begin, end));
    });
    this.#state = {
      exports,
      inputs: slots(manifest.inputs, section.inputs, memory),
      outputs: slots(manifest.outputs, section.outputs, memory),
    };
  }

  async run(inputs: Tensors): Promise<Tensors> {
    const { exports, outputs } = this.#write(inputs);
    if (this.#firstRun.isOver) call(() => exports.run());
    else await this.#firstRun.run();
    return read(outputs);
  }

  async profile(inputs: Tensors): Promise<Profile> {
    await this.#firstRun.prepare();
    const { exports, outputs } = this.#write(inputs);
    const { launches: all, prepare = 0 } = this.#section;
    const launches = all.slice(prepare).map(({ kernel, label }, n): LaunchProfile => {
      const i = prepare + n;
      const start = performance.now();
      call(() => exports.run_range(i, i + 1));
      return { kernel, label, milliseconds: performance.now() - start };
    });
    return { method: "clock", launches, outputs: read(outputs) };
  }

  dispose(): void {
    this.#arrivals.cancel();
    this.#state = undefined;
  }

  #alive(): State {
    if (!this.#state) throw new DisposedError();
    return this.#state;
  }

  #write(inputs: Tensors): State {
    const state = this.#alive();
    for (const { name, view } of state.inputs) {
      const value = inputs[name] as TypedArray;
      // A float16 may come as Float16Array or as its bits.
      if (value instanceof Uint16Array && !(view instanceof Uint16Array)) {
        new Uint16Array(view.buffer, view.byteOffset, view.length).set(value);
      } else {
        (view as { set(from: TypedArray): void }).set(value);
      }
    }
    return state;
  }
}

function read(slots: readonly Slot[]): Tensors {
  const outputs: Tensors = {};
  for (const { name, view } of slots) outputs[name] = view.slice();
  return outputs;
}

function slots(
  tensors: readonly TensorInfo[],
  places: readonly ByteRange[],
  memory: WebAssembly.Memory,
): Slot[] {
  return tensors.map(({ name, dtype, shape }, i) => {
    const { offset } = places[i] as ByteRange;
    const view = new (arrayClass(dtype))(memory.buffer, offset, elementCount(shape));
    return { name, view };
  });
}

function call(run: () => void): void {
  try {
    run();
  } catch (error) {
    throw new ExecutionError(`the wasm module failed: ${messageOf(error)}`, { cause: error });
  }
}

import {
  type Backend,
  type BackendContext,
  noTensors,
  PARALLEL_DOWNLOADS,
  type Tensors,
} from "../backend.js";
import { parallel } from "../cancel.js";
import { elementCount, type TypedArray } from "../dtypes.js";
import { UnsupportedError } from "../errors.js";
import type { BoundInputs } from "../inputs.js";
import type {
  Expression,
  GpuState,
  GpuTensor,
  Manifest,
  StateInfo,
  Storage,
  TensorInfo,
  WebGpuSection,
} from "../manifest.js";
import { allocate } from "../memory.js";
import type { Seed } from "../seed.js";
import { keyOf, type Sizes, sectionAt, tensorAt } from "../sizes.js";
import { StatesOnDevice } from "../state.js";
import { openDevice } from "./device.js";
import { MAP_READ, USAGE } from "./flags.js";
import { GuardedDevice } from "./guard.js";
import { createKernels, type Kernel } from "./kernels.js";
import {
  createBuffers,
  createDispatches,
  createUniforms,
  type Dispatch,
  type Uniforms,
  weightTasks,
} from "./program.js";
import { isStoredAsIs, narrow, storageBytes, type Words, widen, wordsOver } from "./storage.js";
import { record, timeByQueries, timeBySubmissions } from "./timing.js";

/** Open a device, then fetch, check and compile the WebGPU part of a package. */
export async function createWebGpuBackend(context: BackendContext): Promise<Backend> {
  const { manifest } = context;
  const section = manifest.backends.webgpu;
  if (!section) throw new UnsupportedError("the package has no webgpu part");
  const guarded = new GuardedDevice(await openDevice(context.gpu, section));
  const { device } = guarded;
  try {
    const shaderBytes = section.shaders.reduce((sum, file) => sum + file.bytes, 0);
    context.expect(shaderBytes + section.weights.bytes);
    return await guarded.scoped("making the model", async () => {
      const least = new Map(manifest.symbols?.map(({ name, low }) => [name, low]));
      const first = sectionAt(section, least);
      const buffers = createBuffers(device, first);
      const [kernels] = await Promise.all([
        createKernels(device, section, context),
        parallel(weightTasks(device, first, buffers, context), PARALLEL_DOWNLOADS),
      ]);
      const backend = new WebGpuBackend(manifest, section, guarded, kernels, buffers);
      backend.resize(least);
      backend.prepare();
      return backend;
    });
  } catch (error) {
    device.destroy();
    throw error;
  }
}

/** Submit dispatches in one command buffer. */
function dispatchAll(device: GPUDevice, dispatches: readonly Dispatch[]): void {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  for (const dispatch of dispatches) record(pass, dispatch);
  pass.end();
  device.queue.submit([encoder.finish()]);
}

/** An input and the words it is widened into. */
interface Upload {
  readonly tensor: TensorInfo<number>;
  readonly place: GpuTensor;
  readonly words: Words | undefined;
}

/** An output and its place in the staging buffer. */
interface Readback {
  readonly tensor: TensorInfo<number>;
  readonly place: GpuTensor;
  readonly offset: number;
  readonly count: number;
}

/** What depends on the sizes of a run. */
interface Sized {
  /** Those for which it is. */
  readonly key: string;
  readonly uniforms: Uniforms;
  readonly section: WebGpuSection;
  /** With states in both orders; made when they are needed. */
  readonly dispatches: (readonly Dispatch[] | undefined)[];
  readonly uploads: readonly Upload[];
  readonly seedPlace: GpuTensor | undefined;
  readonly readbacks: readonly Readback[];
  readonly staging: GPUBuffer;
}

class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly arrived = Promise.resolve();
  readonly threads = 1;
  readonly states: StatesOnDevice;
  readonly #manifest: Manifest;
  readonly #section: WebGpuSection<Expression>;
  readonly #guarded: GuardedDevice;
  readonly #kernels: readonly Kernel[];
  #buffers: readonly (GPUBuffer | undefined)[];
  #sized: Sized | undefined;

  constructor(
    manifest: Manifest,
    section: WebGpuSection<Expression>,
    guarded: GuardedDevice,
    kernels: readonly Kernel[],
    buffers: readonly GPUBuffer[],
  ) {
    this.#manifest = manifest;
    this.#section = section;
    this.#guarded = guarded;
    this.#kernels = kernels;
    this.#buffers = buffers;
    this.states = new StatesOnDevice(manifest, {
      read: (number, info) => this.#readState(number, info),
      write: (number, info, elements) => this.#writeState(number, info, elements),
    });
  }

  /** Make all that depends on sizes, where they are others than before. */
  resize(sizes: Sizes): Sized {
    const key = keyOf(sizes);
    if (this.#sized?.key === key) return this.#sized;
    const { device } = this.#guarded;
    const section = sectionAt(this.#section, sizes);
    // What goes wrong leaves nothing that could be taken for what there is.
    const before = this.#sized;
    this.#sized = undefined;
    before?.uniforms.buffer?.destroy();
    before?.staging.destroy();
    const buffers = createBuffers(device, section, this.#buffers);
    this.#buffers = buffers;
    const uniforms = createUniforms(device, section);
    const uploads = this.#manifest.inputs.map((info, i): Upload => {
      const tensor = tensorAt(info, sizes);
      const place = section.inputs[i] as GpuTensor;
      const count = elementCount(tensor.shape);
      const words = isStoredAsIs(tensor.dtype, place.storage)
        ? undefined
        : allocate(count * 4, () => wordsOver(place.storage, new ArrayBuffer(count * 4), 0, count));
      return { tensor, place, words };
    });
    let size = 0;
    const readbacks = this.#manifest.outputs.map((info, i): Readback => {
      const tensor = tensorAt(info, sizes);
      const count = elementCount(tensor.shape);
      const offset = size;
      // Mapped ranges begin at multiples of 8.
      const place = section.outputs[i] as GpuTensor;
      size += Math.ceil((count * storageBytes(place.storage)) / 8) * 8;
      return { tensor, place, offset, count };
    });
    const staging = device.createBuffer({
      label: "outputs",
      size: Math.max(size, 8),
      usage: USAGE.MAP_READ | USAGE.COPY_DST,
    });
    const seedPlace = section.seed;
    const dispatches: Sized["dispatches"] = [];
    this.#sized = { key, section, uniforms, dispatches, uploads, seedPlace, readbacks, staging };
    return this.#sized;
  }

  /** Run what is to run at load, which does not depend on sizes. */
  prepare(): void {
    const { prepare = 0 } = this.#section;
    if (!prepare || !this.#sized) return;
    dispatchAll(this.#guarded.device, this.#dispatches(this.#sized).slice(0, prepare));
  }

  run({ arrays, sizes, seed, state, following }: BoundInputs): Promise<Tensors> {
    const submit = (): Promise<Tensors> => {
      const sized = this.resize(sizes);
      this.states.enter(state, sizes);
      this.#write(arrays, seed, sized);
      const encoder = this.#guarded.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const dispatch of this.#ofARun(sized)) record(pass, dispatch);
      pass.end();
      return this.#read(encoder, sized);
    };
    const done = (outputs: Tensors): Tensors => {
      this.states.done(state, following);
      return outputs;
    };
    const run = this.#guarded.scoped("running the model", submit, { atOnce: true }).then(done);
    return this.#unlessItFails(run);
  }

  profile({ arrays, sizes, seed, state, following }: BoundInputs): ReturnType<Backend["profile"]> {
    const work = async (): ReturnType<Backend["profile"]> => {
      const { device } = this.#guarded;
      const sized = this.resize(sizes);
      this.states.enter(state, sizes);
      this.#write(arrays, seed, sized);
      const queries = device.features.has("timestamp-query");
      const time = queries ? timeByQueries : timeBySubmissions;
      const times = await time(device, this.#ofARun(sized));
      const outputs = await this.#read(device.createCommandEncoder(), sized);
      this.states.done(state, following);
      const { launches: all, prepare } = this.#section;
      const launches = all.slice(prepare).map(({ kernel, label }, i) => ({
        kernel: this.#section.kernels[kernel]?.name as string,
        label,
        milliseconds: times[i] as number,
      }));
      return { method: queries ? "timestamp-query" : "submit", launches, outputs };
    };
    return this.#unlessItFails(this.#guarded.scoped("profiling the model", work));
  }

  dispose(): void {
    this.#guarded.device.destroy();
  }

  /** Where memory for these sizes could not be had, the buffers are none: others are made for the next run. */
  async #unlessItFails<T>(work: Promise<T>): Promise<T> {
    try {
      return await work;
    } catch (error) {
      if (this.#manifest.symbols?.length) {
        this.#sized = undefined;
        this.#buffers = this.#buffers.map((buffer, i) => {
          if (this.#section.buffers[i]?.kind !== "arena") return buffer;
          buffer?.destroy();
          return undefined;
        });
      }
      throw error;
    }
  }

  #ofARun(sized: Sized): readonly Dispatch[] {
    return this.#dispatches(sized).slice(this.#section.prepare);
  }

  /** All dispatches, bound to the places that states have in this run. */
  #dispatches({ section, uniforms, dispatches }: Sized): readonly Dispatch[] {
    const { turn } = this.states;
    const buffers = [...this.#buffers] as GPUBuffer[];
    for (const { buffers: pair } of this.#section.states ?? [])
      for (const [i, number] of pair.entries())
        buffers[number] = this.#buffers[pair[(i + turn) % 2] as number] as GPUBuffer;
    const device = this.#guarded.device;
    dispatches[turn] ??= createDispatches(device, section, buffers, this.#kernels, uniforms);
    return dispatches[turn];
  }

  /** The buffer of a state that is read, and how its elements are stored. */
  #stateAt(number: number): { buffer: GPUBuffer; storage: Storage } {
    const { states = [] } = this.#section;
    const { buffers, storage } = states[number] as GpuState;
    const buffer = this.#buffers[buffers[this.states.turn] as number] as GPUBuffer;
    return { buffer, storage };
  }

  #writeState(number: number, info: StateInfo<number>, elements: TypedArray): void {
    const { buffer, storage } = this.#stateAt(number);
    const count = elementCount(info.shape);
    if (count === 0) return;
    const tensor = { ...info, name: info.input };
    let words = elements as Words;
    if (!isStoredAsIs(info.dtype, storage)) {
      const bytes = count * storageBytes(storage);
      words = allocate(bytes, () => wordsOver(storage, new ArrayBuffer(bytes), 0, count));
      widen(tensor, elements, words);
    }
    this.#guarded.device.queue.writeBuffer(buffer, 0, words);
  }

  async #readState(number: number, info: StateInfo<number>): Promise<TypedArray> {
    const { buffer, storage } = this.#stateAt(number);
    const count = elementCount(info.shape);
    const tensor = { ...info, name: info.input };
    if (count === 0) return narrow(tensor, wordsOver(storage, new ArrayBuffer(0), 0, 0));
    const { device } = this.#guarded;
    const size = count * storageBytes(storage);
    const usage = USAGE.MAP_READ | USAGE.COPY_DST;
    return this.#guarded.scoped("reading a state", async () => {
      const staging = device.createBuffer({ label: "state", size, usage });
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(buffer, 0, staging, 0, size);
      device.queue.submit([encoder.finish()]);
      await staging.mapAsync(MAP_READ);
      try {
        const words = wordsOver(storage, staging.getMappedRange(), 0, count);
        return allocate(size, () => narrow(tensor, words));
      } finally {
        staging.destroy();
      }
    });
  }

  #write(inputs: Tensors, seed: Seed, { uploads, seedPlace }: Sized): void {
    const write = ({ buffer, offset }: GpuTensor, words: Words): void =>
      this.#guarded.device.queue.writeBuffer(this.#buffers[buffer] as GPUBuffer, offset, words);
    for (const { tensor, place, words } of uploads) {
      const value = inputs[tensor.name] as TypedArray;
      if (words) widen(tensor, value, words);
      write(place, words ?? (value as Words));
    }
    if (seedPlace) write(seedPlace, seed);
  }

  /** Add the copies of all outputs to commands, submit them, and wait for the outputs. */
  async #read(encoder: GPUCommandEncoder, { readbacks, staging }: Sized): Promise<Tensors> {
    for (const { place, offset, count } of readbacks) {
      const source = this.#buffers[place.buffer] as GPUBuffer;
      const bytes = count * storageBytes(place.storage);
      encoder.copyBufferToBuffer(source, place.offset, staging, offset, bytes);
    }
    this.#guarded.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    try {
      const mapped = staging.getMappedRange();
      const outputs = noTensors();
      for (const { tensor, place, offset, count } of readbacks) {
        const words = wordsOver(place.storage, mapped, offset, count);
        outputs[tensor.name] = allocate(words.byteLength, () => narrow(tensor, words));
      }
      return outputs;
    } finally {
      staging.unmap();
    }
  }
}

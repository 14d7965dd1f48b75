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
import type { Expression, GpuTensor, Manifest, TensorInfo, WebGpuSection } from "../manifest.js";
import { allocate } from "../memory.js";
import type { Seed } from "../seed.js";
import { keyOf, type Sizes, sectionAt, tensorAt } from "../sizes.js";
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
  readonly dispatches: readonly Dispatch[];
  readonly uploads: readonly Upload[];
  readonly seedPlace: GpuTensor | undefined;
  readonly readbacks: readonly Readback[];
  readonly staging: GPUBuffer;
}

class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly arrived = Promise.resolve();
  readonly threads = 1;
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
    const dispatches = createDispatches(device, section, buffers, this.#kernels, uniforms);
    const seedPlace = section.seed;
    this.#sized = { key, uniforms, dispatches, uploads, seedPlace, readbacks, staging };
    return this.#sized;
  }

  /** Run what is to run at load, which does not depend on sizes. */
  prepare(): void {
    const { prepare = 0 } = this.#section;
    const dispatches = this.#sized?.dispatches.slice(0, prepare) ?? [];
    if (prepare) dispatchAll(this.#guarded.device, dispatches);
  }

  run({ arrays, sizes, seed }: BoundInputs): Promise<Tensors> {
    const submit = (): Promise<Tensors> => {
      const sized = this.resize(sizes);
      this.#write(arrays, seed, sized);
      const encoder = this.#guarded.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const dispatch of this.#ofARun(sized)) record(pass, dispatch);
      pass.end();
      return this.#read(encoder, sized);
    };
    return this.#unlessItFails(this.#guarded.scoped("running the model", submit, { atOnce: true }));
  }

  profile({ arrays, sizes, seed }: BoundInputs): ReturnType<Backend["profile"]> {
    const work = async (): ReturnType<Backend["profile"]> => {
      const { device } = this.#guarded;
      const sized = this.resize(sizes);
      this.#write(arrays, seed, sized);
      const queries = device.features.has("timestamp-query");
      const time = queries ? timeByQueries : timeBySubmissions;
      const times = await time(device, this.#ofARun(sized));
      const outputs = await this.#read(device.createCommandEncoder(), sized);
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

  #ofARun({ dispatches }: Sized): readonly Dispatch[] {
    return dispatches.slice(this.#section.prepare);
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

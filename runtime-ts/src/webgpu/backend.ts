import {
  type Backend,
  type BackendContext,
  noTensors,
  PARALLEL_DOWNLOADS,
  type Profile,
  type Tensors,
} from "../backend.js";
import { parallel } from "../cancel.js";
import { elementCount, type TypedArray } from "../dtypes.js";
import { UnsupportedError } from "../errors.js";
import type { GpuTensor, Manifest, TensorInfo, WebGpuSection } from "../manifest.js";
import { allocate } from "../memory.js";
import type { Seed } from "../seed.js";
import { openDevice } from "./device.js";
import { MAP_READ, USAGE } from "./flags.js";
import { GuardedDevice } from "./guard.js";
import { createKernels } from "./kernels.js";
import { createBuffers, createDispatches, type Dispatch, weightTasks } from "./program.js";
import { isStoredAsIs, narrow, storageBytes, type Words, widen, wordsOver } from "./storage.js";
import { record, timeByQueries, timeBySubmissions } from "./timing.js";

/** Open a device, then fetch, check and compile the WebGPU part of a package. */
export async function createWebGpuBackend(context: BackendContext): Promise<Backend> {
  const section = context.manifest.backends.webgpu;
  if (!section) throw new UnsupportedError("the package has no webgpu part");
  const guarded = new GuardedDevice(await openDevice(context.gpu, section));
  const { device } = guarded;
  try {
    const shaderBytes = section.shaders.reduce((sum, file) => sum + file.bytes, 0);
    context.expect(shaderBytes + section.weights.bytes);
    return await guarded.scoped("making the model", async () => {
      const buffers = createBuffers(device, section);
      const [kernels] = await Promise.all([
        createKernels(device, section, context),
        parallel(weightTasks(device, section, buffers, context), PARALLEL_DOWNLOADS),
      ]);
      const all = createDispatches(device, section, buffers, kernels);
      const { prepare = 0 } = section;
      if (prepare) dispatchAll(device, all.slice(0, prepare));
      const dispatches = all.slice(prepare);
      return new WebGpuBackend(context.manifest, section, guarded, buffers, dispatches);
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
  readonly tensor: TensorInfo;
  readonly place: GpuTensor;
  readonly words: Words | undefined;
}

/** An output and its place in the staging buffer. */
interface Readback {
  readonly tensor: TensorInfo;
  readonly place: GpuTensor;
  readonly offset: number;
  readonly count: number;
}

class WebGpuBackend implements Backend {
  readonly name = "webgpu";
  readonly arrived = Promise.resolve();
  readonly threads = 1;
  readonly #section: WebGpuSection;
  readonly #guarded: GuardedDevice;
  readonly #buffers: readonly GPUBuffer[];
  readonly #dispatches: readonly Dispatch[];
  readonly #uploads: readonly Upload[];
  readonly #readbacks: readonly Readback[];
  readonly #staging: GPUBuffer;

  constructor(
    manifest: Manifest,
    section: WebGpuSection,
    guarded: GuardedDevice,
    buffers: readonly GPUBuffer[],
    dispatches: readonly Dispatch[],
  ) {
    this.#section = section;
    this.#guarded = guarded;
    this.#buffers = buffers;
    this.#dispatches = dispatches;
    this.#uploads = manifest.inputs.map((tensor, i): Upload => {
      const place = section.inputs[i] as GpuTensor;
      const count = elementCount(tensor.shape);
      const words = isStoredAsIs(tensor.dtype, place.storage)
        ? undefined
        : allocate(count * 4, () => wordsOver(place.storage, new ArrayBuffer(count * 4), 0, count));
      return { tensor, place, words };
    });
    let size = 0;
    this.#readbacks = manifest.outputs.map((tensor, i): Readback => {
      const count = elementCount(tensor.shape);
      const offset = size;
      // Mapped ranges begin at multiples of 8.
      const place = section.outputs[i] as GpuTensor;
      size += Math.ceil((count * storageBytes(place.storage)) / 8) * 8;
      return { tensor, place, offset, count };
    });
    this.#staging = guarded.device.createBuffer({
      label: "outputs",
      size: Math.max(size, 8),
      usage: USAGE.MAP_READ | USAGE.COPY_DST,
    });
  }

  run(inputs: Tensors, seed: Seed): Promise<Tensors> {
    const submit = (): Promise<Tensors> => {
      this.#write(inputs, seed);
      const encoder = this.#guarded.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      for (const dispatch of this.#dispatches) record(pass, dispatch);
      pass.end();
      return this.#read(encoder);
    };
    return this.#guarded.scoped("running the model", submit, { atOnce: true });
  }

  profile(inputs: Tensors, seed: Seed): Promise<Profile> {
    return this.#guarded.scoped("profiling the model", async () => {
      const { device } = this.#guarded;
      this.#write(inputs, seed);
      const queries = device.features.has("timestamp-query");
      const times = await (queries ? timeByQueries : timeBySubmissions)(device, this.#dispatches);
      const outputs = await this.#read(device.createCommandEncoder());
      const { launches: all, prepare } = this.#section;
      const launches = all.slice(prepare).map(({ kernel, label }, i) => ({
        kernel: this.#section.kernels[kernel]?.name as string,
        label,
        milliseconds: times[i] as number,
      }));
      return { method: queries ? "timestamp-query" : "submit", launches, outputs };
    });
  }

  dispose(): void {
    this.#guarded.device.destroy();
  }

  #write(inputs: Tensors, seed: Seed): void {
    const write = ({ buffer, offset }: GpuTensor, words: Words): void =>
      this.#guarded.device.queue.writeBuffer(this.#buffers[buffer] as GPUBuffer, offset, words);
    for (const { tensor, place, words } of this.#uploads) {
      const value = inputs[tensor.name] as TypedArray;
      if (words) widen(tensor, value, words);
      write(place, words ?? (value as Words));
    }
    if (this.#section.seed) write(this.#section.seed, seed);
  }

  /** Add the copies of all outputs to commands, submit them, and wait for the outputs. */
  async #read(encoder: GPUCommandEncoder): Promise<Tensors> {
    const staging = this.#staging;
    for (const { place, offset, count } of this.#readbacks) {
      const source = this.#buffers[place.buffer] as GPUBuffer;
      const bytes = count * storageBytes(place.storage);
      encoder.copyBufferToBuffer(source, place.offset, staging, offset, bytes);
    }
    this.#guarded.device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    try {
      const mapped = staging.getMappedRange();
      const outputs = noTensors();
      for (const { tensor, place, offset, count } of this.#readbacks) {
        const words = wordsOver(place.storage, mapped, offset, count);
        outputs[tensor.name] = allocate(words.byteLength, () => narrow(tensor, words));
      }
      return outputs;
    } finally {
      staging.unmap();
    }
  }
}

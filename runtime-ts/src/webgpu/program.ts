import type { BackendContext } from "../backend.js";
import { CompileError, messageOf } from "../errors.js";
import type { BindingAccess, FileRef, GpuBuffer, GpuKernel, WebGpuSection } from "../manifest.js";
import { USAGE, VISIBLE_TO_COMPUTE } from "./flags.js";

/** One dispatch with all it needs made. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** A pipeline and the layout of its bind group. */
export interface Kernel {
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** WebGPU wants sizes in whole words. */
export function wholeWords(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/** Make all buffers, each with the usages that it has. */
export function createBuffers(device: GPUDevice, section: WebGpuSection): GPUBuffer[] {
  const written = new Set(section.inputs.map((t) => t.buffer));
  const read = new Set(section.outputs.map((t) => t.buffer));
  return section.buffers.map((buffer, i) => {
    let usage: number = USAGE.STORAGE;
    if (buffer.kind === "weights" || written.has(i)) usage |= USAGE.COPY_DST;
    if (read.has(i)) usage |= USAGE.COPY_SRC;
    // A binding cannot be empty.
    const size = Math.max(wholeWords(buffer.bytes), 4);
    return device.createBuffer({ label: `${buffer.kind} ${i}`, size, usage });
  });
}

/** One task a shard: fetch it and copy its bytes into each weights buffer that shows some of them. */
export function weightTasks(
  device: GPUDevice,
  section: WebGpuSection,
  buffers: readonly GPUBuffer[],
  { downloader, signal, onBytes }: BackendContext,
): (() => Promise<void>)[] {
  let end = 0;
  return section.weights.shards.map((shard) => {
    const begin = end;
    end += shard.bytes;
    return async () => {
      const bytes = await downloader.bytes(shard, signal, onBytes);
      for (const [i, buffer] of section.buffers.entries()) {
        if (buffer.kind === "weights")
          upload(device, buffers[i] as GPUBuffer, buffer, begin, bytes);
      }
    };
  });
}

/** Copy the part of a shard (which begins at byte `begin` of all weights) that a buffer shows. */
function upload(
  device: GPUDevice,
  target: GPUBuffer,
  buffer: Extract<GpuBuffer, { kind: "weights" }>,
  begin: number,
  shard: Uint8Array<ArrayBuffer>,
): void {
  const from = Math.max(begin, buffer.offset);
  const to = Math.min(begin + shard.length, buffer.offset + buffer.bytes);
  if (from >= to) return;
  let bytes = shard.subarray(from - begin, to - begin);
  if (bytes.length % 4 !== 0) {
    const padded = new Uint8Array(wholeWords(bytes.length));
    padded.set(bytes);
    bytes = padded;
  }
  device.queue.writeBuffer(target, from - buffer.offset, bytes);
}

/** Compile all kernels at once, each as soon as its shader has arrived. */
export async function createKernels(
  device: GPUDevice,
  section: WebGpuSection,
  { downloader, signal, onBytes }: BackendContext,
): Promise<Kernel[]> {
  const shaders = section.shaders.map((file) => downloader.bytes(file, signal, onBytes));
  const modules = new Map<string, Promise<GPUShaderModule>>();
  const moduleOf = ({ shader, range }: GpuKernel): Promise<GPUShaderModule> => {
    const key = `${shader}:${range?.offset ?? 0}:${range?.bytes ?? ""}`;
    let module = modules.get(key);
    if (!module) {
      module = (shaders[shader] as Promise<Uint8Array>).then((text) => {
        const part = range ? text.subarray(range.offset, range.offset + range.bytes) : text;
        const label = section.shaders[shader]?.file as string;
        return device.createShaderModule({ label, code: new TextDecoder().decode(part) });
      });
      modules.set(key, module);
    }
    return module;
  };
  const layouts = new Map<string, GPUBindGroupLayout>();
  const layoutOf = (bindings: readonly BindingAccess[]): GPUBindGroupLayout => {
    const key = bindings.join();
    let layout = layouts.get(key);
    if (!layout) {
      layout = createLayout(device, bindings);
      layouts.set(key, layout);
    }
    return layout;
  };
  const kernels = Promise.all(
    section.kernels.map(async (kernel): Promise<Kernel> => {
      const module = await moduleOf(kernel);
      const layout = layoutOf(kernel.bindings);
      const file = section.shaders[kernel.shader] as FileRef;
      return { layout, pipeline: await createPipeline(device, kernel, file, module, layout) };
    }),
  );
  // The shaders too, so that the failure of one without kernels is not lost.
  const [made] = await Promise.all([kernels, ...shaders]);
  return made;
}

function createLayout(device: GPUDevice, bindings: readonly BindingAccess[]): GPUBindGroupLayout {
  const entries = bindings.map((access, binding): GPUBindGroupLayoutEntry => {
    const type = access === "read" ? "read-only-storage" : "storage";
    return { binding, visibility: VISIBLE_TO_COMPUTE, buffer: { type } };
  });
  return device.createBindGroupLayout({ entries });
}

async function createPipeline(
  device: GPUDevice,
  kernel: GpuKernel,
  file: FileRef,
  module: GPUShaderModule,
  layout: GPUBindGroupLayout,
): Promise<GPUComputePipeline> {
  try {
    return await device.createComputePipelineAsync({
      label: kernel.name,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: kernel.entryPoint },
    });
  } catch (error) {
    const { messages } = await module.getCompilationInfo();
    const errors = messages
      .filter((m) => m.type === "error")
      .map((m) => `${file.file}:${m.lineNum}:${m.linePos}: ${m.message}`);
    const what = `kernel ${kernel.name}`;
    throw new CompileError(what, errors.length > 0 ? errors : [messageOf(error)], { cause: error });
  }
}

/** Make all bind groups. */
export function createDispatches(
  device: GPUDevice,
  section: WebGpuSection,
  buffers: readonly GPUBuffer[],
  kernels: readonly Kernel[],
): Dispatch[] {
  return section.launches.map(({ kernel, bindings, workgroups }): Dispatch => {
    const { pipeline, layout } = kernels[kernel] as Kernel;
    const entries = bindings.map((b, binding): GPUBindGroupEntry => {
      const buffer = buffers[b.buffer] as GPUBuffer;
      return { binding, resource: { buffer, offset: b.offset, size: wholeWords(b.bytes) } };
    });
    return { pipeline, bindGroup: device.createBindGroup({ layout, entries }), workgroups };
  });
}

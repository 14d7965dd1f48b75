import type { BackendContext } from "../backend.js";
import type { GpuBuffer, WebGpuSection } from "../manifest.js";
import { allocate } from "../memory.js";
import { USAGE } from "./flags.js";
import type { Kernel } from "./kernels.js";

/** One dispatch with all it needs made. */
export interface Dispatch {
  readonly pipeline: GPUComputePipeline;
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** WebGPU wants sizes in whole words. */
export function wholeWords(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/** Make all buffers, each with the usages that it has. */
export function createBuffers(device: GPUDevice, section: WebGpuSection): GPUBuffer[] {
  const written = new Set([...section.inputs, section.seed].map((t) => t?.buffer));
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
      const bytes = allocate(shard.bytes, () => new Uint8Array(shard.bytes));
      await downloader.into(shard, bytes, signal, onBytes);
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

import type { BackendContext } from "../backend.js";
import { OutOfMemoryError } from "../errors.js";
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

/** A buffer of so many bytes is not worth making anew because fewer are used. */
const SMALL = 65536;
/** Of bindings of uniforms; that of every device. */
const UNIFORM_ALIGNMENT = 256;

/** WebGPU wants sizes in whole words. */
export function wholeWords(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

/** Throws an `OutOfMemoryError` where these sizes need more in one piece than the device gives. */
function checkLimits({ limits }: GPUDevice, section: WebGpuSection): void {
  const bindings = section.launches.flatMap((launch) => launch.bindings);
  const pieces = [
    [section.buffers, limits?.maxBufferSize],
    [bindings, limits?.maxStorageBufferBindingSize],
  ] as const;
  for (const [parts, most] of pieces) {
    const part = parts.find(({ bytes }) => bytes > most);
    if (!part) continue;
    const needed = `inputs of these sizes need ${part.bytes} bytes in one piece`;
    throw new OutOfMemoryError(`${needed}, and this GPU gives ${most}`);
  }
}

/**
 * Make all buffers, each with the usages that it has.
 *
 * @param known those for other sizes: what is not much too large is kept, what is not kept is destroyed
 */
export function createBuffers(
  device: GPUDevice,
  section: WebGpuSection,
  known: readonly (GPUBuffer | undefined)[] = [],
): GPUBuffer[] {
  checkLimits(device, section);
  const kept = (section.states ?? []).flatMap((state) => state.buffers);
  const written = new Set([...section.inputs, section.seed].map((t) => t?.buffer).concat(kept));
  const read = new Set(section.outputs.map((t) => t.buffer).concat(kept));
  // All that go before any that come, so that there is room.
  const fitting = section.buffers.map(({ bytes }, i) => {
    const buffer = known[i];
    if (buffer && buffer.size >= bytes && buffer.size <= Math.max(2 * bytes, SMALL)) return buffer;
    buffer?.destroy();
    return undefined;
  });
  return section.buffers.map((buffer, i) => {
    let usage: number = USAGE.STORAGE;
    if (buffer.kind === "weights" || written.has(i)) usage |= USAGE.COPY_DST;
    if (read.has(i)) usage |= USAGE.COPY_SRC;
    // A binding cannot be empty.
    const size = Math.max(wholeWords(buffer.bytes), 4);
    return fitting[i] ?? device.createBuffer({ label: `${buffer.kind} ${i}`, size, usage });
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

/** The sizes that launches take, each list once: one buffer, and where in it those of each launch are. */
export interface Uniforms {
  readonly buffer: GPUBuffer | undefined;
  readonly places: readonly ({ readonly offset: number; readonly size: number } | undefined)[];
}

/** Write the sizes of launches into a new buffer. */
export function createUniforms(device: GPUDevice, section: WebGpuSection): Uniforms {
  const known = new Map<string, { offset: number; size: number; words: readonly number[] }>();
  let end = 0;
  const places = section.launches.map(({ sizes: words }) => {
    if (!words) return undefined;
    const key = words.join();
    const place = known.get(key) ?? { offset: end, size: roundUp(4 * words.length), words };
    known.set(key, place);
    end = Math.max(end, place.offset + place.size);
    return { offset: place.offset, size: place.size };
  });
  if (end === 0) return { buffer: undefined, places };
  const data = new Int32Array(end / 4);
  for (const { offset, words } of known.values()) data.set(words, offset / 4);
  const usage = USAGE.UNIFORM | USAGE.COPY_DST;
  const buffer = device.createBuffer({ label: "sizes", size: end, usage });
  device.queue.writeBuffer(buffer, 0, data);
  return { buffer, places };
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / UNIFORM_ALIGNMENT) * UNIFORM_ALIGNMENT;
}

/** Make all bind groups. */
export function createDispatches(
  device: GPUDevice,
  section: WebGpuSection,
  buffers: readonly GPUBuffer[],
  kernels: readonly Kernel[],
  uniforms: Uniforms,
): Dispatch[] {
  return section.launches.map(({ kernel, bindings, workgroups }, i): Dispatch => {
    const { pipeline, layout } = kernels[kernel] as Kernel;
    const entries = bindings.map((b, binding): GPUBindGroupEntry => {
      const buffer = buffers[b.buffer] as GPUBuffer;
      return { binding, resource: { buffer, offset: b.offset, size: wholeWords(b.bytes) } };
    });
    const place = uniforms.places[i];
    if (place && uniforms.buffer)
      entries.push({ binding: entries.length, resource: { buffer: uniforms.buffer, ...place } });
    return { pipeline, bindGroup: device.createBindGroup({ layout, entries }), workgroups };
  });
}

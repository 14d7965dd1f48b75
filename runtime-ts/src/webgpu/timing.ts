import { MAP_READ, USAGE } from "./flags.js";
import type { Dispatch } from "./program.js";

/** How many launches are timed by one query set, which holds at most 4096 time stamps. */
const BATCH = 2048;
/** A time stamp is a 64-bit count of nanoseconds. */
const STAMP_BYTES = 8;

/** Record one dispatch in a pass of its own or in one that is shared. */
export function record(pass: GPUComputePassEncoder, dispatch: Dispatch): void {
  if (dispatch.workgroups.includes(0)) return;
  pass.setPipeline(dispatch.pipeline);
  pass.setBindGroup(0, dispatch.bindGroup);
  pass.dispatchWorkgroups(...dispatch.workgroups);
}

/** Run dispatches, each in a pass between two time stamps of the GPU; gives milliseconds. */
export async function timeByQueries(
  device: GPUDevice,
  dispatches: readonly Dispatch[],
): Promise<number[]> {
  const times: number[] = [];
  for (let begin = 0; begin < dispatches.length; begin += BATCH) {
    times.push(...(await timeBatch(device, dispatches.slice(begin, begin + BATCH))));
  }
  return times;
}

async function timeBatch(device: GPUDevice, dispatches: readonly Dispatch[]): Promise<number[]> {
  const count = dispatches.length * 2;
  const size = count * STAMP_BYTES;
  const querySet = device.createQuerySet({ type: "timestamp", count });
  const resolved = device.createBuffer({
    size,
    usage: USAGE.QUERY_RESOLVE | USAGE.COPY_SRC,
  });
  const staging = device.createBuffer({
    size,
    usage: USAGE.MAP_READ | USAGE.COPY_DST,
  });
  try {
    const encoder = device.createCommandEncoder();
    for (const [i, dispatch] of dispatches.entries()) {
      const pass = encoder.beginComputePass({
        timestampWrites: {
          querySet,
          beginningOfPassWriteIndex: 2 * i,
          endOfPassWriteIndex: 2 * i + 1,
        },
      });
      record(pass, dispatch);
      pass.end();
    }
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    await staging.mapAsync(MAP_READ);
    const stamps = new BigInt64Array(staging.getMappedRange());
    return dispatches.map((_, i) => {
      const [begin, end] = [stamps[2 * i] as bigint, stamps[2 * i + 1] as bigint];
      return Number(end - begin) / 1e6;
    });
  } finally {
    querySet.destroy();
    resolved.destroy();
    staging.destroy();
  }
}

/** Run dispatches, each in a submission of its own, and wait for it; gives milliseconds. */
export async function timeBySubmissions(
  device: GPUDevice,
  dispatches: readonly Dispatch[],
): Promise<number[]> {
  const times: number[] = [];
  for (const dispatch of dispatches) {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    record(pass, dispatch);
    pass.end();
    const commands = encoder.finish();
    const start = performance.now();
    device.queue.submit([commands]);
    await device.queue.onSubmittedWorkDone();
    times.push(performance.now() - start);
  }
  return times;
}

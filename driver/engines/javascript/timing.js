// Jobs that are timed in an engine, Node.js or a browser: ../scripted.py says what they are given.
// `read(file)` gives the bytes of a file of the job; `report(event)` tells how far it is.

export async function runJob(job, read, report) {
  return { kernels: timeKernels, package: profilePackage, peaks: measurePeaks }[job.kind](job, read, report);
}

/** Where the arguments of kernels lie is filled with this: numbers in [-1, 1) that repeat after 64 KiB. */
function fillFloats(memory, offset, bytes) {
  const view = new Float32Array(memory.buffer, offset, bytes >> 2);
  const length = Math.min(view.length, 1 << 14);
  let seed = 1;
  for (let i = 0; i < length; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
    view[i] = seed / 2 ** 31;
  }
  for (let done = length; done < view.length; done += length) {
    view.copyWithin(done, 0, Math.min(length, view.length - done));
  }
}

function time(work, repeats) {
  const start = performance.now();
  for (let i = 0; i < repeats; i++) work();
  return performance.now() - start;
}

/** The best, the median, the worst, and the mean of the fastest quarter. */
function summary(times) {
  const sorted = [...times].sort((a, b) => a - b);
  const fast = sorted.slice(0, (sorted.length + 3) >> 2);
  return {
    best: sorted[0],
    median: sorted[sorted.length >> 1],
    worst: sorted.at(-1),
    fast: fast.reduce((sum, t) => sum + t, 0) / fast.length,
  };
}

/**
 * Times candidates that compute the same, in turns, so that a change of the machine's speed meets all alike.
 * Each candidate is an export of one module, with the addresses of its operands.
 */
async function timeKernels({ module, pages, floats, candidates, warmup, sample, rounds }, read, report) {
  const memory = new WebAssembly.Memory({ initial: pages });
  for (const { offset, bytes } of floats) fillFloats(memory, offset, bytes);
  const { instance } = await WebAssembly.instantiate(await read(module), { env: { memory } });
  const works = candidates.map(({ name, operands }) => {
    const kernel = instance.exports[name];
    return () => kernel(...operands);
  });
  // The optimising compiler takes over after a while, and in the background. A sample is as many runs as the clock can tell.
  const repeats = works.map((work) => {
    let count = 1;
    let taken = time(work, count);
    for (let spent = taken; spent < warmup || taken < sample; spent += taken) {
      if (taken < sample) count *= 2;
      taken = time(work, count);
    }
    return count;
  });
  const times = works.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (let k = 0; k < works.length; k++) {
      const i = (k + round) % works.length;
      let taken = time(works[i], repeats[i]);
      while (taken < sample / 2) {
        // what disturbed the warm-up made it seem that so many runs take longer
        repeats[i] *= 2;
        taken = time(works[i], repeats[i]);
      }
      times[i].push(taken / repeats[i]);
    }
    await report({ step: round });
  }
  return times.map(summary);
}

/** Times each launch of a package but the first ones, which run at load, and whole runs. */
async function profilePackage(job, read, report) {
  const { module, pages, table, weights, floats, prepare, launches, warmup, rounds } = job;
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  if (table) new Uint32Array(memory.buffer, table.offset, table.words.length).set(table.words);
  for (const { offset, bytes } of floats) fillFloats(memory, offset, bytes);
  for (const { file, offset } of weights) new Uint8Array(memory.buffer).set(new Uint8Array(await read(file)), offset);
  const { instance } = await WebAssembly.instantiate(await read(module), { env: { memory } });
  const { run, run_range } = instance.exports;
  if (prepare > 0) instance.exports.prepare();
  for (let spent = time(run, 1), runs = 1; spent < warmup || runs < 3; runs++) spent += time(run, 1);
  for (let i = prepare; i < launches; i++) run_range(i, i + 1);
  const whole = [];
  const times = Array.from({ length: Math.max(launches - prepare, 0) }, () => []);
  for (let round = 0; round < rounds; round++) {
    whole.push(time(run, 1));
    for (let i = 0; i < times.length; i++) {
      const launch = prepare + i;
      times[i].push(time(() => run_range(launch, launch + 1), 1));
    }
    await report({ step: round });
  }
  return { whole: summary(whole), launches: times.map(summary) };
}

const SAMPLES = 20;
const MILLISECONDS = 20; // of one sample

/** The best rate of several samples of `work(repeats)`, in units of `amount` a nanosecond. */
function best(work, amount) {
  work(1);
  let repeats = 1;
  let spent = 0;
  while (spent < MILLISECONDS / 4) {
    repeats *= 4;
    spent = time(() => work(repeats), 1);
  }
  repeats = Math.max(1, Math.round((repeats * MILLISECONDS) / spent));
  let rate = 0;
  for (let i = 0; i < SAMPLES; i++) rate = Math.max(rate, (repeats * amount) / time(() => work(repeats), 1) / 1e6);
  return rate;
}

/** What the engine can do at best; see ../peaks.py for the module. */
async function measurePeaks({ module, pages, blocks, flopsPerStep, bytesPerStep }, read) {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const begin = 2 * 65536; // behind the stack
  new Float32Array(memory.buffer, begin).fill(1e-3); // so that each page is a real one
  const { instance } = await WebAssembly.instantiate(await read(module), { env: { memory } });
  const { multiply_add, read: sum } = instance.exports;
  const steps = 1000;
  return {
    gflops: best((repeats) => multiply_add(repeats * steps, 0.5, 0.25), steps * flopsPerStep),
    gigabytes: blocks.map((block) =>
      best((repeats) => sum(begin, begin + block, repeats), Math.ceil(block / bytesPerStep) * bytesPerStep),
    ),
  };
}

// What the engine can do at best; see ../peaks.py for the module.

const SAMPLES = 20;
const MILLISECONDS = 20; // of one sample

/** The best rate of several samples of `work(repeats)`, in units of `amount` a nanosecond. */
function best(work, amount) {
  work(1);
  let repeats = 1;
  let time = 0;
  while (time < MILLISECONDS / 4) {
    repeats *= 4;
    const start = performance.now();
    work(repeats);
    time = performance.now() - start;
  }
  repeats = Math.max(1, Math.round((repeats * MILLISECONDS) / time));
  let rate = 0;
  for (let i = 0; i < SAMPLES; i++) {
    const start = performance.now();
    work(repeats);
    rate = Math.max(rate, (repeats * amount) / (performance.now() - start) / 1e6);
  }
  return rate;
}

async function peaks({ module, pages, blocks, flopsPerStep, bytesPerStep }) {
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const begin = 2 * 65536; // behind the stack
  new Float32Array(memory.buffer, begin).fill(1e-3); // so that each page is a real one
  const { instance } = await WebAssembly.instantiate(Uint8Array.from(module), { env: { memory } });
  const { multiply_add, read } = instance.exports;
  const steps = 1000;
  return {
    gflops: best((repeats) => multiply_add(repeats * steps, 0.5, 0.25), steps * flopsPerStep),
    gigabytes: blocks.map((block) =>
      best((repeats) => read(begin, begin + block, repeats), Math.ceil(block / bytesPerStep) * bytesPerStep),
    ),
  };
}

globalThis.peaks = peaks;

// LiteRT.js, as its documentation has it used.

/** @returns an object with run() => {name: typed array} and dispose() */
export async function load({ backend, threads, url, inputsLast }) {
  const litert = await import("/litert/dist/index.js");
  await litert.loadLiteRt("/litert/wasm/", { threads: backend === "wasm" && threads > 1 });
  const model = await litert.loadAndCompile(`${url.litert}/model.tflite`, {
    accelerator: backend,
    cpuOptions: { numThreads: threads },
    gpuOptions: { precision: "fp32" },
  });
  const shapes = Object.fromEntries(model.getInputDetails().map(({ name, shape }) => [name, shape]));
  return {
    async run() {
      const feeds = {};
      for (const [name, { data }] of Object.entries(inputsLast)) feeds[name] = new litert.Tensor(data, shapes[name]);
      const results = await model.run(feeds);
      const outputs = {};
      for (const [name, tensor] of Object.entries(results)) {
        outputs[name] = await tensor.data();
        tensor.delete();
      }
      for (const tensor of Object.values(feeds)) tensor.delete();
      return outputs;
    },
    dispose: () => model.delete(),
  };
}

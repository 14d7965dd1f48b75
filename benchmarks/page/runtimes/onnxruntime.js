// onnxruntime-web, as its documentation has it used.

/** @returns an object with run() => {name: typed array} and dispose() */
export async function load({ backend, threads, url, inputs }) {
  const ort = await import(backend === "webgpu" ? "/ort/ort.webgpu.bundle.min.mjs" : "/ort/ort.wasm.bundle.min.mjs");
  ort.env.wasm.numThreads = threads;
  ort.env.wasm.wasmPaths = "/ort/";
  ort.env.logLevel = "error";
  const { file, externalData } = url.onnx;
  const session = await ort.InferenceSession.create(file, {
    executionProviders: [backend],
    externalData: externalData.map(({ path, file }) => ({ path, data: file })),
  });
  return {
    async run() {
      const feeds = {};
      for (const [name, { data, shape }] of Object.entries(inputs)) {
        feeds[name] = new ort.Tensor(data instanceof Int32Array ? "int32" : "float32", data, shape);
      }
      const results = await session.run(feeds);
      const outputs = {};
      for (const name of session.outputNames) outputs[name] = await results[name].getData();
      return outputs;
    },
    dispose: () => session.release(),
  };
}

// What a model is given and what it must return.

const DTYPES = { float32: Float32Array, int32: Int32Array };

/**
 * Loads the inputs and the expected outputs of a model.
 * `inputs` are channels-first, as in the ONNX file; `inputsLast` has images channels-last, for runtimes that want it so.
 */
export async function loadCase(url) {
  const description = await fetch(`${url}/case.json`).then((response) => response.json());
  const read = async ({ dtype, file }) =>
    new DTYPES[dtype](await fetch(`${url}/${file}`).then((response) => response.arrayBuffer()));
  const inputs = {};
  const inputsLast = {};
  for (const input of description.inputs) {
    inputs[input.name] = { data: await read(input), shape: input.shape };
    inputsLast[input.name] = { data: channelsLast(inputs[input.name]), shape: input.shape };
  }
  const expected = {};
  for (const output of description.outputs) expected[output.name] = await read(output);
  return { inputs, inputsLast, expected };
}

/** The same image with its channels last; anything else as it is. */
function channelsLast({ data, shape }) {
  if (shape.length !== 4) return data;
  const [n, c, h, w] = shape;
  const result = new data.constructor(data.length);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < c; j++) {
      for (let k = 0; k < h * w; k++) result[(i * h * w + k) * c + j] = data[(i * c + j) * h * w + k];
    }
  }
  return result;
}

/** The largest absolute error over all outputs, each relative to the range of what is expected of it. */
export function relativeError(outputs, expected) {
  let worst = 0;
  for (const [name, want] of Object.entries(expected)) {
    const got = outputs[name];
    if (got?.length !== want.length) throw new Error(`output ${name}: ${got?.length} values, not ${want.length}`);
    let low = Infinity;
    let high = -Infinity;
    let error = 0;
    for (let i = 0; i < want.length; i++) {
      low = Math.min(low, want[i]);
      high = Math.max(high, want[i]);
      const difference = Math.abs(got[i] - want[i]);
      if (!(difference <= error)) error = difference; // NaN is an error too
    }
    const relative = error / Math.max(high - low, 1e-30);
    if (!(relative <= worst)) worst = relative;
  }
  return worst;
}

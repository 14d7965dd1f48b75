// Runs a program of TensorFlow.js calls; see ../tensorflow_program.py for what it is and how it is made.

const DTYPES = { float32: Float32Array, int32: Int32Array, int64: BigInt64Array };

/** One function per step: (tf, inputs, attributes) => tensor. */
const STEPS = {
  conv2d: (tf, [x, filter, bias], a) =>
    tf.fused.conv2d({ x, filter, bias, strides: a.strides, pad: a.pad, dilations: a.dilations, activation: a.activation }),
  depthwiseConv2d: (tf, [x, filter, bias], a) =>
    tf.fused.depthwiseConv2d({
      x, filter, bias, strides: a.strides, pad: a.pad, dilations: a.dilations, activation: a.activation,
    }),
  matMul: (tf, [x, y, bias], a) =>
    bias || a.activation !== "linear"
      ? tf.fused.matMul({ a: x, b: y, bias, activation: a.activation })
      : tf.matMul(x, y),
  maxPool: (tf, [x], a) => tf.maxPool(x, a.kernel, a.strides, a.pad),
  avgPool: (tf, [x], a) => tf.avgPool(x, a.kernel, a.strides, a.pad),
  mean: (tf, [x], a) => tf.mean(x, a.axes, a.keepDims),
  transpose: (tf, [x], a) => tf.transpose(x, a.perm),
  reshape: (tf, [x], a) => tf.reshape(x, a.shape),
  concat: (tf, inputs, a) => tf.concat(inputs, a.axis),
  softmax: (tf, [x]) => tf.softmax(x),
  clipByValue: (tf, [x], a) => tf.clipByValue(x, a.low, a.high),
  gather: (tf, [x, indices], a) => tf.gather(x, indices, a.axis),
  layerNorm: (tf, [x, gamma, beta], a) => {
    const centred = tf.sub(x, tf.mean(x, -1, true));
    const variance = tf.mean(tf.square(centred), -1, true);
    return tf.add(tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, a.epsilon))), gamma), beta);
  },
  toFloat: (tf, [x]) => tf.cast(x, "float32"),
  identity: (tf, [x]) => tf.clone(x),
  add: (tf, [x, y]) => tf.add(x, y),
  sub: (tf, [x, y]) => tf.sub(x, y),
  mul: (tf, [x, y]) => tf.mul(x, y),
  div: (tf, [x, y]) => tf.div(x, y),
  pow: (tf, [x, y]) => tf.pow(x, y),
  relu: (tf, [x]) => tf.relu(x),
  square: (tf, [x]) => tf.square(x),
  sqrt: (tf, [x]) => tf.sqrt(x),
  erf: (tf, [x]) => tf.erf(x),
};

/** Loads a program; the result has run(inputs) => {name: typed array} and dispose(). */
export async function loadProgram(tf, url) {
  const [program, data] = await Promise.all([
    fetch(`${url}/program.json`).then((response) => response.json()),
    fetch(`${url}/weights.bin`).then((response) => response.arrayBuffer()),
  ]);
  const weights = new Map();
  for (const { name, dtype, shape, offset } of program.weights) {
    const size = shape.reduce((a, b) => a * b, 1);
    let values = new DTYPES[dtype](data, offset, size);
    if (dtype === "int64") values = Int32Array.from(values, Number);
    weights.set(name, tf.tensor(values, shape, dtype === "int64" ? "int32" : dtype));
  }
  return {
    async run(inputs) {
      const values = new Map(weights);
      const given = program.inputs.map(({ name, channelsLast }) => {
        const { data, shape } = inputs[name];
        const [n, c, h, w] = shape;
        const tensor = tf.tensor(data, channelsLast ? [n, h, w, c] : shape, data instanceof Int32Array ? "int32" : "float32");
        values.set(name, tensor);
        return tensor;
      });
      for (const step of program.steps) {
        const operands = step.inputs.map((name) => values.get(name));
        values.set(step.output, tf.tidy(() => STEPS[step.op](tf, operands, step.attributes)));
        for (const name of step.release) values.get(name).dispose();
      }
      const outputs = {};
      for (const name of program.outputs) {
        outputs[name] = await values.get(name).data();
        values.get(name).dispose();
      }
      for (const tensor of given) tensor.dispose();
      return outputs;
    },
    dispose() {
      for (const tensor of weights.values()) tensor.dispose();
    },
  };
}

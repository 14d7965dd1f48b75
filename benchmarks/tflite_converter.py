"""A script that `tflite.py` starts with TensorFlow on its path: it makes a `.tflite` file of a `tensorflow_program`.

Each step is the TensorFlow call of the same name. Padding is `SAME` wherever that means the same, as in networks that
were written for TensorFlow; elsewhere it is a `Pad` of its own, which XNNPACK knows too.
"""

import importlib
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

Tensor = Any
Attributes = dict[str, Any]
Step = dict[str, Any]


def main() -> None:
    """Do the job that the first argument describes in JSON."""
    job = json.loads(sys.argv[1])
    tf: Any = importlib.import_module("tensorflow")
    program = _Program(tf, Path(job["program"]))
    with tempfile.TemporaryDirectory() as directory:
        module = tf.Module()
        module.weights = list(program.weights.values())  # else they would be constants in the graph
        signature = tf.function(program.run, input_signature=[program.specs()])
        tf.saved_model.save(module, directory, signatures=signature.get_concrete_function())
        converter = tf.lite.TFLiteConverter.from_saved_model(directory)
        if job["quantisation"] != "none":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if job["quantisation"] == "static":
            converter.representative_dataset = lambda: program.samples(job["samples"])
        Path(job["output"]).write_bytes(converter.convert())


class _Program:
    def __init__(self, tf: Any, directory: Path) -> None:
        self.tf = tf
        self.description = json.loads((directory / "program.json").read_text())
        self.weights: dict[str, Tensor] = {}
        data = np.memmap(directory / "weights.bin", np.uint8, "r")
        for weight in self.description["weights"]:
            dtype = np.dtype(weight["dtype"])
            size = int(np.prod(weight["shape"])) * dtype.itemsize
            bytes_ = data[weight["offset"] : weight["offset"] + size]
            array = np.frombuffer(bytes_, dtype).reshape(weight["shape"])
            array = array.astype(np.int32) if dtype == np.int64 else array
            self.weights[weight["name"]] = tf.Variable(array, trainable=False)

    def specs(self) -> dict[str, Any]:
        """The inputs: images are channels-last."""
        result: dict[str, Any] = {}
        for entry in self.description["inputs"]:
            shape = _channels_last(entry)
            result[entry["name"]] = self.tf.TensorSpec(shape, entry["dtype"], entry["name"])
        return result

    def samples(self, files: list[str]) -> Iterator[dict[str, Any]]:
        for file in files:
            arrays = np.load(file)
            yield {
                entry["name"]: arrays[entry["name"]].transpose(0, 2, 3, 1)
                if entry["channelsLast"]
                else arrays[entry["name"]]
                for entry in self.description["inputs"]
            }

    def run(self, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
        values = {**self.weights, **inputs}
        non_negative: set[str] = set()
        for step in with_gelu(self.description["steps"]):
            operands = [values[name] for name in step["inputs"]]
            attributes = step["attributes"]
            if step["op"] == "maxPool" and step["inputs"][0] in non_negative:
                attributes = {**attributes, "lowest": 0.0}  # a padding that XNNPACK knows
            values[step["output"]] = STEPS[step["op"]](self.tf, operands, attributes)
            is_relu = attributes.get("activation") in ("relu", "relu6") or step["op"] == "relu"
            keeps_sign = step["op"] in ("maxPool", "avgPool", "concat")
            if is_relu or (keeps_sign and non_negative.issuperset(step["inputs"])):
                non_negative.add(step["output"])
        return {name: values[name] for name in self.description["outputs"]}


def with_gelu(steps: list[Step]) -> list[Step]:
    """`x / sqrt 2`, `erf`, `+ 1`, `* x`, `* 0.5` become one step: a `.tflite` file has GELU, but no error function."""
    readers: dict[str, list[Step]] = {}
    for step in steps:
        for name in step["inputs"]:
            readers.setdefault(name, []).append(step)
    result = list(steps)
    for first in steps:
        chain = [first]
        while len(chain) < 5 and len(readers.get(chain[-1]["output"], [])) == 1:
            chain += readers[chain[-1]["output"]]
        if [step["op"] for step in chain] == ["div", "erf", "add", "mul", "mul"]:
            x = first["inputs"][0]
            assert x in chain[3]["inputs"], "a product with another value than the argument"
            gelu = {**chain[4], "op": "gelu", "inputs": [x]}
            result[result.index(chain[4])] = gelu
            result = [step for step in result if step not in chain[:4]]
    return result


def _channels_last(entry: dict[str, Any]) -> list[int]:
    shape = entry["shape"]
    return [shape[0], *shape[2:], shape[1]] if entry["channelsLast"] else shape


def padded(
    tf: Any, x: Tensor, window: list[int], a: Attributes, value: float = 0.0
) -> tuple[Tensor, str]:
    """The operand of a window and the name of its padding, `SAME` or `VALID`."""
    if a["pad"] == "valid":
        return x, "VALID"
    same: list[list[int]] = []
    for size, kernel, stride in zip(x.shape[1:3], window, a["strides"], strict=True):
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        same.append([total // 2, total - total // 2])
    if a["pad"][1:3] == same:
        return x, "SAME"
    return tf.pad(x, a["pad"], constant_values=value), "VALID"


def _convolution(depthwise: bool) -> Callable[[Any, list[Tensor], Attributes], Tensor]:
    def call(tf: Any, operands: list[Tensor], a: Attributes) -> Tensor:
        x, filters, bias = operands
        window = [(k - 1) * d + 1 for k, d in zip(filters.shape[:2], a["dilations"], strict=True)]
        x, padding = padded(tf, x, window, a)
        if depthwise:
            strides = [1, *a["strides"], 1]
            y = tf.nn.depthwise_conv2d(x, filters, strides, padding, dilations=a["dilations"])
        else:
            y = tf.nn.conv2d(x, filters, a["strides"], padding, dilations=a["dilations"])
        return _activated(tf, tf.nn.bias_add(y, bias), a)

    return call


def _activated(tf: Any, y: Tensor, a: Attributes) -> Tensor:
    calls = {"relu": tf.nn.relu, "relu6": tf.nn.relu6}
    return calls[a["activation"]](y) if a["activation"] in calls else y


def _max_pool(tf: Any, operands: list[Tensor], a: Attributes) -> Tensor:
    lowest = a.get("lowest", float(np.finfo(np.float32).min))
    x, padding = padded(tf, operands[0], a["kernel"], a, lowest)
    return tf.nn.max_pool2d(x, a["kernel"], a["strides"], padding)


def _average_pool(tf: Any, operands: list[Tensor], a: Attributes) -> Tensor:
    x, padding = padded(tf, operands[0], a["kernel"], a)
    if padding == "VALID" and a["pad"] != "valid":
        raise NotImplementedError("an average over windows of which some are partly outside")
    return tf.nn.avg_pool2d(x, a["kernel"], a["strides"], padding)


def _product(tf: Any, operands: list[Tensor], a: Attributes) -> Tensor:
    y = tf.matmul(operands[0], operands[1])
    return _activated(tf, y if len(operands) == 2 else tf.nn.bias_add(y, operands[2]), a)


def _layer_norm(tf: Any, operands: list[Tensor], a: Attributes) -> Tensor:
    x, gamma, beta = operands
    centred = x - tf.reduce_mean(x, -1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centred), -1, keepdims=True)
    return centred * tf.math.rsqrt(variance + a["epsilon"]) * gamma + beta


STEPS: dict[str, Callable[[Any, list[Tensor], Attributes], Tensor]] = {
    "conv2d": _convolution(depthwise=False),
    "depthwiseConv2d": _convolution(depthwise=True),
    "matMul": _product,
    "maxPool": _max_pool,
    "avgPool": _average_pool,
    "mean": lambda tf, x, a: tf.reduce_mean(x[0], a["axes"], keepdims=a["keepDims"]),
    "transpose": lambda tf, x, a: tf.transpose(x[0], a["perm"]),
    "reshape": lambda tf, x, a: tf.reshape(x[0], a["shape"]),
    "concat": lambda tf, x, a: tf.concat(x, a["axis"]),
    "softmax": lambda tf, x, a: tf.nn.softmax(x[0]),
    "clipByValue": lambda tf, x, a: tf.clip_by_value(x[0], a["low"], a["high"]),
    "gather": lambda tf, x, a: tf.gather(x[0], x[1], axis=a["axis"]),
    "layerNorm": _layer_norm,
    "gelu": lambda tf, x, a: tf.nn.gelu(x[0], approximate=False),
    "toFloat": lambda tf, x, a: tf.cast(x[0], tf.float32),
    "identity": lambda tf, x, a: tf.identity(x[0]),
    "add": lambda tf, x, a: x[0] + x[1],
    "sub": lambda tf, x, a: x[0] - x[1],
    "mul": lambda tf, x, a: x[0] * x[1],
    "div": lambda tf, x, a: x[0] / x[1],
    "pow": lambda tf, x, a: tf.pow(x[0], x[1]),
    "relu": lambda tf, x, a: tf.nn.relu(x[0]),
    "square": lambda tf, x, a: tf.square(x[0]),
    "sqrt": lambda tf, x, a: tf.sqrt(x[0]),
    "erf": lambda tf, x, a: tf.math.erf(x[0]),
}
"""For each step the call: (tensorflow, operands, attributes) to a tensor."""


if __name__ == "__main__":
    main()

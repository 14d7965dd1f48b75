"""A network as a list of TensorFlow calls, so that TensorFlow.js runs it as its own converter would have made it.

Feature maps are channels-last, batch normalisation is folded, and bias and activation are given to the fused operators
`tf.fused.conv2d`, `tf.fused.depthwiseConv2d` and `tf.fused.matMul`. Weights are laid out here, not in the browser.

The result is `program.json` (inputs, weights, steps, outputs) and `weights.bin`; `page/tfjs_program.js` runs them, and
`tflite_converter.py` makes a `.tflite` file of them.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference

Array = NDArray[Any]
ACTIVATIONS = {"Relu": "relu", "Clip": "relu6"}


@dataclass
class Step:
    """One call. `inputs` name weights or results of earlier steps; `release` names what nobody reads afterwards."""

    op: str
    inputs: list[str]
    output: str
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])
    release: list[str] = field(default_factory=list[str])


def write_program(path: Path, directory: Path) -> None:
    """Write `program.json` and `weights.bin` for the ONNX model at `path` into `directory`.

    Raises:
        NotImplementedError: the model has an operator, or a form of one, that no network of the benchmarks has.
    """
    translation = _Translation(onnx.load(path))
    translation.run()
    offset = 0
    table: list[dict[str, Any]] = []
    with (directory / "weights.bin").open("wb") as file:
        for name in translation.used_weights():
            array = np.ascontiguousarray(translation.weights[name])
            table.append(
                {"name": name, "dtype": array.dtype.name, "shape": array.shape, "offset": offset}
            )
            file.write(array.tobytes())
            offset += array.nbytes
    program = {
        "inputs": [
            {
                "name": name,
                "dtype": translation.dtypes[name],
                "shape": translation.shapes[name],  # channels-first, as in the ONNX file
                "channelsLast": name in translation.channels_last,
            }
            for name in translation.inputs
        ],
        "weights": table,
        "steps": [vars(step) for step in translation.steps],
        "outputs": translation.outputs,
    }
    (directory / "program.json").write_text(json.dumps(program))


class _Translation:
    def __init__(self, model: onnx.ModelProto) -> None:
        graph = model.graph
        self.nodes = list(graph.node)
        self.inputs = [value.name for value in graph.input]
        self.dtypes = {
            value.name: helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type).name
            for value in graph.input
        }
        self.outputs = [value.name for value in graph.output]
        self.weights: dict[str, Array] = {
            tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer
        }
        del graph.initializer[:]  # the shapes of values do not need what is in the weights
        self.shapes = _value_shapes(model, self.weights)
        self.readers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.channels_last: set[str] = set()
        self.steps: list[Step] = []
        self.done: set[str] = set()  # nodes that went into the step of an earlier one

    def run(self) -> None:
        for name in self.inputs:
            if len(self.shapes[name]) == 4:
                self.channels_last.add(name)
        for node in self.nodes:
            if node.name not in self.done:
                translate = _TRANSLATIONS.get(node.op_type)
                if translate is None:
                    raise NotImplementedError(f"{node.name}: {node.op_type} for TensorFlow")
                translate(self, node)
        last_reader = {name: step for step in self.steps for name in step.inputs}
        made = {step.output for step in self.steps}
        for name, step in last_reader.items():
            if name in made and name not in self.outputs:
                step.release.append(name)

    def used_weights(self) -> list[str]:
        names = dict.fromkeys(name for step in self.steps for name in step.inputs)
        return [name for name in names if name in self.weights]

    # what the translations of operators are made of

    def emit(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        self.steps.append(Step(op, inputs, output, attributes))

    def only_reader(self, name: str, *op_types: str) -> onnx.NodeProto | None:
        """The reader of a value, if it is the only one and of one of these types."""
        readers = self.readers.get(name, [])
        if len(readers) == 1 and readers[0].op_type in op_types and name not in self.outputs:
            return readers[0]
        return None

    def absorb_activation(self, output: str) -> tuple[str, str]:
        """The name of the activation that follows and of its result, or `linear` and the value itself."""
        node = self.only_reader(output, *ACTIVATIONS)
        if node is None or (node.op_type == "Clip" and not self.is_relu6(node)):
            return "linear", output
        self.done.add(node.name)
        return ACTIVATIONS[node.op_type], node.output[0]

    def is_relu6(self, node: onnx.NodeProto) -> bool:
        bounds = [self.weights[name].item() for name in node.input[1:]]
        return bounds == [0.0, 6.0]

    def axis(self, name: str, axis: int) -> int:
        """An axis of an NCHW value, in the order that the value has here."""
        rank = len(self.shapes[name])
        return (0, 3, 1, 2)[axis % rank] if name in self.channels_last else axis


def _value_shapes(model: onnx.ModelProto, weights: dict[str, Array]) -> dict[str, tuple[int, ...]]:
    """Shapes of all values. Only small weights go into the inference: it copies the model."""
    stripped = onnx.ModelProto()
    stripped.CopyFrom(model)
    for name, array in weights.items():
        if array.size <= 64:
            stripped.graph.initializer.append(numpy_helper.from_array(array, name))
        else:
            dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
            stripped.graph.input.append(helper.make_tensor_value_info(name, dtype, array.shape))
    graph = shape_inference.infer_shapes(stripped, data_prop=True).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {
        value.name: tuple(d.dim_value for d in value.type.tensor_type.shape.dim) for value in values
    }


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _spatial(attributes: dict[str, Any]) -> dict[str, Any]:
    """Strides and explicit padding of a convolution or a pool."""
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    padded = any((top, left, bottom, right))
    return {
        "strides": attributes["strides"],
        "pad": [[0, 0], [top, bottom], [left, right], [0, 0]] if padded else "valid",
    }


def _conv(t: _Translation, node: onnx.NodeProto) -> None:
    attributes = _attributes(node)
    weight = t.weights[node.input[1]]
    bias = t.weights[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), weight.dtype)
    output = node.output[0]
    norm = t.only_reader(output, "BatchNormalization")
    if norm is not None:
        gamma, beta, mean, variance = (t.weights[name] for name in norm.input[1:])
        factor = gamma / np.sqrt(variance + _attributes(norm).get("epsilon", 1e-5))
        weight = weight * factor[:, None, None, None]
        bias = (bias - mean) * factor + beta
        t.done.add(norm.name)
        output = norm.output[0]
    activation, output = t.absorb_activation(output)
    group = attributes["group"]
    depthwise = group > 1
    if depthwise and not (weight.shape[1] == 1 and group == t.shapes[node.input[0]][1]):
        raise NotImplementedError(f"{node.name}: grouped convolution for TensorFlow")
    # [M, C/group, kh, kw] -> [kh, kw, C, M] or [kh, kw, C, M/C]
    order = (2, 3, 0, 1) if depthwise else (2, 3, 1, 0)
    names = [f"{node.name}.filter", f"{node.name}.bias_folded"]
    t.weights[names[0]] = weight.transpose(order).astype(np.float32)
    t.weights[names[1]] = bias.astype(np.float32)
    t.emit(
        "depthwiseConv2d" if depthwise else "conv2d",
        [node.input[0], *names],
        output,
        **_spatial(attributes),
        dilations=attributes["dilations"],
        activation=activation,
    )
    t.channels_last.add(output)


def _pool(t: _Translation, node: onnx.NodeProto) -> None:
    attributes = _attributes(node)
    op = {"MaxPool": "maxPool", "AveragePool": "avgPool"}[node.op_type]
    t.emit(
        op,
        [node.input[0]],
        node.output[0],
        kernel=attributes["kernel_shape"],
        **_spatial(attributes),
    )
    t.channels_last.add(node.output[0])


def _global_average_pool(t: _Translation, node: onnx.NodeProto) -> None:
    t.emit("mean", [node.input[0]], node.output[0], axes=[1, 2], keepDims=True)
    t.channels_last.add(node.output[0])


def _flatten(t: _Translation, node: onnx.NodeProto) -> None:
    (x,) = node.input
    shape = t.shapes[node.output[0]]
    if x in t.channels_last and t.shapes[x][2:] != (1, 1):
        t.emit("transpose", [x], f"{node.name}.nchw", perm=[0, 3, 1, 2])
        x = f"{node.name}.nchw"
    t.emit("reshape", [x], node.output[0], shape=shape)


def _gemm(t: _Translation, node: onnx.NodeProto) -> None:
    x, weight, bias = node.input
    activation, output = t.absorb_activation(node.output[0])
    if _attributes(node).get("transB"):
        t.weights[f"{weight}.transposed"] = t.weights[weight].T
        weight = f"{weight}.transposed"
    t.emit("matMul", [x, weight, bias], output, activation=activation)


def _matmul(t: _Translation, node: onnx.NodeProto) -> None:
    a, b = node.input
    if b not in t.weights:
        t.emit("matMul", [a, b], node.output[0], activation="linear")
        return
    # a dense layer on the last axis: one matrix of all rows, with the bias that follows
    inputs, output = [f"{node.name}.rows", b], node.output[0]
    add = t.only_reader(output, "Add")
    if add is not None:
        (bias,) = [name for name in add.input if name != output]
        if t.weights.get(bias, np.zeros((0, 0))).ndim == 1:
            inputs.append(bias)
            output = add.output[0]
            t.done.add(add.name)
    depth = t.shapes[a][-1]
    t.emit("reshape", [a], inputs[0], shape=[-1, depth])
    t.emit("matMul", inputs, f"{node.name}.product", activation="linear")
    t.emit("reshape", [f"{node.name}.product"], output, shape=t.shapes[output])


def _unary(op: str) -> Callable[[_Translation, onnx.NodeProto], None]:
    def translate(t: _Translation, node: onnx.NodeProto) -> None:
        t.emit(op, [node.input[0]], node.output[0])
        if node.input[0] in t.channels_last:
            t.channels_last.add(node.output[0])

    return translate


def _binary(op: str) -> Callable[[_Translation, onnx.NodeProto], None]:
    def translate(t: _Translation, node: onnx.NodeProto) -> None:
        inputs = list(node.input)
        exponent = t.weights.get(inputs[1]) if op == "pow" else None
        if exponent is not None and exponent.size == 1 and exponent.item() == 2.0:
            t.emit("square", inputs[:1], node.output[0])
            return
        t.emit(op, inputs, node.output[0])
        if any(name in t.channels_last for name in inputs):
            t.channels_last.add(node.output[0])

    return translate


def _clip(t: _Translation, node: onnx.NodeProto) -> None:
    low, high = (t.weights[name].item() for name in node.input[1:])
    t.emit("clipByValue", [node.input[0]], node.output[0], low=low, high=high)


def _concat(t: _Translation, node: onnx.NodeProto) -> None:
    axis = t.axis(node.input[0], _attributes(node)["axis"])
    t.emit("concat", list(node.input), node.output[0], axis=axis)
    if node.input[0] in t.channels_last:
        t.channels_last.add(node.output[0])


def _softmax(t: _Translation, node: onnx.NodeProto) -> None:
    axis = _attributes(node).get("axis", -1)
    if axis % len(t.shapes[node.input[0]]) != len(t.shapes[node.input[0]]) - 1:
        raise NotImplementedError(f"{node.name}: softmax of an inner axis for TensorFlow")
    t.emit("softmax", [node.input[0]], node.output[0])


def _gather(t: _Translation, node: onnx.NodeProto) -> None:
    t.emit("gather", list(node.input), node.output[0], axis=_attributes(node).get("axis", 0))


def _reduce_mean(t: _Translation, node: onnx.NodeProto) -> None:
    attributes = _attributes(node)
    keep = bool(attributes.get("keepdims", 1))
    t.emit("mean", [node.input[0]], node.output[0], axes=attributes["axes"], keepDims=keep)


def _layer_norm(t: _Translation, node: onnx.NodeProto) -> None:
    epsilon = _attributes(node)["epsilon"]
    t.emit("layerNorm", list(node.input), node.output[0], epsilon=epsilon)


def _reshape(t: _Translation, node: onnx.NodeProto) -> None:
    t.emit("reshape", [node.input[0]], node.output[0], shape=t.shapes[node.output[0]])


def _transpose(t: _Translation, node: onnx.NodeProto) -> None:
    t.emit("transpose", [node.input[0]], node.output[0], perm=_attributes(node)["perm"])


def _cast(t: _Translation, node: onnx.NodeProto) -> None:
    if _attributes(node)["to"] != onnx.TensorProto.FLOAT:
        raise NotImplementedError(f"{node.name}: cast to another type for TensorFlow")
    t.emit("toFloat", [node.input[0]], node.output[0])


_TRANSLATIONS: dict[str, Callable[[_Translation, onnx.NodeProto], None]] = {
    "Add": _binary("add"),
    "AveragePool": _pool,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": _concat,
    "Conv": _conv,
    "Div": _binary("div"),
    "Erf": _unary("erf"),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average_pool,
    "Identity": _unary("identity"),
    "LayerNormalization": _layer_norm,
    "MatMul": _matmul,
    "MaxPool": _pool,
    "Mul": _binary("mul"),
    "Pow": _binary("pow"),
    "ReduceMean": _reduce_mean,
    "Relu": _unary("relu"),
    "Reshape": _reshape,
    "Softmax": _softmax,
    "Sqrt": _unary("sqrt"),
    "Sub": _binary("sub"),
    "Transpose": _transpose,
    "Unsqueeze": _reshape,
}

"""Spells out the experimental operators that ONNX had until opset 9 and never defined since.

Files of CNTK, Caffe2 and Core ML's first converters have them. What they mean is what ONNX's documentation of 2018
says, and where that is silent what ONNX Runtime computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto
from onnx.helper import get_attribute_value, make_node

from webdnn.dialects.budget import TABLE_BYTES, elements
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.graphs import all_graphs, describe
from webdnn.frontends.onnx.old_graph import names_of

LAST_OPSET = 9
"""The last opset of the time of these operators; in newer models they are no part of ONNX."""


class _Expansion:
    """The nodes that an experimental one becomes."""

    def __init__(self, node: NodeProto, opset: int, taken: set[str]) -> None:
        self.node = node
        self.attributes: dict[str, Any] = {a.name: get_attribute_value(a) for a in node.attribute}
        self.nodes: list[NodeProto] = []
        self.opset = opset
        self._taken = taken

    def number(self, name: str, default: float | None = None) -> float:
        value = self.attributes.get(name, default)
        if not isinstance(value, int | float):
            raise self.invalid(f"it has no number {name}")
        return float(value)

    def numbers(self, name: str, count: int) -> list[int]:
        values: Sequence[int] = self.attributes.get(name, [])
        if len(values) != count:
            raise self.invalid(f"it needs {count} numbers {name}")
        return [int(value) for value in values]

    def shape(self, name: str) -> list[int]:
        """A list of sizes, which may be missing."""
        return [int(size) for size in self.attributes.get(name, [])]

    def constant(self, value: np.ndarray[Any, Any]) -> str:
        """A Constant node."""
        return self.add("Constant", value=onnx.numpy_helper.from_array(value))

    def invalid(self, why: str) -> WebDNNError:
        return WebDNNError(
            f"node '{describe(self.node)}' ({self.node.op_type}, an experimental operator) is invalid",
            where=describe(self.node),
            why=why,
        )

    def add(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """Append a node; gives the name of its result."""
        output = f"{self.node.output[0]}_{op_type}"
        while output in self._taken:
            output += "_"
        self._taken.add(output)
        self.nodes.append(make_node(op_type, inputs, [output], describe(self.node), **attributes))
        return output

    def cast_to_float(self, x: str) -> str:
        """A truth value as 0 or 1; before opset 6 types have names."""
        return self.cast(x, onnx.TensorProto.FLOAT)

    def cast(self, x: str, element: int) -> str:
        """Another element type; before opset 6 types have names."""
        name = onnx.TensorProto.DataType.Name(element)
        to: Any = element if self.opset >= 6 else name
        return self.add("Cast", x, to=to)

    def of(self, op_type: str, a: str, b: str | float | np.ndarray[Any, Any]) -> str:
        """An elementwise operator of two values, the second of which is broadcast."""
        if not isinstance(b, str):
            b = self.constant(np.asarray(b, np.float32))
        return self.add(op_type, a, b, **({"broadcast": 1} if self.opset < 7 else {}))


_Expand: TypeAlias = Callable[[_Expansion, str], str]
"""Appends the nodes that compute the result from the input of this name, and gives the name of the result."""


def _affine(e: _Expansion, x: str) -> str:
    return e.of("Add", e.of("Mul", x, e.number("alpha", 1.0)), e.number("beta", 0.0))


def _scale(e: _Expansion, x: str) -> str:
    return e.of("Mul", x, e.number("scale", 1.0))


def _image_scaler(e: _Expansion, x: str) -> str:
    bias = np.array(e.attributes.get("bias", []), np.float32)
    if not bias.size:
        raise e.invalid("it has no bias")
    return e.of("Add", _scale(e, x), bias.reshape(-1, 1, 1))


def _scaled_tanh(e: _Expansion, x: str) -> str:
    return e.of("Mul", e.add("Tanh", e.of("Mul", x, e.number("beta"))), e.number("alpha"))


def _parametric_softplus(e: _Expansion, x: str) -> str:
    return e.of("Mul", e.add("Softplus", e.of("Mul", x, e.number("beta"))), e.number("alpha"))


def _thresholded_relu(e: _Expansion, x: str) -> str:
    """The clip keeps minus infinity from a product with zero."""
    alpha = e.number("alpha", 1.0)
    clipped = e.add("Clip", x, min=alpha, max=float("inf"))
    is_above = e.of("Greater", x, alpha)
    return e.of("Mul", clipped, e.cast_to_float(is_above))


def _crop(e: _Expansion, x: str) -> str:
    left, top, right, bottom = e.numbers("border", 4)
    if "scale" in e.attributes:
        height, width = e.numbers("scale", 2)
        ends = [top + height, left + width]
    else:
        far = np.iinfo(np.int32).max
        ends = [-bottom if bottom else far, -right if right else far]
    return e.add("Slice", x, axes=[2, 3], starts=[top, left], ends=ends)


def _mean_variance_normalization(e: _Expansion, x: str) -> str:
    """Over all pictures of a batch, as in ONNX Runtime, and in version 9, which has `axes`."""
    axes = [0, 1, 2, 3] if e.number("across_channels", 0) else [0, 2, 3]
    centered = e.of("Sub", x, e.add("ReduceMean", x, axes=axes, keepdims=1))
    if not e.number("normalize_variance", 1):
        return centered
    variance = e.add("ReduceMean", e.of("Mul", centered, centered), axes=axes, keepdims=1)
    return e.of("Div", centered, e.add("Sqrt", e.of("Add", variance, 1e-9)))


def _fc(e: _Expansion, x: str) -> str:
    """x W^T + b, of matrices that are made of tensors."""
    if len(e.node.input) != 3:
        raise e.invalid("it needs x, W and b")
    rows = e.add("Flatten", x, axis=int(e.number("axis", 1)))
    weights = e.add("Flatten", e.node.input[1], axis=int(e.number("axis_w", 1)))
    broadcast = {"broadcast": 1} if e.opset < 7 else {}
    return e.add("Gemm", rows, weights, e.node.input[2], transB=1, **broadcast)


def _constant_fill(e: _Expansion, x: str) -> str:
    """One value everywhere, of the shape that an attribute, an input or the values of an input say."""
    element = int(e.number("dtype", onnx.TensorProto.FLOAT))
    if element not in _FILLED:
        raise e.invalid(
            f"its dtype is {element}, and must be one of {', '.join(map(str, _FILLED))}"
        )
    value = np.array(e.number("value", 0.0), onnx.helper.tensor_dtype_to_np_dtype(element))
    if not x:
        shape = e.shape("shape")
        if elements(shape) * value.dtype.itemsize > TABLE_BYTES or any(n < 0 for n in shape):
            raise e.invalid(f"its shape is {shape}")
        return e.constant(np.broadcast_to(value, shape))
    if extra := e.shape("extra_shape"):
        raise e.invalid(f"it has extra_shape {extra}, which is not supported")
    if not e.number("input_as_shape", 0):
        # No element is less than itself, not even NaN; before opset 9 floats alone are compared.
        x = e.cast_to_float(x)
        zeros = e.cast_to_float(e.add("Less", x, x))
        return e.cast(e.of("Add", zeros, float(value)), element)
    sizes = e.cast(x, onnx.TensorProto.INT64)
    if e.opset >= 9:
        filled = onnx.numpy_helper.from_array(value.reshape(1))
        return e.add("ConstantOfShape", sizes, value=filled)
    if e.opset == 8:
        return e.add("Expand", e.constant(value), sizes)
    raise e.invalid(
        f"its shape is computed, which opset {e.opset} has no operator for: export with opset 8 or newer"
    )


_FILLED = (
    onnx.TensorProto.FLOAT,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.BOOL,
)
"""The element types of ConstantFill."""


def _given_tensor_fill(e: _Expansion, x: str) -> str:
    """The values that an attribute lists, in the shape that an attribute or an input says."""
    values = np.array(e.attributes.get("values", []), np.float32)
    shape = e.shape("shape")
    if not x:
        if elements(shape) != values.size or any(n < 0 for n in shape):
            raise e.invalid(f"it has {values.size} values, and its shape is {shape}")
        return e.constant(values.reshape(shape))
    if e.shape("extra_shape") or not e.number("input_as_shape", 0) or e.opset < 5:
        raise e.invalid("its shape is that of an input, which is not supported")
    return e.add("Reshape", e.constant(values), e.cast(x, onnx.TensorProto.INT64))


_EXPANSIONS: Mapping[str, tuple[int, _Expand]] = {
    "Affine": (LAST_OPSET, _affine),
    "ConstantFill": (LAST_OPSET, _constant_fill),
    "Crop": (LAST_OPSET, _crop),
    "FC": (LAST_OPSET, _fc),
    "GivenTensorFill": (LAST_OPSET, _given_tensor_fill),
    "ImageScaler": (LAST_OPSET, _image_scaler),
    "MeanVarianceNormalization": (8, _mean_variance_normalization),
    "ParametricSoftplus": (LAST_OPSET, _parametric_softplus),
    "Scale": (LAST_OPSET, _scale),
    "ScaledTanh": (LAST_OPSET, _scaled_tanh),
    "ThresholdedRelu": (LAST_OPSET, _thresholded_relu),
}
"""By operator: the last opset in which it was experimental, and what it is."""

_WITHOUT_INPUT = ("ConstantFill", "GivenTensorFill")
"""Those that need no input."""


def expand_experimental(model: ModelProto, opset: int) -> None:
    """Replace the experimental operators of a model, which is changed, by those that its opset defines.

    Raises:
        WebDNNError: one lacks an attribute that it needs.
    """
    taken: set[str] | None = None
    for graph in list(all_graphs(model.graph)):
        if any(_expansion_of(node, opset) for node in graph.node):
            taken = names_of(all_graphs(model.graph)) if taken is None else taken
            _expand_graph(graph, opset, taken)


def _expansion_of(node: NodeProto, opset: int) -> _Expand | None:
    last, expand = _EXPANSIONS.get(node.op_type, (0, None))
    is_one = node.domain in ("", "ai.onnx") and opset <= last and any(node.output)
    has_input = bool(node.input) or node.op_type in _WITHOUT_INPUT
    return expand if is_one and has_input else None


def _expand_graph(graph: GraphProto, opset: int, taken: set[str]) -> None:
    nodes: list[NodeProto] = []
    for node in graph.node:
        expand = _expansion_of(node, opset)
        if expand is None:
            nodes.append(NodeProto.FromString(node.SerializeToString()))
            continue
        expansion = _Expansion(node, opset, taken)
        result = expand(expansion, node.input[0] if node.input else "")
        assert expansion.nodes[-1].output[0] == result
        expansion.nodes[-1].output[0] = node.output[0]
        nodes += expansion.nodes
    del graph.node[:]
    graph.node.extend(nodes)


__all__ = ["LAST_OPSET", "expand_experimental"]

"""Spells out the experimental operators that ONNX had until opset 9 and never defined since.

Files of CNTK, Caffe2 and Core ML's first converters have them. What they mean is what ONNX's documentation of 2018
says, and where that is silent what ONNX Runtime, or Caffe2, computes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto
from onnx.helper import get_attribute_value, make_node

from webdnn.dialects.budget import TABLE_BYTES, elements
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.graphs import all_graphs, describe
from webdnn.frontends.onnx.old_graph import names_of

LAST_OPSET = 9
"""The last opset of the time of these operators; in newer models they are no part of ONNX."""


class _Expansion:
    """The nodes that an experimental one becomes."""

    def __init__(
        self, node: NodeProto, opset: int, taken: set[str], constants: Mapping[str, TensorProto]
    ) -> None:
        self.node = node
        self._constants = constants
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

    def input(self, index: int) -> str:
        """The name of an input; "" where it is left out."""
        return self.node.input[index] if index < len(self.node.input) else ""

    def value(self, name: str) -> list[int] | None:
        """The whole numbers of a value, if it is a constant of the model."""
        if (tensor := self._constants.get(name)) is None:
            return None
        return [int(each) for each in onnx.numpy_helper.to_array(tensor).reshape(-1)]

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
        return self.add_several(1, op_type, *inputs, **attributes)[0]

    def add_several(self, count: int, op_type: str, *inputs: str, **attributes: Any) -> list[str]:
        """Append a node of several results; gives their names."""
        outputs: list[str] = []
        for _ in range(count):
            output = f"{self.node.output[0]}_{op_type}"
            while output in self._taken:
                output += "_"
            self._taken.add(output)
            outputs.append(output)
        self.nodes.append(make_node(op_type, inputs, outputs, describe(self.node), **attributes))
        return outputs

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


def _dynamic_slice(e: _Expansion, x: str) -> str:
    """Slice of opset 10 with steps of 1: bounds are inputs."""
    starts, ends = (e.value(e.input(index)) for index in (1, 2))
    axes = e.value(e.input(3)) if e.input(3) else None
    if e.input(3) and axes is None:
        raise e.invalid("its axes are computed, which is not supported")
    known = next((each for each in (axes, starts, ends) if each is not None), None)
    if known is None:
        raise e.invalid(
            "its bounds are computed and it has no axes, so that it is not known how many there are"
        )
    axes = [*range(len(known))] if axes is None else axes
    if any(each is not None and len(each) != len(axes) for each in (starts, ends)):
        raise e.invalid("it has not as many starts and ends as axes")
    if not axes:
        return e.add("Identity", x)
    if starts is not None and ends is not None:
        return e.add("Slice", x, axes=axes, starts=starts, ends=ends)
    if e.opset < 9:
        raise e.invalid(
            f"its bounds are computed, which opset {e.opset} has no operator for: export with opset 9 or newer"
        )
    if min(axes) < 0:
        raise e.invalid(f"its axes are {axes}, and must not be negative")
    for index, axis in enumerate(axes):
        x = _computed_slice(e, x, index, axis)
    return x


def _computed_slice(e: _Expansion, x: str, index: int, axis: int) -> str:
    """Those places of an axis that do not lie before a bound and lie before another one, which become constants when
    sizes are known. Bounds are element `index` of two inputs; a negative one counts from the end."""

    def number(value: int) -> str:
        return e.constant(np.array([value], np.int64))

    size = e.add("Gather", e.add("Shape", x), number(axis))
    one = onnx.numpy_helper.from_array(np.array([1], np.int64))
    places = e.add("Squeeze", e.add("NonZero", e.add("ConstantOfShape", size, value=one)), axes=[0])

    def is_before(bound: str) -> str:
        bound = e.cast(e.add("Gather", bound, number(index)), onnx.TensorProto.INT64)
        is_negative = e.cast(e.add("Less", bound, number(0)), onnx.TensorProto.INT64)
        return e.add("Less", places, e.add("Add", bound, e.add("Mul", is_negative, size)))

    inside = e.add("And", e.add("Not", is_before(e.input(1))), is_before(e.input(2)))
    return e.add("Compress", x, inside, axis=axis)


def _gru_unit(e: _Expansion, hidden: str) -> str:
    """One step of a GRU from what its gates get (reset, update and output, one behind the other; the reset is in the
    output already): as Caffe2 computes it, for ONNX's documentation gives no formula. Sequences that have ended keep
    their state, or lose it.
    """
    has_lengths = bool(e.number("sequence_lengths", 1)) and len(e.node.input) == 4
    if len(e.node.input) != 3 + has_lengths:
        raise e.invalid("it needs hidden_prev, gates, seq_lengths and t")
    if e.opset < 7:
        raise e.invalid("before opset 7 it is not supported: export with opset 7 or newer")
    parts = e.add_several(3, "Split", e.add("Transpose", e.input(1)), axis=0)  # of any rank
    _, update, output = (e.add("Transpose", part) for part in parts)
    old = e.add("Sigmoid", update)
    new = e.add("Sub", e.constant(np.array(1, np.float32)), old)
    state = e.add("Add", e.add("Mul", hidden, old), e.add("Mul", e.add("Tanh", output), new))
    if not has_lengths:
        return state
    lengths, time = (e.cast_to_float(e.input(index)) for index in (2, 3))
    time = e.add("Reshape", time, e.constant(np.array([1], np.int64)))
    goes_on = e.add("Unsqueeze", e.add("Less", time, lengths), axes=[1])
    is_dropped = bool(e.number("drop_states", 0))
    if e.opset >= 9:
        kept = e.constant(np.array(0, np.float32)) if is_dropped else hidden
        return e.add("Where", goes_on, state, kept)
    goes_on = e.cast_to_float(goes_on)  # a NaN of a sequence that has ended stays here
    state = e.add("Mul", state, goes_on)
    if is_dropped:
        return state
    has_ended = e.add("Sub", e.constant(np.array(1, np.float32)), goes_on)
    return e.add("Add", state, e.add("Mul", hidden, has_ended))


_EXPANSIONS: Mapping[str, tuple[int, _Expand]] = {
    "Affine": (LAST_OPSET, _affine),
    "ConstantFill": (LAST_OPSET, _constant_fill),
    "Crop": (LAST_OPSET, _crop),
    "DynamicSlice": (LAST_OPSET, _dynamic_slice),
    "FC": (LAST_OPSET, _fc),
    "GivenTensorFill": (LAST_OPSET, _given_tensor_fill),
    "GRUUnit": (LAST_OPSET, _gru_unit),
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
    constants: Mapping[str, TensorProto] = {}
    for graph in list(all_graphs(model.graph)):
        if any(_expansion_of(node, opset) for node in graph.node):
            if taken is None:
                taken, constants = names_of(all_graphs(model.graph)), _constants(model.graph)
            _expand_graph(graph, opset, taken, constants)


def _expansion_of(node: NodeProto, opset: int) -> _Expand | None:
    last, expand = _EXPANSIONS.get(node.op_type, (0, None))
    is_one = node.domain in ("", "ai.onnx") and opset <= last and any(node.output)
    has_input = bool(node.input) or node.op_type in _WITHOUT_INPUT
    return expand if is_one and has_input else None


def _constants(main: GraphProto) -> dict[str, TensorProto]:
    """The constants of a graph and those in its nodes, by their names, which are all different."""
    found: dict[str, TensorProto] = {}
    for graph in all_graphs(main):
        found |= {tensor.name: tensor for tensor in graph.initializer if not tensor.external_data}
        for node in graph.node:
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx") and node.output:
                values = [a.t for a in node.attribute if a.name == "value"]
                found |= dict(zip(node.output, values, strict=False))
    return found


def _expand_graph(
    graph: GraphProto, opset: int, taken: set[str], constants: Mapping[str, TensorProto]
) -> None:
    nodes: list[NodeProto] = []
    for node in graph.node:
        expand = _expansion_of(node, opset)
        if expand is None:
            nodes.append(NodeProto.FromString(node.SerializeToString()))
            continue
        expansion = _Expansion(node, opset, taken, constants)
        result = expand(expansion, node.input[0] if node.input else "")
        assert expansion.nodes[-1].output[0] == result
        expansion.nodes[-1].output[0] = node.output[0]
        nodes += expansion.nodes
    del graph.node[:]
    graph.node.extend(nodes)


__all__ = ["LAST_OPSET", "expand_experimental"]

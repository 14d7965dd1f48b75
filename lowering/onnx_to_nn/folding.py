"""Runs nodes whose operands are known at compile time, so that what computes shapes is gone below `onnx`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from math import ceil, isfinite
from typing import Any

import numpy as np
from xdsl.dialects.builtin import TensorType
from xdsl.ir import SSAValue

from webdnn.dialects.budget import MOST_ELEMENTS, elements
from webdnn.dialects.dtypes import Array, is_computable
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.numpy_meaning.onnx import run_node
from webdnn.dialects.numpy_meaning.size_arithmetic import is_of_sizes
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import size_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Unsupported
from webdnn.lowering.onnx_to_nn.node import Node, Value

FOLDED_ELEMENTS = 1024
"""Operands up to this size are computed with at once. Bigger ones are weights: ops on them stay in the IR."""
VALUE_DEPENDENT = {"NonZero", "Range", "Unique", "Compress", "NonMaxSuppression", "ConstantOfShape"}
"""Operators whose result's shape depends on an operand's values: they are run whatever the size of the operands."""
SHAPE_ONLY = {"Shape", "Size"}
"""Operators that read nothing but the shape of their operand."""
DRAWING = {
    "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli",
}  # fmt: skip
"""Operators that draw random numbers."""
NEVER = {
    *DRAWING,
    "If", "Loop", "Scan", "SequenceMap", "SequenceEmpty", "SequenceConstruct", "SplitToSequence", "Optional",
    "OptionalHasElement", "OptionalGetElement",
}  # fmt: skip
"""Operators that give something else each time, or that have subgraphs."""


def is_foldable(node: Node, builder: NNBuilder) -> bool:
    """Whether the node's results are to be computed now."""
    op_type = _own_type(node)
    if op_type in NEVER or op_type in SHAPE_ONLY or op_type == "Constant":
        return op_type == "Constant"
    operands = [v for v in node.operands if v is not None]
    if op_type == "DequantizeLinear" and is_computable(node.element()):
        return False  # that a small weight was quantised matters as much as for a large one
    if not operands:
        return op_type not in NEVER
    for index, value in enumerate(node.operands):
        if value is None:
            continue
        if isinstance(value, list) or not builder.is_constant(value):
            return False
        if op_type not in VALUE_DEPENDENT and size_of(value) > FOLDED_ELEMENTS:
            return False
        if node.constant(index) is None:
            return False
    return True


def _own_type(node: Node) -> str:
    """The operator where it is one of ONNX's own; those of other domains may have the same names."""
    return "" if node.op.domain else node.op.op_type


def is_run_in_numpy(node: Node) -> bool:
    """Whether the ops that a lowering makes of known operands can be run in numpy, so that it folds the node too."""
    return all(is_computable(node.element(i)) for i in range(len(node.operands)) if node.has(i))


def fold(node: Node, builder: NNBuilder) -> list[Value]:
    """The node's results as constants, by ONNX's reference implementation of the operator.

    That differs here and there from what ONNX defines, so this is for operators that cannot be lowered.
    """
    arrays = [node.constant(i) for i in range(len(node.operands))]
    for shape in _result_shapes(node, arrays):
        if elements(shape) > FOLDED_ELEMENTS:
            builder.reserve(shape)
    try:
        results = run_node(node.op, arrays, weights=builder.weights)
    except WebDNNError as error:
        raise Unsupported("it could not be computed at compile time: " + error.why) from error
    return [builder.constant(r) for r in results]


def _result_shapes(node: Node, arrays: Sequence[Array | None]) -> Iterator[Sequence[int]]:
    """The shapes that its results will have, as far as they are known or bounded before they are computed."""
    for result in node.op.results:
        if isinstance(result.type, TensorType) and all(n >= 0 for n in result.type.get_shape()):
            yield result.type.get_shape()
    values = [_numbers(array) for array in arrays]
    first = arrays[0].shape if arrays and arrays[0] is not None else ()
    op_type = _own_type(node)
    if op_type == "Range" and len(values) == 3:
        start, limit, delta = (v[0] for v in values)
        steps = (limit - start) / delta if delta else 0
        yield [min(ceil(steps), MOST_ELEMENTS)] if isfinite(steps) and steps > 0 else []
    elif op_type == "ConstantOfShape":
        yield values[0]
    elif op_type in ("HannWindow", "HammingWindow", "BlackmanWindow"):
        yield [max(int(values[0][0]), 0)]
    elif op_type == "MelWeightMatrix":
        yield [max(int(values[1][0]), 0) // 2 + 1, max(int(values[0][0]), 0)]
    elif op_type == "Expand":
        yield _broadcast_sizes(first, [int(v) for v in values[1]])
    elif op_type == "Tile":
        yield [n * max(int(times), 1) for n, times in zip(first, values[1], strict=False)]
    elif op_type in ("OneHot", "Pad", "CenterCropPad"):
        yield [*first, *(max(abs(int(v)), 1) for v in values[1] if isfinite(v))]


def _numbers(array: Array | None) -> list[Any]:
    """The elements of an operand of integers or of floats, those of `ml_dtypes` included."""
    if array is None or array.dtype.kind not in "iufV":
        return []
    return (array.astype(np.float64) if array.dtype.kind == "V" else array).ravel().tolist()


def _broadcast_sizes(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """The larger sizes, from the last dimension on."""
    return [max(sizes) for sizes in zip_longest(reversed(a), reversed(b), fillvalue=1)]


def fold_lowered(results: Sequence[Value], builder: NNBuilder) -> list[Value]:
    """What a lowering made of known operands, as constants where they are small."""
    return [_folded(result, builder) for result in results]


def _folded(result: Value, builder: NNBuilder) -> Value:
    if not isinstance(result, SSAValue) or not is_known(
        size_of(result), lambda n: n <= FOLDED_ELEMENTS
    ):
        return result
    array = builder.value_of(result)
    return result if array is None or is_of_sizes(array) else builder.constant(array)

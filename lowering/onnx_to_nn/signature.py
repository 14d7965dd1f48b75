"""Whether a node is what its operator's schema and definition ask for: operands, element types, ranks, attributes.

So a lowering can rely on it: the operands that must be there are there, of ranks and element types that the operator
takes, and attributes that speak of dimensions fit these ranks. Values of operands, and what only one operator asks
for, the lowerings check themselves.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from math import inf

from onnx import TensorProto
from onnx.defs import OpSchema
from xdsl.ir import SSAValue

from webdnn.dialects.onnx import OnnxOp
from webdnn.dialects.onnx.types import element_enum
from webdnn.dialects.sizes.types import element_of, shape_of, size_of
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.node import Node

Rank = int | tuple[int, float] | str
"""A rank, the least and the most, or SAME."""
SAME = "same"
"""The rank of operand 0 (of whatever operand comes first in the table)."""

_ANY_IMAGE = (2, inf)
_VECTOR = (0, 1)
RANKS: Mapping[str, Mapping[int, Rank]] = {
    "AffineGrid": {0: 3, 1: 1},
    "Attention": {0: (3, 4), 1: SAME, 2: SAME, 3: (1, 4), 4: 4, 5: 4, 6: 1},
    "AveragePool": {0: _ANY_IMAGE},
    "BatchNormalization": {0: (1, inf), 1: _VECTOR, 2: _VECTOR, 3: _VECTOR, 4: _VECTOR},
    "Col2Im": {0: 3, 1: 1, 2: 1},
    "Compress": {0: (1, inf), 1: 1},
    "Concat": {0: (1, inf), 1: SAME},
    "ConstantOfShape": {0: 1},
    "Conv": {0: _ANY_IMAGE, 1: SAME, 2: 1},
    "ConvInteger": {0: _ANY_IMAGE, 1: SAME},
    "ConvTranspose": {0: _ANY_IMAGE, 1: SAME, 2: 1},
    "DeformConv": {0: 4, 1: 4, 2: 4, 3: 1, 4: 4},
    "DepthToSpace": {0: 4},
    "Det": {0: (2, inf)},
    "Expand": {1: 1},
    "EyeLike": {0: 2},
    "GRU": {0: 3, 1: 3, 2: 3, 3: 2, 4: 1, 5: 3},
    "Gather": {0: (1, inf)},
    "GatherElements": {0: (1, inf), 1: SAME},
    "GatherND": {0: (1, inf), 1: (1, inf)},
    "Gemm": {0: 2, 1: 2, 2: (0, 2)},
    "GlobalAveragePool": {0: _ANY_IMAGE},
    "GlobalLpPool": {0: _ANY_IMAGE},
    "GlobalMaxPool": {0: _ANY_IMAGE},
    "GridSample": {0: (3, inf), 1: SAME},
    "GroupNormalization": {0: (2, inf), 1: 1, 2: 1},
    "InstanceNormalization": {0: _ANY_IMAGE, 1: 1, 2: 1},
    "LRN": {0: (2, inf)},
    "LSTM": {0: 3, 1: 3, 2: 3, 3: 2, 4: 1, 5: 3, 6: 3, 7: 2},
    "LpPool": {0: _ANY_IMAGE},
    "MatMul": {0: (1, inf), 1: (1, inf)},
    "MatMulInteger": {0: (1, inf), 1: (1, inf)},
    "MaxPool": {0: _ANY_IMAGE},
    "MaxRoiPool": {0: 4, 1: 2},
    "MaxUnpool": {0: _ANY_IMAGE, 1: SAME, 2: 1},
    "Multinomial": {0: 2},
    "NegativeLogLikelihoodLoss": {0: (2, inf), 2: 1},
    "NonMaxSuppression": {0: 3, 1: 3},
    "OneHot": {2: 1},
    "QLinearConv": {0: _ANY_IMAGE, 3: SAME, 8: 1},
    "QLinearMatMul": {0: (1, inf), 3: (1, inf)},
    "RNN": {0: 3, 1: 3, 2: 3, 3: 2, 4: 1, 5: 3},
    "RoiAlign": {0: 4, 1: 2, 2: 1},
    "STFT": {0: (2, 3), 2: 1},
    "Scatter": {0: (1, inf), 1: SAME, 2: SAME},
    "ScatterElements": {0: (1, inf), 1: SAME, 2: SAME},
    "ScatterND": {0: (1, inf), 1: (1, inf)},
    "SoftmaxCrossEntropyLoss": {0: (2, inf), 2: 1},
    "SpaceToDepth": {0: 4},
    "TopK": {0: (1, inf)},
    "Trilu": {0: (2, inf)},
}  # fmt: skip
"""The ranks of operands, by operator and index; of what is not here any rank is taken, or the lowering says which."""

WINDOWS = frozenset(
    ("Conv", "ConvInteger", "QLinearConv", "ConvTranspose", "MaxPool", "AveragePool", "LpPool", "MaxUnpool",
     "DeformConv")
)  # fmt: skip
"""Operators that slide a window: their attributes have a number, or two, for each spatial dimension."""
_PER_DIMENSION = {
    "kernel_shape": 1, "strides": 1, "dilations": 1, "output_padding": 1, "output_shape": 1, "pads": 2,
}  # fmt: skip

POSITIVE: Mapping[str, Collection[str]] = {
    **{op: ("kernel_shape", "strides", "dilations", "group") for op in WINDOWS},
    "Attention": ("q_num_heads", "kv_num_heads"),
    "DeformConv": ("kernel_shape", "strides", "dilations", "group", "offset_group"),
    "DepthToSpace": ("blocksize",),
    "GRU": ("hidden_size",),
    "GroupNormalization": ("num_groups",),
    "Col2Im": ("strides", "dilations"),
    "LRN": ("size",),
    "LSTM": ("hidden_size",),
    "MaxRoiPool": ("pooled_shape",),
    "Multinomial": ("sample_size",),
    "RNN": ("hidden_size",),
    "RoiAlign": ("output_height", "output_width"),
    "SpaceToDepth": ("blocksize",),
    "Split": ("num_outputs",),
}
"""Attributes that are at least 1, or whose numbers all are."""

AXIS: Mapping[str, int] = {
    **dict.fromkeys(
        ("ArgMax", "ArgMin", "Compress", "Concat", "Gather", "GatherElements", "Hardmax", "LayerNormalization",
         "LogSoftmax", "LpNormalization", "RMSNormalization", "Scatter", "ScatterElements", "Softmax", "Split",
         "SplitToSequence", "TopK", "Unique"),
        0,
    ),
    "Flatten": 1,
    "OneHot": 1,
}  # fmt: skip
"""Operators whose `axis` is a dimension of operand 0, and by how many dimensions it may go beyond."""
_REDUCTIONS = (
    "ReduceMax", "ReduceMin", "ReduceMean", "ReduceSum", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
    "ReduceLogSumExp", "ReduceSumSquare",
)  # fmt: skip
AXES = {
    **dict.fromkeys(("CenterCropPad", "Squeeze", "Resize", "Slice"), True),
    **dict.fromkeys(_REDUCTIONS, False),
}
"""Operators whose `axes` are dimensions of operand 0, and whether each is there at most once."""


LENGTHS: Mapping[str, tuple[str, Mapping[int, int]]] = {
    "CenterCropPad": ("axes", {1: 1}),
    "Pad": ("axes", {1: 2}),
    "Resize": ("axes", {1: 2, 2: 1, 3: 1}),
    "Tile": ("", {1: 1}),
    "Upsample": ("", {1: 1}),
}
"""Operators with operands that have so many numbers for each dimension of operand 0, or for each of its `axes`."""

CHOICES: Mapping[str, Mapping[str, Collection[str]]] = {
    "ScatterElements": {"reduction": ("none", "add", "mul", "max", "min")},
    "ScatterND": {"reduction": ("none", "add", "mul", "max", "min")},
}
"""The values that a string may have, where the lowering takes it as given."""


def check_node(node: Node) -> None:
    """Check a node before it is lowered.

    Raises:
        Invalid: an operand is missing, or of an element type or rank that the operator does not take; or an attribute
            is not positive, or does not fit the rank.
    """
    _check_elements(node)
    if node.op.domain:
        return  # The tables speak of ONNX's own operators.
    _check_ranks(node)
    for name in POSITIVE.get(node.op.op_type, ()):
        value = node.attr(name)
        if value is not None and any(
            v < 1 for v in (value if isinstance(value, list) else [value])
        ):
            raise Invalid(f"its attribute '{name}' is {value}, and must be positive")
    for name, choices in CHOICES.get(node.op.op_type, {}).items():
        if (value := node.attr(name, "none")) not in choices:
            raise Invalid(
                f"its attribute '{name}' is {value!r}, and must be one of {', '.join(choices)}"
            )
    if node.has(0) and isinstance(node.operands[0], SSAValue):
        rank = node.rank()
        for check in _CHECKS:
            check(node, rank)


def _describe(node: Node, index: int) -> str:
    names = node.op.input_names
    return f"its input '{names[min(index, len(names) - 1)]}'"


# --- operands ---------------------------------------------------------------------------------------------------


@cache
def _allowed(op: type[OnnxOp]) -> Mapping[str, Collection[str]]:
    """The types that each type variable of an operator stands for: `{"T": {"tensor(float)", ...}}`."""
    return {c.type_param_str: frozenset(c.allowed_type_strs) for c in op.schema.type_constraints}


def _type_name(value: SSAValue) -> str:
    return f"tensor({TensorProto.DataType.Name(element_enum(element_of(value))).lower()})"


def _check_elements(node: Node) -> None:
    schema, allowed = node.op.schema, _allowed(type(node.op))
    formals = schema.inputs
    chosen: dict[str, tuple[str, int]] = {}
    for index in range(max(len(node.operands), schema.min_input)):
        if not formals:
            return
        formal = formals[min(index, len(formals) - 1)]
        if not node.has(index):
            if formal.option == OpSchema.FormalParameterOption.Single:
                raise Invalid(f"{_describe(node, index)} is missing")
            continue
        value = node.operands[index]
        if not isinstance(value, SSAValue):
            continue
        name = _type_name(value)
        if name not in allowed.get(formal.type_str, {formal.type_str}):
            raise Invalid(f"{_describe(node, index)} is a {name}, which it does not take")
        if formal.type_str in allowed and formal.is_homogeneous:
            first, where = chosen.setdefault(formal.type_str, (name, index))
            if first != name:
                raise Invalid(
                    f"{_describe(node, where)} is a {first} and {_describe(node, index)} a {name}, "
                    "and both must be of one type"
                )


def _check_ranks(node: Node) -> None:
    wanted = RANKS.get(node.op.op_type, {})
    first = next(iter(wanted), 0)
    for index, rank in wanted.items():
        if not node.has(index) or not isinstance(node.operands[index], SSAValue):
            continue
        shape = shape_of(node[index])
        low, high = (
            (node.rank(first),) * 2
            if isinstance(rank, str)
            else ((rank, rank) if isinstance(rank, int) else rank)
        )
        if not low <= len(shape) <= high:
            want = (
                f"{low}" if low == high else f"{low} or more" if high == inf else f"{low} to {high}"
            )
            raise Invalid(
                f"{_describe(node, index)} has the shape {list(shape)}, and must be of rank {want}"
            )


# --- attributes -------------------------------------------------------------------------------------------------


def _check_window(node: Node, rank: int) -> None:
    if node.op.op_type not in WINDOWS:
        return
    for name, times in _PER_DIMENSION.items():
        values = node.ints(name)
        if values is not None and len(values) != times * (rank - 2):
            raise Invalid(
                f"its attribute '{name}' has {len(values)} numbers, and {times * (rank - 2)} are needed "
                f"for an input of rank {rank}"
            )


def _check_axis(node: Node, rank: int) -> None:
    beyond = AXIS.get(node.op.op_type)
    if beyond is not None and isinstance(axis := node.attr("axis"), int):
        _check_in_range(node, "axis", [axis], max(rank, 1) + beyond)


def _check_axes(node: Node, rank: int) -> None:
    axes = node.ints("axes") if node.op.op_type in AXES else None
    if axes is None:
        return
    _check_in_range(node, "axes", axes, max(rank, 1))
    if AXES[node.op.op_type] and len({a % max(rank, 1) for a in axes}) < len(axes):
        raise Invalid(f"its attribute 'axes' is {axes}, which names a dimension twice")


def _check_lengths(node: Node, rank: int) -> None:
    axes, operands = LENGTHS.get(node.op.op_type, ("", {}))
    given = node.ints(axes) if axes else None
    if given is None and axes in node.op.input_names:
        index = node.op.input_names.index(axes)
        given = node.known_ints(index) if node.has(index) else None
    count = rank if given is None else len(given)
    for index, times in operands.items():
        if index >= len(node.op.input_names) or not node.has(index):
            continue
        size, optional = size_of(node[index]), index > 0 and node.op.op_type == "Resize"
        if size != times * count and not (optional and size == 0):
            raise Invalid(
                f"{_describe(node, index)} has {size} numbers, and {times * count} are needed "
                f"for {count} dimensions"
            )


def _check_in_range(node: Node, name: str, axes: Sequence[int], rank: int) -> None:
    if any(not -rank <= axis < rank for axis in axes):
        shape = list(node.shape())
        value = axes[0] if name == "axis" else list(axes)
        raise Invalid(f"its attribute '{name}' is {value}, and its input has the shape {shape}")


def _check_batch_dims(node: Node, rank: int) -> None:
    if node.op.op_type == "GatherND" and node.has(1):
        most, count = min(rank, node.rank(1)), node.int("batch_dims")
        if not 0 <= count < most:
            raise Invalid(
                f"its attribute 'batch_dims' is {count}, and must be from 0 to {most - 1}"
            )


def _check_permutation(node: Node, rank: int) -> None:
    if node.op.op_type != "Transpose" or (order := node.ints("perm")) is None:
        return
    if sorted(order) != list(range(rank)):
        raise Invalid(
            f"its attribute 'perm' is {order}, which is no permutation of {rank} dimensions"
        )


_CHECKS = (
    _check_window,
    _check_axis,
    _check_axes,
    _check_permutation,
    _check_lengths,
    _check_batch_dims,
)

__all__ = ["check_node"]

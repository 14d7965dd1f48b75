"""Reductions, arg-reductions and running sums."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import is_bool
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.sizes.expression import bounds, minimum
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.integer_reduction import (
    integer_log_sum,
    integer_log_sum_exp,
    integer_mean,
    integer_norm,
    is_of_integers,
)
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

Reduction = Callable[[SSAValue, list[int], bool, NNBuilder], SSAValue]


def reduction_axes(node: Node) -> list[int]:
    """The dimensions to reduce over; none where `noop_with_empty_axes` says so."""
    axes = node.ints_or_input("axes", 1)
    if not axes:
        return [] if node.int("noop_with_empty_axes") else list(range(node.rank()))
    return sorted(set(node.dimensions(axes)))


def _sum(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
    return b.reduce("sum", x, axes, keep)


def _extreme(kind: str) -> Reduction:
    def reduce(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
        if is_bool(element_of(x)):
            return b.reduce("or" if kind == "max" else "and", x, axes, keep)
        return b.reduce(kind, x, axes, keep)

    return reduce


def _log_sum_exp(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
    """The greatest element is taken out first, unless it is infinite, so that exp does not overflow."""
    greatest = b.reduce("max", x, axes, True)
    infinite = b(ew.IsInfOp, greatest)
    greatest = b(ew.SelectOp, infinite, 0.0, greatest)
    total = b.reduce("sum", b(ew.ExpOp, b(ew.SubOp, x, greatest)), axes, keep)
    back = greatest if keep else b.reshape(greatest, shape_of(total))
    return b(ew.AddOp, b(ew.LogOp, total), back)


def _by_type(of_integers: Reduction, others: Reduction) -> Reduction:
    def reduce(x: SSAValue, axes: list[int], keep: bool, b: NNBuilder) -> SSAValue:
        return (of_integers if is_of_integers(x) else others)(x, axes, keep, b)

    return reduce


REDUCTIONS: dict[str, Reduction] = {
    "ReduceSum": _sum,
    "ReduceProd": lambda x, axes, keep, b: b.reduce("prod", x, axes, keep),
    "ReduceMax": _extreme("max"),
    "ReduceMin": _extreme("min"),
    "ReduceMean": _by_type(integer_mean, lambda x, axes, keep, b: b.mean(x, axes, keep)),
    "ReduceL1": lambda x, axes, keep, b: _sum(b(ew.AbsOp, x), axes, keep, b),
    "ReduceSumSquare": lambda x, axes, keep, b: _sum(b(ew.MulOp, x, x), axes, keep, b),
    "ReduceL2": _by_type(
        integer_norm,
        lambda x, axes, keep, b: b(ew.SqrtOp, _sum(b(ew.MulOp, x, x), axes, keep, b)),
    ),
    "ReduceLogSum": _by_type(
        integer_log_sum, lambda x, axes, keep, b: b(ew.LogOp, _sum(x, axes, keep, b))
    ),
    "ReduceLogSumExp": _by_type(integer_log_sum_exp, _log_sum_exp),
}


def _lowering(reduction: Reduction) -> Callable[[Node, NNBuilder], SSAValue]:
    def lower(node: Node, b: NNBuilder) -> SSAValue:
        axes = reduction_axes(node)
        return reduction(node[0], axes, bool(node.int("keepdims", 1)), b)

    return lower


for _name, _reduction in REDUCTIONS.items():
    onnx_lowering(_name, static=[1])(_lowering(_reduction))


def check_extent(node: Node, axis: int, count: int) -> None:
    """Refuse a search along `axis` for more elements than there are, unless it has no results."""
    shape = node.shape()
    others = shape[:axis] + shape[axis + 1 :]
    if bounds(shape[axis])[1] < count and 0 not in others:
        raise Invalid(
            f"it selects {count} of the {shape[axis]} elements of dimension {axis} (of {list(shape)})"
        )


@onnx_lowering("ArgMax", "ArgMin")
def arg_reduce(node: Node, b: NNBuilder) -> SSAValue:
    kind = "max" if node.op.op_type == "ArgMax" else "min"
    axis, last = node.axis(), bool(node.int("select_last_index"))
    check_extent(node, axis, 1)
    result = b.insert(rd.ArgReduceOp(kind, node[0], axis, last))
    if node.int("keepdims", 1):
        return result
    return b.reshape(result, [n for d, n in enumerate(node.shape()) if d != axis])


def running(
    op: type[ew.ElementwiseOp],
    x: SSAValue,
    axis: int,
    b: NNBuilder,
    *,
    neutral: float,
    exclusive: bool,
    reverse: bool,
) -> SSAValue:
    """All prefixes combined along `axis` in log2(n) steps: each adds what stands 1, 2, 4 ... elements before."""
    shape = shape_of(x)
    size, rank = shape[axis], len(shape)

    def shifted(value: SSAValue, by: int) -> SSAValue:
        low, high = [0] * rank, [0] * rank
        near, far = (high, low) if reverse else (low, high)
        by = minimum(by, size)
        near[axis], far[axis] = by, -by
        return b.pad(value, low, high, value=neutral)

    if exclusive and size != 0:
        x = shifted(x, 1)
    step = 1
    while step < bounds(size)[1]:
        x = b(op, x, shifted(x, step))
        step *= 2
    return x


@onnx_lowering("CumSum", "CumProd", static=[1])
def cumulative(node: Node, b: NNBuilder) -> SSAValue:
    is_sum = node.op.op_type == "CumSum"
    (axis,) = node.dimensions([node.known_int(1)])
    return running(
        ew.AddOp if is_sum else ew.MulOp,
        node[0],
        axis,
        b,
        neutral=0.0 if is_sum else 1.0,
        exclusive=bool(node.int("exclusive")),
        reverse=bool(node.int("reverse")),
    )

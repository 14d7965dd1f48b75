"""`recognize-normalize`: find normalisations that a model spells out in elementwise ops and means.

Exporters write layer, instance and group normalisation as `d = x - mean(x); d / sqrt(mean(d * d) + epsilon)`. Said as
one op, it is one kernel that reads a row once.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isclose, prod

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.dtypes import is_splat
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn.base import int_list
from webdnn.dialects.nn.data_movement import ConstantOp
from webdnn.dialects.nn.reduction import NormalizeOp, ReduceOp
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class RecognizeNormalize(ModulePass):
    """See the module's docstring."""

    name = "recognize-normalize"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = entry_function(op).body.block
        for inner in list(block.ops):
            if isinstance(inner, ew.DivOp | ew.MulOp):
                normalize = _match(inner)
                if normalize is not None:
                    normalize.location = inner.location
                    normalize.res.name_hint = inner.res.name_hint
                    Rewriter.insert_op(normalize, InsertPoint.before(inner))
                    inner.res.replace_all_uses_with(normalize.res)
        erase_dead_ops(block)


def erase_dead_ops(block: Block) -> None:
    """Erase the ops of a host program that nothing uses (they are all pure)."""
    for op in reversed(list(block.ops)):
        if op.results and not any(r.uses for r in op.results):
            Rewriter.erase_op(op)


def number_of(value: SSAValue) -> float | None:
    """The number that a splat constant repeats, else None."""
    if isinstance(value.owner, ConstantOp) and is_splat(value.owner.value):
        return float(next(iter(value.owner.value.iter_values())))  # pyright: ignore[reportArgumentType]
    return None


def _mean(value: SSAValue) -> tuple[SSAValue, list[int]] | None:
    """What `value` is the mean of, and over which dimensions (which it keeps)."""
    op = value.owner
    if not isinstance(op, ew.MulOp | ew.DivOp):
        return None
    total, factor = op.lhs, number_of(op.rhs)
    if factor is None and isinstance(op, ew.MulOp):
        total, factor = op.rhs, number_of(op.lhs)
    reduce = total.owner
    if factor is None or not isinstance(reduce, ReduceOp) or reduce.kind.data != "sum":
        return None
    axes = int_list(reduce.axes)
    count = prod(shape_of(reduce.x)[a] for a in axes)
    if is_symbolic(count):
        return None
    weight = factor if isinstance(op, ew.MulOp) else 1 / factor if factor else 0.0
    if not reduce.keep_dims.value.data or not isclose(weight * count, 1, rel_tol=1e-5):
        return None
    return reduce.x, axes


def _square(value: SSAValue) -> SSAValue | None:
    op = value.owner
    if isinstance(op, ew.MulOp) and op.lhs is op.rhs:
        return op.lhs
    if isinstance(op, ew.PowOp) and number_of(op.rhs) == 2:
        return op.lhs
    return None


def _deviation(value: SSAValue) -> tuple[SSAValue, list[int], float] | None:
    """`sqrt(mean(d * d) + epsilon)`: d, the dimensions and epsilon."""
    root = value.owner
    if not isinstance(root, ew.SqrtOp) or not isinstance(root.x.owner, ew.AddOp):
        return None
    add = root.x.owner
    variance, epsilon = add.lhs, number_of(add.rhs)
    if epsilon is None:
        variance, epsilon = add.rhs, number_of(add.lhs)
    mean = _mean(variance) if epsilon is not None else None
    if mean is None or epsilon is None:
        return None
    centered = _square(mean[0])
    return None if centered is None else (centered, mean[1], epsilon)


def _match(op: Operation) -> NormalizeOp | None:
    if isinstance(op, ew.DivOp):
        candidates = [(op.lhs, op.rhs)]
    else:
        assert isinstance(op, ew.MulOp)
        candidates = [
            (numerator, factor.owner.operands[0])
            for numerator, factor in ((op.lhs, op.rhs), (op.rhs, op.lhs))
            if isinstance(factor.owner, ew.ReciprocalOp)
        ]
    for numerator, denominator in candidates:
        found = _deviation(denominator)
        if found is None or found[0] is not numerator:
            continue
        centered, axes, epsilon = found
        difference = centered.owner
        if isinstance(difference, ew.SubOp):
            mean = _mean(difference.rhs)
            if mean is not None and mean[0] is difference.lhs and mean[1] == axes:
                return NormalizeOp(difference.lhs, axes, epsilon)
        return NormalizeOp(centered, axes, epsilon, centered=False)
    return None

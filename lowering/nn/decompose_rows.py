"""`decompose-rows`: softmax and normalisation over scattered or few long rows become reductions and elementwise ops.

What stays is one kernel that passes over each row several times, whatever its length. A few long rows would leave most
of a machine idle, where the elementwise ops are spread over all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.dtypes import dense_attr, numpy_dtype
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn.base import int_list
from webdnn.dialects.nn.data_movement import ConstantOp, SizesOp
from webdnn.dialects.nn.reduction import NormalizeOp, ReduceOp, SoftmaxOp
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.substitution import likely
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class DecomposeRows(ModulePass):
    """See the module's docstring. Rows of more elements than `max_row` stay where there are `min_rows` at least."""

    name = "decompose-rows"

    max_row: int = 4096
    min_rows: int = 32

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for inner in list(entry_function(op).body.block.ops):
            if isinstance(inner, SoftmaxOp) and not self._fits(inner, [inner.axis.value.data]):
                _replace(inner, _softmax(inner))
            elif isinstance(inner, NormalizeOp) and not self._fits(inner, int_list(inner.axes)):
                _replace(inner, _normalize(inner))

    def _fits(self, op: Operation, axes: list[int]) -> bool:
        shape = shape_of(op.operands[0])
        contiguous = axes == list(range(len(shape) - len(axes), len(shape)))
        row = likely(prod(shape[a] for a in axes))
        return contiguous and (row <= self.max_row or likely(prod(shape)) >= self.min_rows * row)


class _Inserter:
    """Inserts ops before `op`, at its location."""

    def __init__(self, op: Operation) -> None:
        self.location = op.location
        self.builder = Builder(InsertPoint.before(op))

    def __call__(self, op: Operation) -> SSAValue:
        op.location = self.location
        return self.builder.insert(op).results[0]

    def number(self, value: float, like: SSAValue) -> SSAValue:
        array = numpy_dtype(like.type).type(value)
        return self(ConstantOp(dense_attr(array.reshape(()))))

    def size(self, size: int, like: SSAValue) -> SSAValue:
        if not is_symbolic(size):
            return self.number(size, like)
        return self(ew.CastOp(self(SizesOp([size], is_scalar=True)), element_of(like)))


def _replace(op: Operation, value: SSAValue) -> None:
    value.name_hint = op.results[0].name_hint
    op.results[0].replace_all_uses_with(value)
    Rewriter.erase_op(op)


def _softmax(op: SoftmaxOp) -> SSAValue:
    insert = _Inserter(op)
    axes = [op.axis.value.data]
    shifted = insert(ew.SubOp(op.x, insert(ReduceOp("max", op.x, axes))))
    exponentials = insert(ew.ExpOp(shifted))
    total = insert(ReduceOp("sum", exponentials, axes))
    if op.log.value.data:
        return insert(ew.SubOp(shifted, insert(ew.LogOp(total))))
    return insert(ew.DivOp(exponentials, total))


def _normalize(op: NormalizeOp) -> SSAValue:
    insert = _Inserter(op)
    axes = int_list(op.axes)
    count = insert.size(maximum(prod(shape_of(op.x)[a] for a in axes), 1), op.x)
    mean = insert(ew.DivOp(insert(ReduceOp("sum", op.x, axes)), count))

    def centered() -> SSAValue:
        # said twice on purpose: each use is fused where it is read, and no centred tensor is stored
        return insert(ew.SubOp(op.x, mean)) if op.centered.value.data else op.x

    first = centered()
    squares = insert(ReduceOp("sum", insert(ew.MulOp(first, first)), axes))
    variance = insert(ew.DivOp(squares, count))
    epsilon = insert.number(op.epsilon.value.data, op.x)
    deviation = insert(ew.SqrtOp(insert(ew.AddOp(variance, epsilon))))
    return insert(ew.DivOp(centered(), deviation))

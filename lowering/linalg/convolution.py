"""Recognises convolutions among structured ops."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects import arith
from xdsl.dialects.builtin import FloatAttr, IntegerAttr
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, OpResult, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr

from webdnn.dialects import kernel
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.linalg.structure import (
    generics,
    has_concat,
    input_maps,
    iterator_letters,
    output_maps,
)

_BATCH, _Y, _X, _OUT, _KY, _KX, _IN = range(7)


@dataclass(frozen=True)
class Convolution:
    """A two-dimensional convolution, channels last, without groups, that is the first generic of a region.

    Attributes:
        op: the `linalg.generic`: `(n, y, x, o, ky, kx, c)`, of floats, or of small integers with sums of 32 bits.
        input_operand: the region's operand that it reads, `(n, height, width, in_channels)`, padded already.
        filter_operand: the region's operand that is the filter, `(*taps, in_channels, out_channels)`.
    """

    op: linalg.GenericOp
    input_operand: SSAValue
    filter_operand: SSAValue
    strides: tuple[int, int]
    dilations: tuple[int, int]

    @property
    def element_type(self) -> Attribute:
        return element_of(self.op.res[0])

    @property
    def batch(self) -> int:
        return shape_of(self.op.res[0])[0]

    @property
    def out_sizes(self) -> tuple[int, int]:
        """Height and width of the result."""
        _, height, width, _ = shape_of(self.op.res[0])
        return height, width

    @property
    def out_channels(self) -> int:
        return shape_of(self.op.res[0])[3]

    @property
    def in_channels(self) -> int:
        return shape_of(self.filter_operand)[2]

    @property
    def taps(self) -> tuple[int, int]:
        """Height and width of the filter."""
        height, width = shape_of(self.filter_operand)[:2]
        return height, width


def match_convolution(region: kernel.RegionOp) -> Convolution | None:
    """The convolution that a region begins with, if it does."""
    found = generics(region)
    if not found or has_concat(region.body.block) or len(region.outs) != 1:
        return None
    op = found[0]
    if iterator_letters(op) != "pppprrr" or len(op.inputs) != 2 or not _multiplies(op):
        return None
    operands: dict[SSAValue, SSAValue] = dict(zip(region.body.block.args, region.ins, strict=True))
    x, w = (operands.get(v) for v in op.inputs)
    if x is None or w is None or not _starts_at_zero(op):
        return None
    read, taps = input_maps(op)
    if not _is_dims(taps.results, (_KY, _KX, _IN, _OUT)):
        return None
    if not _is_dims(output_maps(op)[0].results, (_BATCH, _Y, _X, _OUT)):
        return None
    batch, y, x_index, channel = read.results
    vertical, horizontal = _steps(y, _Y, _KY), _steps(x_index, _X, _KX)
    if vertical is None or horizontal is None or not _is_dims((batch, channel), (_BATCH, _IN)):
        return None
    strides, dilations = zip(vertical, horizontal, strict=True)
    return Convolution(op, x, w, strides, dilations)


def _is_dims(exprs: tuple[AffineExpr, ...], positions: tuple[int, ...]) -> bool:
    """Whether index expressions are just these dimensions."""
    return len(exprs) == len(positions) and all(
        isinstance(e, AffineDimExpr) and e.position == p
        for e, p in zip(exprs, positions, strict=True)
    )


def _steps(expr: AffineExpr, at: int, tap: int) -> tuple[int, int] | None:
    """Stride and dilation of an index `at * stride + tap * dilation`."""
    rank = 7
    zero = [AffineExpr.constant(0)] * rank

    def value(position: int | None) -> int | None:
        point = list(zero)
        if position is not None:
            point[position] = AffineExpr.constant(1)
        result = expr.replace_dims_and_symbols(point, ())
        return result.value if isinstance(result, AffineConstantExpr) else None

    used = {e.position for e in expr.dfs() if isinstance(e, AffineDimExpr)}
    stride, dilation = value(at), value(tap)
    if not used <= {at, tap} or value(None) != 0 or not stride or not dilation:
        return None
    return stride, dilation


def _multiplies(op: linalg.GenericOp) -> bool:
    """Whether the body is `acc + x * w`, of floats or of integers that are extended with their sign."""
    ops = list(op.body.block.ops)
    if len(ops) < 3:
        return False
    *widened, product, sum, _ = ops
    x, w, acc = op.body.block.args
    if isinstance(product, arith.MulfOp) and isinstance(sum, arith.AddfOp):
        factors = {x, w}
    elif isinstance(product, arith.MuliOp) and isinstance(sum, arith.AddiOp):
        factors = set(map(_extended, (product.lhs, product.rhs)))
        widened = [e for e in widened if not isinstance(e, arith.ExtSIOp)]
    else:
        return False
    return not widened and factors == {x, w} and {sum.lhs, sum.rhs} == {product.result, acc}


def _extended(value: SSAValue) -> SSAValue:
    """What an integer is the extension of."""
    if isinstance(value, OpResult) and isinstance(value.op, arith.ExtSIOp):
        return value.op.input
    return value


def _starts_at_zero(op: linalg.GenericOp) -> bool:
    (init,) = op.outputs
    fill = init.owner
    if not isinstance(fill, linalg.FillOp):
        return False
    value = fill.inputs[0]
    if not isinstance(value, OpResult) or not isinstance(value.op, arith.ConstantOp):
        return False
    attr = value.op.value
    return isinstance(attr, FloatAttr | IntegerAttr) and attr.value.data == 0

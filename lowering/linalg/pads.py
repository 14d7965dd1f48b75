"""Recognises regions that pad a tensor with zeros, and makes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import IntegerAttr
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import OpResult, SSAValue

from webdnn.dialects import kernel
from webdnn.dialects.nn.data_movement import PadOp
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.linalg.structure import pointwise_root
from webdnn.lowering.nn_to_linalg.data_movement import lower_pad
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder

Insert = Callable[[kernel.RegionOp, str], SSAValue]
"""Puts a region into the host program, with a hint for its name."""


def zero_padded(
    value: SSAValue, axes: Sequence[int], sizes: Sequence[int], insert: Insert
) -> SSAValue:
    """`value` with zeros behind its last elements, so that its extents along `axes` are `sizes`.

    Where `value` is padded with zeros itself, one region pads for both.
    """
    shape = list(shape_of(value))
    high = [0] * len(shape)
    for axis, size in zip(axes, sizes, strict=True):
        high[axis] = size - shape[axis]
    if all(n == 0 for n in high):
        return value
    source, low = value, [0] * len(shape)
    if isinstance(value.owner, kernel.RegionOp) and (found := _match_pad(value.owner)) is not None:
        source, low, before = value.owner.ins[0], *found
        high = [a + b for a, b in zip(high, before, strict=True)]
    return insert(_pad_region(source, low, high), "pad")


def _pad_region(source: SSAValue, low: Sequence[int], high: Sequence[int]) -> kernel.RegionOp:
    pad = PadOp(source, low, high)
    region = lower_pad(pad, RegionBuilder([source]))
    pad.erase()
    return region


def _match_pad(region: kernel.RegionOp) -> tuple[list[int], list[int]] | None:
    """How much a region pads its only operand with zeros, before and behind along each axis."""
    root = pointwise_root(region)
    if root is None or root.inputs or len(region.ins) != 1:
        return None
    reads = [op for op in root.body.block.ops if isinstance(op, tensor.ExtractOp)]
    if len(reads) != 1:
        return None
    low: list[int] = []
    for axis, index in enumerate(reads[0].indices):
        shift = _shift(index, axis)
        if shift is None:
            return None
        low.append(-shift)
    inner, outer = shape_of(region.ins[0]), shape_of(region.outs[0])
    high = [o - i - n for o, i, n in zip(outer, inner, low, strict=True)]
    if not all(is_known(n, lambda length: length >= 0) for n in (*low, *high)):
        return None
    # the same, read back: conditions and pad value are what a pad with zeros has
    same = _pad_region(region.ins[0], low, high)
    equal = region.body.is_structurally_equivalent(same.body)
    same.erase()
    return (low, high) if equal else None


def _shift(index: SSAValue, axis: int) -> int | None:
    """c, where an index is that of a result along `axis` plus c, clamped or not."""
    while isinstance(index, OpResult) and isinstance(index.op, arith.MinSIOp | arith.MaxSIOp):
        index = index.op.lhs
    if not isinstance(index, OpResult):
        return None
    if isinstance(index.op, linalg.IndexOp):
        return 0 if index.op.dim.value.data == axis else None
    if isinstance(index.op, arith.AddiOp) and isinstance(index.op.rhs, OpResult):
        constant = index.op.rhs.op
        if isinstance(constant, arith.ConstantOp) and isinstance(constant.value, IntegerAttr):
            inner = _shift(index.op.lhs, axis)
            return None if inner is None else inner + constant.value.value.data
    return None

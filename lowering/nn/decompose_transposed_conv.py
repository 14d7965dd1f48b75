"""`decompose-transposed-conv`: transposed convolutions without their zeros, by sub-pixels.

A transposed convolution of stride s is a convolution of its input with zeros put between the elements. Of any s
results in a row, each sees other taps of the filter, and the same elements of the input: so it is a convolution of the
input as it is with s times the channels, whose results are put side by side (Shi et al., "Is the deconvolution layer
the same as a convolutional layer?", 2016).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn.base import int_list
from webdnn.dialects.nn.data_movement import ConcatOp, PadOp, ReshapeOp, SliceOp, TransposeOp
from webdnn.dialects.nn.reduction import ConvOp
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.weights_function import entry_function

Insert = Callable[[Operation], SSAValue]

MOST_PHASES = 4096
"""With more sub-pixels than this (a stride of 64 in both dimensions) a convolution stays as it is."""


@dataclass(frozen=True)
class DecomposeTransposedConv(ModulePass):
    """See the module's docstring. Convolutions with groups or dilations stay as they are."""

    name = "decompose-transposed-conv"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for conv in list(entry_function(op).body.block.ops):
            if isinstance(conv, ConvOp) and (spread := _spread(conv)) is not None:
                _decompose(conv, *spread)


@dataclass(frozen=True)
class _Axis:
    """One spatial dimension. Step r of the phase that begins with tap f is the sum over j of
    `filter[f + stride * j] * x[r + j]`, which is result `stride * (r - first_step) + (stride - 1 - f) - skipped`.

    Attributes:
        low: zeros before the first element.
    """

    stride: int
    low: int
    taps: int
    results: int

    @property
    def first_step(self) -> int:
        """The first step that has a result; elements before the input are zeros."""
        return (self.stride - 1 - self.low) // self.stride

    @property
    def skipped(self) -> int:
        """Phases of the first step that come before the first result."""
        return (self.stride - 1 - self.low) % self.stride

    @property
    def steps(self) -> int:
        return -(-(self.skipped + self.results) // self.stride)

    @property
    def width(self) -> int:
        """Taps of a phase, the most that one has."""
        return -(-self.taps // self.stride)

    def count(self, first: int) -> int:
        """Taps of the phase that begins with tap `first`."""
        return max(-(-(self.taps - first) // self.stride), 0)


def _spread(conv: ConvOp) -> tuple[SSAValue, list[int] | None, list[int], list[int]] | None:
    """The tensor that a convolution reads with zeros between its elements: the tensor, a transpose of it to be done
    before, and how much is padded before and between along the convolution's dimensions."""
    if conv.groups.value.data != 1 or {*int_list(conv.dilations), *int_list(conv.strides)} != {1}:
        return None
    source, permutation = conv.x, None
    if isinstance(source.owner, TransposeOp):
        permutation = int_list(source.owner.permutation)
        source = source.owner.x
    pad = source.owner
    if not isinstance(pad, PadOp) or pad.mode.data != "constant" or pad.value.value.data != 0.0:
        return None
    order = permutation or list(range(len(shape_of(source))))
    low, interior = ([int_list(a)[d] for d in order] for a in (pad.low, pad.interior))
    if any(map(is_symbolic, low)):
        return None  # how elements fall into phases is known to each run alone
    if not any(interior) or any(interior[d] or low[d] for d in (0, -1)):
        return None
    if prod(i + 1 for i in interior) > MOST_PHASES:
        return None
    return pad.x, permutation, low, interior


def _decompose(
    conv: ConvOp,
    source: SSAValue,
    permutation: list[int] | None,
    low: list[int],
    interior: list[int],
) -> None:
    builder = Builder(InsertPoint.before(conv))

    def insert(op: Operation) -> SSAValue:
        op.location = conv.location
        return builder.insert(op).results[0]

    batch, *results, channels = shape_of(conv.res)
    axes = [
        _Axis(i + 1, before, taps, size)
        for i, before, taps, size in zip(
            interior[1:-1], low[1:-1], shape_of(conv.filter)[:-2], results, strict=True
        )
    ]
    x = source if permutation is None else insert(TransposeOp(source, permutation))
    before = [-axis.first_step for axis in axes]
    behind = [
        axis.steps + axis.width - 1 - n - b
        for axis, n, b in zip(axes, shape_of(x)[1:-1], before, strict=True)
    ]
    if any(n != 0 for n in (*before, *behind)):
        x = insert(PadOp(x, [0, *before, 0], [0, *behind, 0]))
    firsts = product(*(reversed(range(axis.stride)) for axis in axes))
    filters = [_phase_filter(conv.filter, axes, first, insert) for first in firsts]
    joined = insert(ConcatOp(filters, -1))
    y = insert(ConvOp(x, joined, [1] * len(axes), [1] * len(axes)))
    y = _interleave(y, batch, axes, channels, insert)
    wanted = [batch, *results, channels]
    if list(shape_of(y)) != wanted:
        starts = [0, *(axis.skipped for axis in axes), 0]
        y = insert(SliceOp(y, starts, wanted, [1] * len(wanted)))
    conv.res.replace_all_uses_with(y)
    Rewriter.erase_op(conv)


def _phase_filter(
    filter: SSAValue, axes: Sequence[_Axis], firsts: Sequence[int], insert: Insert
) -> SSAValue:
    """The taps of one phase, with zeros behind them to the width of all phases."""
    *_, channels, out = shape_of(filter)
    counts = [axis.count(first) for axis, first in zip(axes, firsts, strict=True)]
    # a phase without taps takes the first tap, which its pad cuts away again
    starts = [first if n else 0 for first, n in zip(firsts, counts, strict=True)]
    sizes = [max(n, 1) for n in counts]
    steps = [axis.stride for axis in axes]
    taps = insert(SliceOp(filter, [*starts, 0, 0], [*sizes, channels, out], [*steps, 1, 1]))
    if 0 in counts:
        cut = [min(n, 1) - 1 for n in counts]
        taps = insert(PadOp(taps, [0] * (len(axes) + 2), [*cut, 0, 0]))
    high = [axis.width - n for axis, n in zip(axes, counts, strict=True)]
    return insert(PadOp(taps, [0] * (len(axes) + 2), [*high, 0, 0])) if any(high) else taps


def _interleave(
    y: SSAValue, batch: int, axes: Sequence[_Axis], channels: int, insert: Insert
) -> SSAValue:
    """`(n, steps..., phases... * m)` as `(n, (steps, phases)..., m)`."""
    rank = len(axes)
    steps, strides = [a.steps for a in axes], [a.stride for a in axes]
    split = insert(ReshapeOp(y, [batch, *steps, *strides, channels]))
    order = [0, *(1 + d + k * rank for d in range(rank) for k in range(2)), 1 + 2 * rank]
    mixed = insert(TransposeOp(split, order))
    return insert(
        ReshapeOp(mixed, [batch, *(a * b for a, b in zip(steps, strides, strict=True)), channels])
    )

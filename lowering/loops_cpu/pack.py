"""Packs the weights of matrix products and convolutions: `[K..., N]` becomes `[N / n, K..., n]` with zeros
behind the last of N, and that of small integers `[N / n, K / 2..., n, 2]`.

A register tile then reads one panel of n columns from the first to the last element. The pass works on
kernels; what is to be done to the weight itself is said by `Packing`, which the host program turns into
ops of `@weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf, prod
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import AffineMapAttr, ArrayAttr, FunctionType, TensorType
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import AffineDimExpr, AffineExpr, AffineMap

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.loops_common.dot import small_factors
from webdnn.lowering.loops_common.groups import read_groups
from webdnn.lowering.loops_common.packed import PAIR
from webdnn.lowering.loops_common.stages import Read, Stage, walk
from webdnn.lowering.loops_cpu.heuristics import stage_cost

LEAST_DEPTH = 8
"""Products of fewer terms than this are not worth a panel."""


WIDTHS = (4, 8, 12, 16, 32)
"""Columns of a panel that are tried."""


@dataclass(frozen=True)
class Packing:
    """How a weight is laid out: axis `axis` is padded with zeros to a multiple of `block` and cut into
    blocks, whose number is the first axis of the packed weight; the other axes follow in their order, and
    the place in the block is the last axis. Where axis `pairs` is given, it is padded to an even size, its number
    of pairs takes its place among the others, and the place in the pair becomes the last axis, behind the place in
    the block.

    In `nn` ops: `pad(shape -> padded)`, `reshape(-> split)`, `transpose(permutation)`.
    """

    operand: int
    axis: int
    block: int
    shape: tuple[int, ...]
    pairs: int | None = None

    @property
    def _cuts(self) -> dict[int, int]:
        """The axes that are cut, and into pieces of what size."""
        return {self.axis: self.block} | ({} if self.pairs is None else {self.pairs: PAIR})

    @property
    def padded(self) -> tuple[int, ...]:
        """The shape after padding."""
        cuts = self._cuts
        return tuple(-(-n // cuts.get(i, 1)) * cuts.get(i, 1) for i, n in enumerate(self.shape))

    @property
    def split(self) -> tuple[int, ...]:
        """The shape after axes have been cut: the padded weight, reshaped."""
        cuts = self._cuts
        return tuple(
            part
            for i, n in enumerate(self.padded)
            for part in ((n // cuts[i], cuts[i]) if i in cuts else (n,))
        )

    @property
    def permutation(self) -> tuple[int, ...]:
        """The transpose that makes the split weight the packed one."""
        starts = {i: i + sum(cut < i for cut in self._cuts) for i in range(len(self.shape))}
        first = starts[self.axis]
        others = [starts[i] for i in range(len(self.shape)) if i != self.axis]
        places = [first + 1] + ([] if self.pairs is None else [starts[self.pairs] + 1])
        return (first, *others, *places)

    @property
    def packed(self) -> tuple[int, ...]:
        """The shape of the packed weight."""
        return tuple(self.split[i] for i in self.permutation)

    def index(self, index: Sequence[AffineExpr]) -> tuple[AffineExpr, ...]:
        """Where an element of the weight is in the packed one."""
        parts = {i: (index[i] // n, index[i] % n) for i, n in self._cuts.items()}
        outer = [parts[i][0] if i in parts else e for i, e in enumerate(index) if i != self.axis]
        places = [parts[self.axis][1]] + ([] if self.pairs is None else [parts[self.pairs][1]])
        return (parts[self.axis][0], *outer, *places)

    def apply(self, weight: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The packed weight."""
        pad = [(0, p - n) for n, p in zip(self.shape, self.padded, strict=True)]
        return np.ascontiguousarray(
            np.pad(weight, pad).reshape(self.split).transpose(self.permutation)
        )


def choose_packings(
    func: FuncOp, weights: Sequence[int], *, scratch_elements: int
) -> list[Packing]:
    """Which of the operands `weights` of a kernel are worth packing, and how.

    Args:
        weights: numbers of the operands that hold weights.
    """
    if func.schedule is not None:
        return []
    found: list[Packing] = []
    for place, group in enumerate(read_groups(func, scratch_elements=scratch_elements)):
        for number, stage in enumerate(group.stages):
            if group.outer or not stage.is_reduction:
                continue
            for operand in weights:
                axis = _panel_axis(stage, operand)
                if axis is None or any(p.operand == operand for p in found):
                    continue
                if _readers(func, operand) is None:
                    continue
                whole = Packing(operand, axis, 1, _shape(func, operand), _pair_axis(stage, operand))
                found.append(_cheapest(func, whole, place, number, scratch_elements))
    return found


def _shape(func: FuncOp, operand: int) -> tuple[int, ...]:
    type = func.function_type.inputs.data[operand]
    assert isinstance(type, TensorType)
    return type.get_shape()


def _cheapest(
    func: FuncOp, whole: Packing, group: int, stage: int, scratch_elements: int
) -> Packing:
    """The packing with the width of panels with which the stage costs least."""
    columns = whole.shape[whole.axis]
    best, best_cost = None, inf
    for width in WIDTHS:
        if width > WIDTHS[0] and width >= columns + WIDTHS[0]:
            break
        packing = replace(whole, block=width)
        packed = func.clone()
        pack_operand(packed, packing)
        groups = read_groups(packed, scratch_elements=scratch_elements)
        cost = stage_cost(groups[group], groups[group].stages[stage], stage)
        if cost < best_cost:
            best, best_cost = packing, cost
    assert best is not None
    return best


def _panel_axis(stage: Stage, operand: int) -> int | None:
    """The axis of a weight along which the columns of a product lie, if the stage is a product with it."""
    if not stage.outputs or not stage.outputs[0].index:
        return None
    last = stage.outputs[0].index[-1]
    if not isinstance(last, AffineDimExpr):
        return None
    reads = [n for n in walk(stage.updates) if isinstance(n, Read)]
    mine = [n for n in reads if n.buffer.argument == operand]
    others = [n for n in reads if n.buffer.argument != operand]
    if len(mine) != 1 or any(last.position in e.used_dims() for n in others for e in n.index):
        return None
    axes = [i for i, e in enumerate(mine[0].index) if last.position in e.used_dims()]
    if len(axes) != 1 or mine[0].index[axes[0]] != last:
        return None
    reduced = {d for e in mine[0].index for d in e.used_dims() if d >= stage.num_parallel}
    if not others or prod(stage.sizes[d] for d in reduced) < LEAST_DEPTH:
        return None
    return axes[0]


def _pair_axis(stage: Stage, operand: int) -> int | None:
    """The axis of a weight of small integers whose neighbours are multiplied by neighbours of the other factor."""
    factors = small_factors(stage.updates[0]) if len(stage.updates) == 1 else None
    if factors is None or not all(isinstance(f, Read) for f in factors):
        return None
    mine, other = (cast(Read, f) for f in factors)
    if mine.buffer.argument != operand:
        mine, other = other, mine
    inner = AffineDimExpr(len(stage.sizes) - 1)
    if stage.sizes[-1] < PAIR or not other.index or other.index[-1] != inner:
        return None
    if any(inner.position in e.used_dims() for e in other.index[:-1]):
        return None
    axes = [i for i, e in enumerate(mine.index) if inner.position in e.used_dims()]
    return axes[0] if len(axes) == 1 and mine.index[axes[0]] == inner else None


def _readers(func: FuncOp, operand: int) -> list[tuple[GenericOp, int]] | None:
    """The generics that read an operand as an input, and where in their inputs; None if anything else
    reads it."""
    found: list[tuple[GenericOp, int]] = []
    for use in func.body.block.args[operand].uses:
        op = use.operation
        if not isinstance(op, GenericOp) or use.index >= len(op.inputs):
            return None
        found.append((op, use.index))
    return found


def pack_operand(func: FuncOp, packing: Packing) -> None:
    """Make a kernel read an operand in its packed form.

    Raises:
        WebDNNError: the operand is read by something else than a `linalg.generic` as an input.
    """
    readers = _readers(func, packing.operand)
    if readers is None:
        raise WebDNNError(
            f"operand {packing.operand} of a kernel cannot be packed",
            where=func.sym_name.data,
            why="something else than the input of a linalg.generic reads it",
        )
    argument = func.body.block.args[packing.operand]
    type = argument.type
    assert isinstance(type, TensorType)
    packed = TensorType(cast(Attribute, type.element_type), packing.packed)
    for op, place in readers:
        maps = list(op.indexing_maps)
        old = maps[place].data
        new = AffineMap(old.num_dims, 0, packing.index(old.results))
        maps[place] = AffineMapAttr(new)
        op.properties["indexing_maps"] = ArrayAttr(maps)
    _retype(func, argument, packing.operand, packed)


def _retype(func: FuncOp, argument: SSAValue, number: int, type: Attribute) -> None:
    from xdsl.rewriter import Rewriter

    Rewriter.replace_value_with_new_type(argument, type)
    inputs = list(func.function_type.inputs)
    inputs[number] = type
    func.properties["function_type"] = FunctionType.from_lists(
        inputs, list(func.function_type.outputs)
    )

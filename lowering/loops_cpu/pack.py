"""Packs the weights of matrix products and convolutions: `[K..., N]` becomes `[N / n, K..., n]` with zeros
behind the last of N.

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
from xdsl.dialects.builtin import (
    AffineMapAttr,
    ArrayAttr,
    DenseArrayBase,
    FunctionType,
    TensorType,
    i64,
)
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineMap,
)

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import PANELS, FuncOp
from webdnn.lowering.loops_common.groups import read_groups
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
    the place in the block is the last axis.

    In `nn` ops: `pad(shape -> padded)`, `reshape(-> split)`, `transpose(permutation)`.
    """

    operand: int
    axis: int
    block: int
    shape: tuple[int, ...]

    @property
    def blocks(self) -> int:
        return -(-self.shape[self.axis] // self.block)

    @property
    def padded(self) -> tuple[int, ...]:
        """The shape after padding."""
        return self._with(self.blocks * self.block)

    @property
    def split(self) -> tuple[int, ...]:
        """The shape after the axis has been cut into blocks: the padded weight, reshaped."""
        return self._with(self.blocks, self.block)

    @property
    def permutation(self) -> tuple[int, ...]:
        """The transpose that makes the split weight the packed one."""
        rank = len(self.split)
        place = self.axis + 1
        return (self.axis, *(i for i in range(rank) if i not in (self.axis, place)), place)

    @property
    def packed(self) -> tuple[int, ...]:
        """The shape of the packed weight."""
        return tuple(self.split[i] for i in self.permutation)

    def _with(self, *sizes: int) -> tuple[int, ...]:
        return (*self.shape[: self.axis], *sizes, *self.shape[self.axis + 1 :])

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

    The attribute `panels` of the kernel decides where there is one; a kernel with a schedule, but without this
    attribute, is not packed.

    Args:
        weights: numbers of the operands that hold weights.

    Raises:
        WebDNNError: the attribute `panels` does not fit the kernel.
    """
    if (panels := given_panels(func)) is not None:
        return _given_packings(func, panels, weights, scratch_elements)
    if func.schedule is not None:
        return []
    return [
        _cheapest(func, whole, place, number, scratch_elements)
        for whole, place, number in packable(func, weights, scratch_elements)
    ]


def packable(
    func: FuncOp, weights: Sequence[int], scratch_elements: int
) -> list[tuple[Packing, int, int]]:
    """The operands of a kernel that can be packed, each as a packing in panels of one column, with the group and the
    stage of the product that reads it. Panels of `n` columns are `replace(packing, block=n)`."""
    found: dict[int, tuple[Packing, int, int]] = {}
    for place, group in enumerate(read_groups(func, scratch_elements=scratch_elements)):
        for number, stage in enumerate(group.stages):
            if group.outer or not stage.is_reduction:
                continue
            for operand in weights:
                axis = _panel_axis(stage, operand)
                if axis is None or operand in found or _readers(func, operand) is None:
                    continue
                found[operand] = (Packing(operand, axis, 1, _shape(func, operand)), place, number)
    return list(found.values())


def _shape(func: FuncOp, operand: int) -> tuple[int, ...]:
    type = func.function_type.inputs.data[operand]
    assert isinstance(type, TensorType)
    return type.get_shape()


def widths(whole: Packing) -> list[int]:
    """The widths of panels that are worth trying for an operand."""
    columns = whole.shape[whole.axis]
    return [n for n in WIDTHS if n == WIDTHS[0] or n < columns + WIDTHS[0]]


def panels_attr(func: FuncOp, packings: Sequence[Packing]) -> DenseArrayBase:
    """The attribute `panels` that says how a kernel's operands are packed."""
    widths = {p.operand: p.block for p in packings}
    count = len(func.function_type.inputs)
    return DenseArrayBase.from_list(i64, [widths.get(i, 0) for i in range(count)])


def given_panels(func: FuncOp) -> list[int] | None:
    """The widths that the attribute `panels` of a kernel says, if it has one."""
    attr = func.attributes.get(PANELS)
    return [int(n) for n in attr.get_values()] if isinstance(attr, DenseArrayBase) else None


def _given_packings(
    func: FuncOp, panels: Sequence[int], weights: Sequence[int], scratch_elements: int
) -> list[Packing]:
    whole = {
        packing.operand: packing for packing, _, _ in packable(func, weights, scratch_elements)
    }
    found: list[Packing] = []
    for operand, width in enumerate(panels):
        if width == 0 or _is_packed(func, operand, width):
            continue
        if width < 0 or width % WIDTHS[0] or operand not in whole:
            raise WebDNNError(
                "the panels do not fit the kernel",
                where=func.sym_name.data,
                why=f"operand {operand} cannot be packed in panels of {width} columns",
                hint=f"panels have a multiple of {WIDTHS[0]} columns, and only weights of products have panels",
            )
        found.append(replace(whole[operand], block=width))
    return found


def _is_packed(func: FuncOp, operand: int, width: int) -> bool:
    """Whether an operand is read in panels of this width already."""
    if operand >= len(func.function_type.inputs):
        return False
    maps = [list(op.indexing_maps)[place].data for op, place in _readers(func, operand) or ()]
    return bool(maps) and all(
        any(
            isinstance(e, AffineBinaryOpExpr)
            and e.kind is AffineBinaryOpKind.FloorDiv
            and e.rhs == AffineConstantExpr(width)
            for e in map.results
        )
        for map in maps
    )


def _cheapest(
    func: FuncOp, whole: Packing, group: int, stage: int, scratch_elements: int
) -> Packing:
    """The packing with the width of panels with which the stage costs least."""
    best, best_cost = None, inf
    for width in widths(whole):
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
        results = list(old.results)
        n = results.pop(packing.axis)
        new = AffineMap(old.num_dims, 0, (n // packing.block, *results, n % packing.block))
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

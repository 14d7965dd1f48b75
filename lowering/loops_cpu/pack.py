"""Packs the weights of matrix products and convolutions: `[K..., N]` becomes `[N / n, K..., n]` with zeros
behind the last of N, and that of small integers `[N / n, K / 2..., n, 2]`.

A register tile then reads one panel of n columns from the first to the last element. The pass works on
kernels; what is to be done to the weight itself is said by `Packing`, which the host program turns into
ops of `@weights`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from typing import cast

from xdsl.dialects.builtin import DenseArrayBase, i64
from xdsl.ir.affine import AffineBinaryOpExpr, AffineBinaryOpKind, AffineConstantExpr

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp, panels_of
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.substitution import likely
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.loops_common.expression import Load, walk
from webdnn.lowering.loops_common.linear import volume
from webdnn.lowering.loops_cpu.dot import small_factors
from webdnn.lowering.loops_cpu.groups import read_groups
from webdnn.lowering.loops_cpu.heuristics import stage_cost
from webdnn.lowering.loops_cpu.stages import Stage
from webdnn.lowering.packing import PAIR, Packing, pack_operand, readers_of

LEAST_DEPTH = 8
"""Products of fewer terms than this are not worth a panel."""


WIDTHS = (4, 8, 12, 16, 32)
"""Columns of a panel that are tried."""


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
    if (panels := panels_of(func)) is not None:
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
                if axis is None or operand in found or readers_of(func, operand) is None:
                    continue
                pairs = _pair_axis(stage, operand)
                whole = Packing(operand, axis, 1, _shape(func, operand), pairs)
                found[operand] = (whole, place, number)
    return list(found.values())


def _shape(func: FuncOp, operand: int) -> tuple[int, ...]:
    return shape_of(func.function_type.inputs.data[operand])


def widths(whole: Packing) -> list[int]:
    """The widths of panels that are worth trying for an operand."""
    columns = whole.shape[whole.axis]
    return [n for n in WIDTHS if n == WIDTHS[0] or n < columns + WIDTHS[0]]


def panels_attr(func: FuncOp, packings: Sequence[Packing]) -> DenseArrayBase:
    """The attribute `panels` that says how a kernel's operands are packed."""
    widths = {p.operand: p.block for p in packings}
    count = len(func.function_type.inputs)
    return DenseArrayBase.from_list(i64, [widths.get(i, 0) for i in range(count)])


def _given_packings(
    func: FuncOp, panels: Sequence[int], weights: Sequence[int], scratch_elements: int
) -> list[Packing]:
    if not any(panels):
        return []
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
    maps = [list(op.indexing_maps)[place].data for op, place in readers_of(func, operand) or ()]
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
    if not stage.stores or not stage.stores[0].index:
        return None
    last = stage.stores[0].index[-1].dim
    if last is None:
        return None
    reads = [n for n in walk(stage.updates) if isinstance(n, Load) and n.is_affine]
    mine = [n for n in reads if n.buffer.argument == operand]
    others = [n for n in reads if n.buffer.argument != operand]
    if len(mine) != 1 or any(last in n.dims for n in others):
        return None
    axes = [i for i, at in enumerate(mine[0].index) if at.depends(last)]
    if len(axes) != 1 or mine[0].index[axes[0]].dim is not last:
        return None
    reduced = mine[0].dims & {*stage.dims[stage.num_parallel :]}
    if not others or likely(volume(reduced)) < LEAST_DEPTH:
        return None
    return axes[0]


def _pair_axis(stage: Stage, operand: int) -> int | None:
    """The axis of a weight of small integers whose neighbours are multiplied by neighbours of the other factor."""
    factors = small_factors(stage.updates[0]) if len(stage.updates) == 1 else None
    if factors is None or not all(isinstance(f, Load) and f.is_affine for f in factors):
        return None
    mine, other = (cast(Load, f) for f in factors)
    if mine.buffer.argument != operand:
        mine, other = other, mine
    inner = stage.dims[-1]
    if (
        not is_known(inner.size, lambda n: n >= PAIR)
        or not other.index
        or other.index[-1].dim is not inner
    ):
        return None
    if any(at.depends(inner) for at in other.index[:-1]):
        return None
    axes = [i for i, at in enumerate(mine.index) if at.depends(inner)]
    return axes[0] if len(axes) == 1 and mine.index[axes[0]].dim is inner else None

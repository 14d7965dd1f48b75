"""Chooses schedules from shapes: which dimension fills vectors, and how large a register tile is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf, prod

from webdnn.lowering.loops_common.affine import Flat
from webdnn.lowering.loops_common.flatten import FlatStage
from webdnn.lowering.loops_common.stages import Gather, Group, Stage, walk
from webdnn.lowering.loops_common.tile import Tiling, can_split
from webdnn.lowering.loops_cpu.schedule import (
    VECTOR_WIDTH,
    GroupSchedule,
    StageSchedule,
    flat_stage,
)

REGISTERS = 16
"""Vector registers that engines use on x86 without AVX-512."""

FULL_UNROLL = 32
"""Reductions of at most so many points are unrolled in full."""

_LANE_COST = 3.0
"""What it costs to load or store one lane by itself, against one for a vector."""


def choose(groups: Sequence[Group]) -> list[GroupSchedule]:
    """A schedule for each group of a kernel."""
    return [_choose_group(group) for group in groups]


def _choose_group(group: Group) -> GroupSchedule:
    tile = _shared_tile(group)
    stages = []
    for number, stage in enumerate(group.stages):
        flat = flat_stage(group, stage, number)
        stages.append(choose_stage(flat, tile))
    return GroupSchedule(tile, stages)


def _shared_tile(group: Group) -> list[int]:
    """One point along each shared dimension, but a few vectors along one that is contiguous in memory."""
    tile = [1] * len(group.outer)
    best, best_cost = -1, inf
    for number in range(len(group.outer)):
        cost = 0.0
        for s, stage in enumerate(group.stages):
            flat = flat_stage(group, stage, s)
            d = flat.fixed[number]
            own = [i for i in range(len(flat.sizes)) if i not in flat.fixed]
            lanes = _lane_cost(flat, d)
            others = min((_lane_cost(flat, i) for i in own), default=inf)
            cost += lanes - min(others, _scalar_cost(flat))
        if cost < best_cost and cost < 0:
            best, best_cost = number, cost
    if best >= 0:
        size = group.stages[0].sizes[group.outer[best][0]]
        tile[best] = min(size, 4 * VECTOR_WIDTH)
    return tile


def _accesses(flat: FlatStage) -> list[tuple[Flat, float]]:
    """Addresses with how often they are used at each point of the iteration space."""
    reduced = prod(flat.sizes[flat.num_parallel :]) if flat.is_reduction else 1
    in_update = {id(n) for n in walk(flat.updates)}
    found = [
        (load.at, 1.0 if id(load) in in_update or not flat.is_reduction else 1 / max(1, reduced))
        for load in flat.loads()
    ]
    return found + [(s.at, 1 / max(1, reduced)) for s in flat.stores]


def _scalar_cost(flat: FlatStage) -> float:
    work = sum(1 for _ in walk(flat.roots()))
    return sum(w for _, w in _accesses(flat)) + work * 0.5


def _lane_cost(flat: FlatStage, d: int) -> float:
    """The cost of one point where the lanes lie along dimension d."""
    size = flat.sizes[d]
    if size < 2:
        return inf
    if d >= flat.num_parallel and not can_split(flat):
        return inf
    whole, rest = divmod(size, VECTOR_WIDTH)
    vectors, scalars = whole / size, rest / size
    cost = 0.0
    for at, weight in _accesses(flat):
        c = at.coefficients.get(d, 0)
        if d in at.nonlinear_dims and not _is_packed(at, d):
            c = 2
        each = 1.0 if c in (0, 1) else VECTOR_WIDTH * _LANE_COST
        cost += weight * (vectors * each + scalars * (1.0 if d < flat.num_parallel else 1.5))
    work = sum(1 for _ in walk(flat.roots()))
    cost += 0.5 * work * (vectors + scalars)
    if any(isinstance(n, Gather) for n in walk(flat.roots())):
        cost += vectors * VECTOR_WIDTH
    if d >= flat.num_parallel:
        cost += 8.0 / size
    return cost


def _is_packed(at: Flat, d: int) -> bool:
    """Whether an address is contiguous in blocks of whole vectors along d: `(d floordiv n) * c + d mod n`."""
    mods = [e for e, c in at.others if d in _dims(e) and c == 1 and _divisor(e) % VECTOR_WIDTH == 0]
    return len(mods) == 1


def _dims(expr: object) -> set[int]:
    from webdnn.lowering.loops_common.affine import used_dims

    return used_dims(expr)  # pyright: ignore[reportArgumentType]


def _divisor(expr: object) -> int:
    from xdsl.ir.affine import AffineBinaryOpExpr, AffineConstantExpr

    if isinstance(expr, AffineBinaryOpExpr) and isinstance(expr.rhs, AffineConstantExpr):
        return expr.rhs.value
    return 1


def choose_stage(flat: FlatStage, shared: Sequence[int]) -> StageSchedule:
    """A schedule for one stage.

    Args:
        shared: the tile of the dimensions in `flat.fixed`.
    """
    sizes = list(flat.sizes)
    for d, t in zip(flat.fixed, shared, strict=True):
        sizes[d] = min(sizes[d], t)
    rank = len(sizes)
    costs = {
        d: _lane_cost(flat, d) for d in range(rank) if d not in flat.fixed or sizes[d] >= VECTOR_WIDTH
    }
    vector = min(costs, key=lambda d: costs[d], default=-1)
    if vector >= 0 and costs[vector] >= _scalar_cost(flat):
        vector = -1
    tile = [1] * rank
    order = _order(flat, vector)
    if not flat.is_reduction:
        if vector >= 0:
            tile[vector] = 4 * VECTOR_WIDTH
        return StageSchedule(Tiling(tile, vector, VECTOR_WIDTH, order))
    _reduction_tile(flat, sizes, vector, tile)
    return StageSchedule(Tiling(tile, vector, VECTOR_WIDTH, order))


def _order(flat: FlatStage, vector: int) -> list[int]:
    """Parallel dimensions by the stride of the first store, the largest outermost."""
    if not flat.stores:
        return list(range(flat.num_parallel))
    at = flat.stores[0].at.coefficients
    return sorted(range(flat.num_parallel), key=lambda d: -abs(at.get(d, 0)) if d != vector else 0)


@dataclass
class _Shape:
    """A register tile: points along the reused dimension, and along the vectorised one."""

    rows: int
    lanes: int


_SHAPES = [_Shape(r, v) for r, v in ((6, 8), (4, 8), (5, 8), (3, 12), (2, 16), (3, 8), (8, 4), (12, 4), (1, 32), (1, 16))]


def _reduction_tile(flat: FlatStage, sizes: list[int], vector: int, tile: list[int]) -> None:
    reduced = range(flat.num_parallel, len(sizes))
    points = prod(sizes[d] for d in reduced)
    if vector >= flat.num_parallel:
        tile[vector] = 4 * VECTOR_WIDTH if sizes[vector] >= 64 else VECTOR_WIDTH
        return
    rows = _row_dim(flat, vector)
    row_size = sizes[rows] if rows >= 0 else 1
    lane_size = sizes[vector] if vector >= 0 else 1
    in_update = {id(n) for n in walk(flat.updates)}
    loads = [n.at for n in flat.loads() if id(n) in in_update]
    shared = sum(1 for at in loads if rows not in at.coefficients) if rows >= 0 else 0
    per_row = len(loads) - shared
    best = min(
        _SHAPES,
        key=lambda s: _tile_cost(s, row_size, lane_size, shared, per_row, len(flat.updates)),
    )
    if rows >= 0:
        tile[rows] = min(best.rows, row_size)
    if vector >= 0:
        tile[vector] = min(best.lanes, lane_size)
    if points <= FULL_UNROLL and points * best.rows * ceil(best.lanes / VECTOR_WIDTH) <= 160:
        for d in reduced:
            tile[d] = sizes[d]
    elif len(sizes) > flat.num_parallel:
        tile[-1] = 4 if sizes[-1] >= 8 else sizes[-1]


def _row_dim(flat: FlatStage, vector: int) -> int:
    """The parallel dimension whose points share most loads: the innermost one where that is equal."""
    in_update = {id(n) for n in walk(flat.updates)}
    loads = [n.at for n in flat.loads() if id(n) in in_update]
    best, most = -1, -1
    for d in range(flat.num_parallel):
        if d == vector or d in flat.fixed or flat.sizes[d] < 2:
            continue
        shared = sum(d not in at.coefficients and d not in at.nonlinear_dims for at in loads)
        score = shared * 1000 + min(flat.sizes[d], 100)
        if score > most:
            best, most = d, score
    return best


def _tile_cost(
    shape: _Shape, rows: int, lanes: int, shared: int, per_row: int, accumulators: int
) -> float:
    """Cycles for each step of the reduction over the whole of both dimensions."""

    def one(r: int, v: int) -> float:
        vectors = v // VECTOR_WIDTH + v % VECTOR_WIDTH
        accs = r * vectors * accumulators
        spill = max(0, accs + vectors + 1 - REGISTERS)
        loads = shared * vectors + per_row * r
        return max(accs * 0.5, loads * 0.5, 4 if accs < 8 else 0) + spill + 0.5

    r, v = min(shape.rows, rows), min(shape.lanes, lanes)
    total = 0.0
    for r_size, r_count in ((r, rows // r), (rows % r, 1)):
        for v_size, v_count in ((v, lanes // v), (lanes % v, 1)):
            if r_size and v_size:
                total += one(r_size, v_size) * r_count * v_count
    return total


def panel_width(group: Group, stage: Stage, number: int) -> int:
    """How many columns a panel of packed weights has: those of one register tile."""
    chosen = choose_stage(flat_stage(group, stage, number), []).tiling
    width = chosen.tile[chosen.vector] if chosen.vector >= 0 else VECTOR_WIDTH
    return -(-width // VECTOR_WIDTH) * VECTOR_WIDTH

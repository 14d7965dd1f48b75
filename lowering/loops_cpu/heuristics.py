"""Chooses schedules from shapes: which dimension fills vectors, and how large a register tile is.

Candidates (`tilings`) are few, so each is costed (`cost`) and the cheapest is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, prod

from webdnn.lowering.loops_common.expression import Load, walk
from webdnn.lowering.loops_common.linear import Lin
from webdnn.lowering.loops_cpu.cost import (
    Products,
    lane_cost,
    op_count,
    reduction_cost,
    scalar_cost,
)
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.loops_cpu.schedule import (
    VECTOR_WIDTH,
    GroupSchedule,
    StageSchedule,
    flat_stage,
)
from webdnn.lowering.loops_cpu.stages import Group, Stage, likely_extent
from webdnn.lowering.loops_cpu.tiling import Tiling
from webdnn.lowering.loops_cpu.tilings import by_tables, loop_order, table_periods, tilings, unroll
from webdnn.lowering.loops_cpu.transposed import SIDE, crossing_loads

SHARED_ROWS = (36, 30, 24, 18, 12, 8, 6)
"""Rows that are tried where products of a group share them."""

MANY_PLACES = 8
"""The lines of a cache that have the same place in it."""

LONG_RUN = 64
"""Elements that a tile writes one behind the other, where it writes to so many places: four lines."""

SHARED_ELEMENTS = 8192
"""Elements that such rows may hand on: they stay in the nearest cache."""


def choose(groups: Sequence[Group]) -> list[GroupSchedule]:
    """A schedule for each group of a kernel."""
    return [_choose_group(group) for group in groups]


def _choose_group(group: Group) -> GroupSchedule:
    tile = _shared_tile(group)
    return GroupSchedule(
        tile,
        [choose_stage(group, stage, number, tile) for number, stage in enumerate(group.stages)],
    )


def _shared_tile(group: Group) -> list[int]:
    """The smallest tile along each shared dimension, but a few vectors along one whose lanes are neighbours
    in memory, and all that a table is read by."""
    flats = [flat_stage(group, stage, s) for s, stage in enumerate(group.stages)]
    periods = [table_periods(flat) for flat in flats]
    tile: list[int] = []
    for number, shared in enumerate(group.outer):
        whole = any(
            period.get(flat.fixed[number], 1) > shared.steps[s]
            for s, (flat, period) in enumerate(zip(flats, periods, strict=True))
        )
        tile.append(likely_extent(shared.size) if whole else shared.step)
    if not any(periods):
        for number in reversed(range(len(group.outer))):
            if any(_shares_loads(flat, flat.fixed[number]) for flat in flats):
                tile[number] = _shared_rows(group, flats, number)
                return tile
    best, best_gain = -1, 0.0
    for number in range(len(group.outer)):
        if tile[number] > 1:
            continue
        gain = 0.0
        for flat in flats:
            d = flat.fixed[number]
            own = [i for i in range(len(flat.likely_sizes)) if i not in flat.fixed]
            others = min((lane_cost(flat, i) for i in own), default=inf)
            gain += min(others, scalar_cost(flat)) - lane_cost(flat, d)
        if gain > best_gain:
            best, best_gain = number, gain
    if best >= 0:
        run = _run(group, flats, tile)
        tile[best] = min(likely_extent(group.outer[best].size), run)
        beyond = _next_in_memory(group, flats[-1], best)
        if beyond is not None and tile[beyond] == 1 and tile[best] < run:
            tile[beyond] = min(likely_extent(group.outer[beyond].size), run // tile[best])
    return tile


def _run(group: Group, flats: Sequence[FlatStage], tile: Sequence[int]) -> int:
    """How many neighbours in memory a tile has: a line of a cache, or several where it writes to many places.

    Those are often apart by a large power of two, so that they fall on the same few lines of a cache, and what is not
    filled at once is written back and fetched again. Where more places are read than written, reading them side by side
    counts for more.
    """

    def places(flat: FlatStage, at: Lin) -> int:
        return prod(
            tile[flat.fixed.index(d)] if d in flat.fixed else size
            for d, size in enumerate(flat.likely_sizes)
            if at.coefficient(flat.dims[d]) not in (0, 1) or flat.dims[d] in at.nonlinear_dims
        )

    read = max(
        (places(flats[0], load.at) for load in flats[0].loads() if load.is_affine), default=1
    )
    written = max(places(flats[-1], store.at) for store in flats[-1].stores)
    scratch = prod(tile) * sum(prod(b.extents) for b in group.scratch)
    if written >= max(read, MANY_PLACES) and LONG_RUN * scratch <= SHARED_ELEMENTS:
        return LONG_RUN
    return 4 * VECTOR_WIDTH


def _next_in_memory(group: Group, flat: FlatStage, number: int) -> int | None:
    """The shared dimension whose neighbours lie behind each other where all of dimension `number` is written."""
    at = flat.stores[0].at
    step = at.coefficient(flat.dims[flat.fixed[number]]) * group.outer[number].size
    return next(
        (n for n, d in enumerate(flat.fixed) if step != 0 and at.coefficient(flat.dims[d]) == step),
        None,
    )


def _shares_loads(flat: FlatStage, d: int) -> bool:
    """Whether a stage is a product whose rows lie along d: all rows read the same columns."""
    if not flat.is_reduction or flat.likely_sizes[d] < 2:
        return False
    rows = [
        n.at.depends(flat.dims[d])
        for n in walk(flat.updates)
        if isinstance(n, Load) and n.is_affine
    ]
    return any(rows) and not all(rows)


def _shared_rows(group: Group, flats: Sequence[FlatStage], number: int) -> int:
    """How many rows the stages of a group with products hand on at a time: whole register tiles, in a near cache."""
    size = likely_extent(group.outer[number].size)
    scratch = sum(prod(b.extents) for b in group.scratch)
    best, best_cost = min(size, SHARED_ROWS[-1]), inf
    for rows in SHARED_ROWS:
        if rows * scratch > SHARED_ELEMENTS:
            continue
        whole, rest = divmod(size, rows)
        cost = 0.0
        for count, extent in ((whole, rows), (1, rest)):
            if count and extent:
                shared = [1] * len(group.outer)
                shared[number] = extent
                costs = [_reduction(f, shared)[1] for f in flats if f.is_reduction]
                cost += count * sum(costs)
        if cost < best_cost:
            best, best_cost = min(size, rows), cost
    return best


def choose_stage(group: Group, stage: Stage, number: int, shared: Sequence[int]) -> StageSchedule:
    """A schedule for stage `number` of a group whose shared dimensions have the tile `shared`."""
    return _cheapest(group, stage, number, shared)[0]


def _cheapest(
    group: Group, stage: Stage, number: int, shared: Sequence[int]
) -> tuple[StageSchedule, float]:
    flat = flat_stage(group, stage, number)
    shared = [dim.extent(number, n) for dim, n in zip(group.outer, shared, strict=False)]
    if not flat.is_reduction:
        return _elementwise(flat, shared), 0.0
    best, best_cost = _reduction(flat, shared)
    chosen = StageSchedule(best)
    for d in _mergeable(flat, best):
        merged = flat_stage(group, stage, number, [d])
        tiling, cost = _reduction(merged, shared, merged_row=d)
        if cost < 0.97 * best_cost:
            chosen, best_cost = StageSchedule(tiling, [d]), cost
    return chosen, best_cost


def stage_candidates(
    group: Group, stage: Stage, number: int, shared: Sequence[int]
) -> list[tuple[float, StageSchedule]]:
    """The schedules among which the cost model chooses for a stage, and more of their kind, for a tuner: each with its
    predicted cost in cycles, the cheapest first."""
    flat = flat_stage(group, stage, number)
    shared = [dim.extent(number, n) for dim, n in zip(group.outer, shared, strict=False)]
    found: list[tuple[float, StageSchedule]] = []
    if periods := table_periods(flat):
        tiling = by_tables(flat, _tile_sizes(flat, shared), periods)
        return [(0.0, StageSchedule(tiling))]
    if not flat.is_reduction:
        sizes = _tile_sizes(flat, shared)
        for d in [d for d in range(len(sizes)) if sizes[d] > 1]:
            for vectors in (1, 2, 4, 8):
                tile = [1] * len(sizes)
                tile[d] = vectors * VECTOR_WIDTH
                tiling = Tiling(tile, d, VECTOR_WIDTH, loop_order(flat, d))
                found.append((lane_cost(flat, d) * flat.points, StageSchedule(tiling)))
        return sorted(found, key=lambda c: c[0])
    merges = [[]] + [[d] for d in range(flat.num_parallel - 1) if not {d, d + 1} & set(flat.fixed)]
    for merge in merges:
        merged = flat_stage(group, stage, number, merge)
        sizes, products = _tile_sizes(merged, shared), Products.of(merged)
        for tiling in tilings(merged, sizes):
            cost = reduction_cost(merged, sizes, products, tiling, merge[0] if merge else -1)
            unroll(merged, tiling)
            found.append((cost, StageSchedule(tiling, list(merge))))
    return sorted(found, key=lambda c: c[0])


def _mergeable(flat: FlatStage, tiling: Tiling) -> list[int]:
    """Rows of an image that may be walked as one line, where a tile does not divide the row."""
    found: list[int] = []
    for d in range(flat.num_parallel - 1):
        if {d, d + 1} & {tiling.vector, *flat.fixed} or tiling.tile[d + 1] < 2:
            continue
        if flat.likely_sizes[d + 1] % tiling.tile[d + 1]:
            found.append(d)
    return found


def _elementwise(flat: FlatStage, shared: Sequence[int]) -> StageSchedule:
    sizes = _tile_sizes(flat, shared)
    if (crossed := _crossed(flat)) is not None:
        return crossed
    costs = {d: lane_cost(flat, d) for d in range(len(sizes)) if sizes[d] > 1}
    vector = min(costs, key=lambda d: (costs[d], -d), default=-1)
    if vector >= 0 and costs[vector] >= scalar_cost(flat):
        vector = -1
    tile = [1] * len(sizes)
    if vector >= 0:
        heavy = sum(map(op_count, flat.nodes())) > 12
        tile[vector] = (1 if heavy else 4) * VECTOR_WIDTH
    return StageSchedule(Tiling(tile, vector, VECTOR_WIDTH, loop_order(flat, vector)))


def _crossed(flat: FlatStage) -> StageSchedule | None:
    """A schedule for what is loaded along one dimension and stored along another: squares, transposed in registers."""
    whole = [d for d in range(flat.num_parallel) if flat.likely_sizes[d] >= SIDE]
    for v in whole:
        for u in whole:
            if crossing_loads(flat, u, v):
                tile = [1] * len(flat.likely_sizes)
                # stores fill lines of a cache; the rows that are loaded follow one another
                tile[u], tile[v] = SIDE, min(4 * VECTOR_WIDTH, flat.likely_sizes[v])
                others = [d for d in loop_order(flat, v) if d not in (u, v)]
                return StageSchedule(Tiling(tile, v, VECTOR_WIDTH, [*others, v, u]))
    return None


def _tile_sizes(flat: FlatStage, shared: Sequence[int]) -> list[int]:
    sizes = list(flat.likely_sizes)
    for d, t in zip(flat.fixed, shared, strict=True):
        sizes[d] = min(sizes[d], t)
    return sizes


def _reduction(
    flat: FlatStage, shared: Sequence[int], merged_row: int = -1
) -> tuple[Tiling, float]:
    """The cheapest tiling of a reduction, and its cost."""
    sizes = _tile_sizes(flat, shared)
    if periods := table_periods(flat):
        return by_tables(flat, sizes, periods), 0.0
    products = Products.of(flat)
    best = Tiling([1] * len(sizes), -1, VECTOR_WIDTH, loop_order(flat, -1))
    best_cost = inf
    for tiling in tilings(flat, sizes):
        cost = reduction_cost(flat, sizes, products, tiling, merged_row)
        if cost < best_cost:
            best, best_cost = tiling, cost
    unroll(flat, best)
    return best, best_cost


def stage_cost(group: Group, stage: Stage, number: int) -> float:
    """The cost of a stage with its best schedule, to compare ways to pack its operands."""
    return _cheapest(group, stage, number, [])[1]

"""Chooses schedules from shapes: which dimension fills vectors, and how large a register tile is.

Candidates are few, so each is costed and the cheapest is taken. Costs are cycles, counted per register tile, of a core
that does two vector multiply-adds a cycle; how fast it loads has been fitted to what V8 reaches on x86.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import inf, prod

from xdsl.dialects import arith
from xdsl.ir.affine import AffineBinaryOpKind, AffineConstantExpr

from webdnn.lowering.loops_common.affine import Flat, used_dims
from webdnn.lowering.loops_common.dot import dot_of
from webdnn.lowering.loops_common.flatten import FlatStage, Load, Pick
from webdnn.lowering.loops_common.packed import PAIR, is_packed, packed_block, padded_loads
from webdnn.lowering.loops_common.stages import Apply, Const, Gather, Group, Node, Stage, walk
from webdnn.lowering.loops_common.tile import Tiling, can_split
from webdnn.lowering.loops_common.transposed import SIDE, crossing_loads
from webdnn.lowering.loops_cpu.schedule import (
    VECTOR_WIDTH,
    GroupSchedule,
    StageSchedule,
    flat_stage,
)

REGISTERS = 16
"""Vector registers that engines use on x86 without AVX-512."""

LOAD = 0.62
"""Cycles of a load, a splat load included."""

LATENCY = 4.0
"""Cycles from one multiply-add to the next that needs its result."""

CACHE_ELEMENTS = 1 << 16
"""Elements of panels that stay in a cache near the core while all rows pass by them."""

FULL_UNROLL = 4
"""A reduced dimension of at most so many points is unrolled in full."""

SHARED_ROWS = (36, 30, 24, 18, 12, 8, 6)
"""Rows that are tried where products of a group share them."""

SHARED_ELEMENTS = 8192
"""Elements that such rows may hand on: they stay in the nearest cache."""

TILES = (
    (6, 8),
    (5, 8),
    (4, 8),
    (3, 12),
    (2, 16),
    (3, 8),
    (8, 4),
    (12, 4),
    (1, 32),
    (1, 16),
    (4, 4),
    (1, 8),
)
"""Register tiles that are tried for products: rows, and lanes along the columns."""

WINDOWS = ((8, 4), (6, 8), (4, 8), (4, 4), (2, 8), (1, 16), (1, 8))
"""Register tiles that are tried where no row shares a load with the next one."""

DOTS = ((4, 2), (4, 1), (6, 1), (2, 2), (2, 4), (8, 1), (1, 4), (2, 1), (1, 1))
"""Tiles that are tried where the lanes lie along the sum: rows and columns."""


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
        tile.append(shared.size if whole else shared.step)
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
            own = [i for i in range(len(flat.sizes)) if i not in flat.fixed]
            others = min((_lane_cost(flat, i) for i in own), default=inf)
            gain += min(others, _scalar_cost(flat)) - _lane_cost(flat, d)
        if gain > best_gain:
            best, best_gain = number, gain
    if best >= 0:
        tile[best] = min(group.outer[best].size, 4 * VECTOR_WIDTH)
    return tile


def table_periods(flat: FlatStage) -> dict[int, int]:
    """The dimensions that tables of constants are read by, and after how many points a table repeats.

    In a tile of whole periods at a known position the constants are known, and products with 0 and 1 vanish.
    """
    found: dict[int, int] = {}
    for node in walk(flat.updates):
        if isinstance(node, Pick) and _is_table(node):
            for d in node.at.coefficients:
                found[d] = flat.sizes[d]
            for expr, _ in node.at.others:
                if expr.kind is AffineBinaryOpKind.Mod and isinstance(expr.rhs, AffineConstantExpr):
                    for d in used_dims(expr):
                        found[d] = min(expr.rhs.value, flat.sizes[d])
    return found


def _is_table(node: Node) -> bool:
    return isinstance(node, Const) or (
        isinstance(node, Pick) and all(_is_table(case) for case in node.cases)
    )


def _shares_loads(flat: FlatStage, d: int) -> bool:
    """Whether a stage is a product whose rows lie along d: all rows read the same columns."""
    if not flat.is_reduction or flat.sizes[d] < 2:
        return False
    rows = [_depends(n.at, d) for n in walk(flat.updates) if isinstance(n, Load)]
    return any(rows) and not all(rows)


def _shared_rows(group: Group, flats: Sequence[FlatStage], number: int) -> int:
    """How many rows the stages of a group with products hand on at a time: whole register tiles, in a near cache."""
    size = group.outer[number].size
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


# what a point costs


def _accesses(flat: FlatStage) -> list[tuple[Flat, float]]:
    """Addresses with how often they are used at each point of the iteration space."""
    reduced = max(1, prod(flat.sizes[flat.num_parallel :])) if flat.is_reduction else 1
    in_update = {id(n) for n in walk(flat.updates)}
    found = [
        (load.at, 1.0 if id(load) in in_update or not flat.is_reduction else 1 / reduced)
        for load in flat.loads()
    ]
    return found + [(s.at, 1 / reduced) for s in flat.stores]


def _work(flat: FlatStage) -> float:
    """Ops at each point of the iteration space."""
    reduced = max(1, prod(flat.sizes[flat.num_parallel :])) if flat.is_reduction else 1
    inner = sum(isinstance(n, Apply) for n in walk(flat.updates))
    total = sum(isinstance(n, Apply) for n in walk(flat.roots()))
    return inner + (total - inner) / reduced


def _scalar_cost(flat: FlatStage) -> float:
    return sum(w for _, w in _accesses(flat)) + _work(flat) * 0.5


def _lane_cost(flat: FlatStage, d: int) -> float:
    """The cost of one point where the lanes lie along dimension d."""
    size = flat.sizes[d]
    if size < 2 or (d >= flat.num_parallel and not can_split(flat)):
        return inf
    whole, rest = divmod(size, VECTOR_WIDTH)
    if rest and padded_loads(flat, d, VECTOR_WIDTH) is not None:
        whole, rest = whole + 1, 0
    vectors, scalars = whole / size, rest / size
    cost = 0.5 * _work(flat) * (vectors + scalars)
    for at, weight in _accesses(flat):
        cost += weight * (vectors * _vector_access(at, d) + scalars)
    if any(isinstance(n, Gather) for n in walk(flat.roots())):
        cost += vectors * VECTOR_WIDTH
    if d >= flat.num_parallel:
        cost += 8.0 / size + 0.5 * scalars
    return cost


def _vector_access(at: Flat, d: int) -> float:
    """The cost of an access by a whole vector along d, in accesses."""
    if d in at.nonlinear_dims:
        return 1.0 if is_packed(at, d, VECTOR_WIDTH) else 3.0 * VECTOR_WIDTH
    return 1.0 if at.coefficients.get(d, 0) in (0, 1) else 3.0 * VECTOR_WIDTH


# stages


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
        tiling = _by_tables(flat, _tile_sizes(flat, shared), periods)
        return [(0.0, StageSchedule(tiling))]
    if not flat.is_reduction:
        sizes = _tile_sizes(flat, shared)
        for d in [d for d in range(len(sizes)) if sizes[d] > 1]:
            for vectors in (1, 2, 4, 8):
                tile = [1] * len(sizes)
                tile[d] = vectors * VECTOR_WIDTH
                tiling = Tiling(tile, d, VECTOR_WIDTH, _order(flat, d))
                found.append((_lane_cost(flat, d) * flat.points, StageSchedule(tiling)))
        return sorted(found, key=lambda c: c[0])
    merges = [[]] + [[d] for d in range(flat.num_parallel - 1) if not {d, d + 1} & set(flat.fixed)]
    for merge in merges:
        merged = flat_stage(group, stage, number, merge)
        sizes, products = _tile_sizes(merged, shared), _Products.of(merged)
        for tiling in _tilings(merged, sizes):
            cost = _cost(merged, sizes, products, tiling, merge[0] if merge else -1)
            _unroll(merged, tiling)
            found.append((cost, StageSchedule(tiling, list(merge))))
    return sorted(found, key=lambda c: c[0])


def _mergeable(flat: FlatStage, tiling: Tiling) -> list[int]:
    """Rows of an image that may be walked as one line, where a tile does not divide the row."""
    found: list[int] = []
    for d in range(flat.num_parallel - 1):
        if {d, d + 1} & {tiling.vector, *flat.fixed} or tiling.tile[d + 1] < 2:
            continue
        if flat.sizes[d + 1] % tiling.tile[d + 1]:
            found.append(d)
    return found


def _elementwise(flat: FlatStage, shared: Sequence[int]) -> StageSchedule:
    sizes = _tile_sizes(flat, shared)
    if (crossed := _crossed(flat)) is not None:
        return crossed
    costs = {d: _lane_cost(flat, d) for d in range(len(sizes)) if sizes[d] > 1}
    vector = min(costs, key=lambda d: (costs[d], -d), default=-1)
    if vector >= 0 and costs[vector] >= _scalar_cost(flat):
        vector = -1
    tile = [1] * len(sizes)
    if vector >= 0:
        heavy = sum(isinstance(n, Apply) for n in walk(flat.roots())) > 12
        tile[vector] = (1 if heavy else 4) * VECTOR_WIDTH
    return StageSchedule(Tiling(tile, vector, VECTOR_WIDTH, _order(flat, vector)))


def _crossed(flat: FlatStage) -> StageSchedule | None:
    """A schedule for what is loaded along one dimension and stored along another: squares, transposed in registers."""
    whole = [d for d in range(flat.num_parallel) if flat.sizes[d] >= SIDE]
    for v in whole:
        for u in whole:
            if crossing_loads(flat, u, v):
                tile = [1] * len(flat.sizes)
                # stores fill lines of a cache; the rows that are loaded follow one another
                tile[u], tile[v] = SIDE, min(4 * VECTOR_WIDTH, flat.sizes[v])
                others = [d for d in _order(flat, v) if d not in (u, v)]
                return StageSchedule(Tiling(tile, v, VECTOR_WIDTH, [*others, v, u]))
    return None


def _tile_sizes(flat: FlatStage, shared: Sequence[int]) -> list[int]:
    sizes = list(flat.sizes)
    for d, t in zip(flat.fixed, shared, strict=True):
        sizes[d] = min(sizes[d], t)
    return sizes


def _order(flat: FlatStage, vector: int) -> list[int]:
    """Parallel dimensions by the stride of the first store, the largest outermost."""
    at = flat.stores[0].at
    strides = {
        d: 0 if d == vector else abs(at.coefficients.get(d, 0)) for d in range(flat.num_parallel)
    }
    order = sorted(range(flat.num_parallel), key=lambda d: -strides[d])
    if vector not in order or flat.fixed or not flat.is_reduction:
        return order
    batch = _batch_dims(flat)
    if vector not in batch and _panels_first(flat, vector, batch):
        # each panel is read from far away once, and the rows pass by it
        rest = [d for d in order if d != vector and d not in batch]
        order = [*(d for d in order if d in batch), vector, *rest]
    return order


def _batch_dims(flat: FlatStage) -> set[int]:
    """The dimensions along which every operand of a product goes on: what is read at one point is not read again."""
    loads = [n for n in walk(flat.updates) if isinstance(n, Load)]
    return {d for d in range(flat.num_parallel) if all(_depends(n.at, d) for n in loads)}


def _panels_first(flat: FlatStage, vector: int, batch: set[int]) -> bool:
    """Whether the loop over panels of a product comes first: where they are too many to stay near the core, and the
    other operand, which is then read for each panel, is smaller."""
    each = prod(flat.sizes[d] for d in batch)
    loads = [n for n in walk(flat.updates) if isinstance(n, Load)]
    panels = [prod(n.buffer.shape) for n in loads if is_packed(n.at, vector, VECTOR_WIDTH)]
    others = [prod(n.buffer.shape) for n in loads if not _depends(n.at, vector)]
    return bool(panels and others) and CACHE_ELEMENTS * each < max(panels) > max(others)


@dataclass
class _Products:
    """What a reduction does at each step, by the dimensions of its register tile."""

    loads: list[Load]
    ops: int
    accumulators: int

    @staticmethod
    def of(flat: FlatStage) -> _Products:
        nodes = list(walk(flat.updates))
        ops = sum(isinstance(n, Apply) for n in nodes)
        adds = sum(isinstance(n, Apply) and isinstance(n.op, arith.AddfOp) for n in nodes)
        muls = sum(isinstance(n, Apply) and isinstance(n.op, arith.MulfOp) for n in nodes)
        fused = min(adds, muls)  # a product and its sum are one op
        loads = [n for n in nodes if isinstance(n, Load)]
        return _Products(loads, max(1, ops - fused), len(flat.updates))


def _reduction(
    flat: FlatStage, shared: Sequence[int], merged_row: int = -1
) -> tuple[Tiling, float]:
    """The cheapest tiling of a reduction, and its cost."""
    sizes = _tile_sizes(flat, shared)
    if periods := table_periods(flat):
        return _by_tables(flat, sizes, periods), 0.0
    products = _Products.of(flat)
    best = Tiling([1] * len(sizes), -1, VECTOR_WIDTH, _order(flat, -1))
    best_cost = inf
    for tiling in _tilings(flat, sizes):
        cost = _cost(flat, sizes, products, tiling, merged_row)
        if cost < best_cost:
            best, best_cost = tiling, cost
    _unroll(flat, best)
    return best, best_cost


def _by_tables(flat: FlatStage, sizes: list[int], periods: dict[int, int]) -> Tiling:
    """A tile of whole periods of the tables that are read, with one vector along another dimension."""
    lanes = [d for d in range(flat.num_parallel) if d not in periods and sizes[d] >= VECTOR_WIDTH]
    vector = min(lanes, key=lambda d: (_lane_cost(flat, d), -d), default=-1)
    tile = [min(periods.get(d, 1), n) for d, n in enumerate(sizes)]
    if vector >= 0:
        tile[vector] = VECTOR_WIDTH
    return Tiling(tile, vector, VECTOR_WIDTH, _order(flat, vector))


def _tilings(flat: FlatStage, sizes: list[int]) -> Iterator[Tiling]:
    vectors = [
        d for d in range(len(sizes)) if sizes[d] > 1 and (d < flat.num_parallel or can_split(flat))
    ]
    for v in [*vectors, -1]:
        # of equals the first is taken: neighbours in memory
        rows = [d for d in reversed(range(flat.num_parallel)) if d != v and sizes[d] > 1]
        order = _order(flat, v)
        if v >= flat.num_parallel:
            for row in [*rows, -1]:
                columns = [c for c in rows if c != row] if row >= 0 else []
                for r, c in DOTS:
                    for column in [*columns, -1] if c > 1 else [-1]:
                        tile = [1] * len(sizes)
                        if row >= 0:
                            tile[row] = min(r, sizes[row])
                        if column >= 0:
                            tile[column] = min(c, sizes[column])
                        count = prod(tile)
                        unroll = 4 if count == 1 else 2 if count < 4 else 1
                        tile[v] = min(unroll, max(1, sizes[v] // VECTOR_WIDTH)) * VECTOR_WIDTH
                        yield Tiling(tile, v, VECTOR_WIDTH, order)
            continue
        block = _block(flat, v)
        for row in [*rows, -1]:
            for r, lanes in {*TILES, *WINDOWS} if v >= 0 else ((1, 1), (4, 1)):
                if row < 0 and r > 1:
                    continue
                if block and block % lanes:
                    continue
                tile = [1] * len(sizes)
                if row >= 0:
                    tile[row] = min(r, sizes[row])
                if v >= 0:
                    tile[v] = min(lanes, sizes[v])
                yield Tiling(tile, v, VECTOR_WIDTH, order)


def _block(flat: FlatStage, d: int) -> int:
    """The width of the panels of an operand that is packed along d; 0 if none is."""
    blocks = [
        packed_block(n.at, d) for n in flat.loads() if d >= 0 and is_packed(n.at, d, VECTOR_WIDTH)
    ]
    return min(blocks, default=0)


def _cost(
    flat: FlatStage, sizes: list[int], products: _Products, tiling: Tiling, merged_row: int
) -> float:
    """Cycles of the whole stage."""
    v = tiling.vector
    dot = dot_of(flat, v, VECTOR_WIDTH)
    if dot is not None:  # two products, an addition: as much work as one product of floats
        products = _Products(products.loads, 1, 1)
    steps = 1.0
    for d in range(flat.num_parallel, len(sizes)):
        size = flat.sizes[d]
        if dot is not None and d == dot.depth:
            size = -(-size // PAIR)
        steps *= size // VECTOR_WIDTH + size % VECTOR_WIDTH if d == v else size
    padded = padded_loads(flat, v, VECTOR_WIDTH) is not None
    total = 0.0
    for count, shape in _variants(flat, sizes, tiling):
        total += count * _tile_cost(flat, products, tiling, shape, steps, padded, merged_row)
    return total


def _variants(flat: FlatStage, sizes: list[int], tiling: Tiling) -> Iterator[tuple[int, list[int]]]:
    """The shapes of the tiles of a stage, whole ones and those at the ends, with how many there are of
    each."""

    def level(d: int, count: int, shape: list[int]) -> Iterator[tuple[int, list[int]]]:
        if d == flat.num_parallel:
            yield count, shape
            return
        whole, rest = divmod(sizes[d], tiling.tile[d])
        if whole:
            yield from level(d + 1, count * whole, [*shape, tiling.tile[d]])
        if rest:
            yield from level(d + 1, count, [*shape, rest])

    yield from level(0, 1, [])


def _tile_cost(
    flat: FlatStage,
    products: _Products,
    tiling: Tiling,
    shape: list[int],
    steps: float,
    padded: bool,
    merged_row: int,
) -> float:
    v = tiling.vector
    extents = dict(enumerate(shape))
    lanes = extents.get(v, 1) if v < flat.num_parallel else 1
    if v >= flat.num_parallel:
        vectors = tiling.tile[v] // VECTOR_WIDTH
    elif padded or v < 0:
        vectors = -(-lanes // VECTOR_WIDTH) if v >= 0 else 1
    else:
        vectors = lanes // VECTOR_WIDTH + lanes % VECTOR_WIDTH
    rows = prod(n for d, n in extents.items() if d != v)
    points = rows * (vectors if v < flat.num_parallel else 1)
    independent = points * products.accumulators
    if v >= flat.num_parallel:
        independent *= vectors
    loads, live, reread = 0.0, 0.0, 0.0
    for load in products.loads:
        count = float(prod(n for d, n in extents.items() if d != v and _depends(load.at, d)))
        if _overlaps(flat, load.at, extents, v):
            reread += (count + 2) * vectors  # neighbours read much of the same, which has to stay
            count = (count + 2) / 3
        if v >= 0 and _depends(load.at, v):
            if v < flat.num_parallel:
                count *= vectors
            live += count if v < flat.num_parallel else 0
            count *= 1 if _vector_access(load.at, v) == 1.0 else 1.5 * VECTOR_WIDTH
        loads += count
    spilled = max(0.0, independent + min(live, vectors * 2) + 1 - REGISTERS)
    if reread:
        spilled += 0.25 * max(0.0, independent + reread - REGISTERS)
    alu = points * products.ops * 0.5
    latency = LATENCY * products.ops * points / max(1, independent) if independent < 8 else 0.0
    if 0 < independent < 8:
        latency = LATENCY * points * products.accumulators / independent
    each = max(alu, loads * LOAD, latency) + spilled + 0.5
    ends = 4.0 + 2.0 * points + (rows * 8.0 if merged_row >= 0 else 0.0)
    if v >= flat.num_parallel:
        ends += 8.0 * points * products.accumulators
    for store in flat.stores:
        if v >= 0 and v < flat.num_parallel and _vector_access(store.at, v) > 1:
            ends += points * 6.0
    return steps * each + ends


def _depends(at: Flat, d: int) -> bool:
    return d in at.coefficients or d in at.nonlinear_dims


def _overlaps(flat: FlatStage, at: Flat, extents: dict[int, int], v: int) -> bool:
    """Whether windows of neighbouring rows overlap in what they read, and their loop is unrolled."""
    for d, n in extents.items():
        if d == v or n < 2:
            continue
        step, k = at.coefficients.get(d, 0), len(flat.sizes) - 1
        if step and at.coefficients.get(k) == step and 1 < flat.sizes[k] <= FULL_UNROLL:
            return True
    return False


def _unroll(flat: FlatStage, tiling: Tiling) -> None:
    """Unrolls the innermost reduced dimension that the lanes do not lie along: in full where it is short."""
    inner = [d for d in range(flat.num_parallel, len(flat.sizes)) if d != tiling.vector]
    if not inner or tiling.vector >= flat.num_parallel:
        return
    d = inner[-1]
    size = flat.sizes[d]
    points = prod(tiling.tile[: flat.num_parallel]) / (VECTOR_WIDTH if tiling.vector >= 0 else 1)
    if dot_of(flat, tiling.vector, VECTOR_WIDTH) is not None:
        tiling.tile[d] = min(size, 2 * PAIR)
    elif size <= FULL_UNROLL:
        tiling.tile[d] = size
    else:
        tiling.tile[d] = min(size, 2 if points >= 8 else 4)


def stage_cost(group: Group, stage: Stage, number: int) -> float:
    """The cost of a stage with its best schedule, to compare ways to pack its operands."""
    return _cheapest(group, stage, number, [])[1]

"""What the loops of a stage cost.

Costs are cycles, counted per register tile, of a core that does two vector multiply-adds a cycle; how fast it loads has
been fitted to what V8 reaches on x86.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, prod

from xdsl.dialects import arith

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.lowering.loops_common.expression import Apply, Index, Load, Node, Store, walk
from webdnn.lowering.loops_common.linear import Dim, Lin
from webdnn.lowering.loops_cpu.dot import dot_of
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.loops_cpu.leftovers import columns, has_wide_tiles, likely_tiles
from webdnn.lowering.loops_cpu.packed import in_panels, padded_loads
from webdnn.lowering.loops_cpu.schedule import VECTOR_WIDTH
from webdnn.lowering.loops_cpu.stages import likely_extent
from webdnn.lowering.loops_cpu.tiling import Tiling
from webdnn.lowering.packing import PAIR

REGISTERS = 16
"""Vector registers that engines use on x86 without AVX-512."""

LOAD = 0.62
"""Cycles of a load, a splat load included."""

DIVISION = 26.0
"""Cycles of a division by what is no constant, and of what follows it."""

LATENCY = 4.0
"""Cycles from one multiply-add to the next that needs its result."""

FULL_UNROLL = 7
"""A reduced dimension of at most so many points is unrolled in full."""


def accesses(flat: FlatStage) -> list[tuple[Load | Store, float]]:
    """Accesses with how often they are done at each point of the iteration space."""
    reduced = max(1, prod(flat.likely_sizes[flat.num_parallel :])) if flat.is_reduction else 1
    in_update = {id(n) for n in walk(flat.updates)}
    found: list[tuple[Load | Store, float]] = [
        (load, 1.0 if id(load) in in_update or not flat.is_reduction else 1 / reduced)
        for load in flat.loads()
        if load.is_affine
    ]
    return found + [(store, 1 / reduced) for store in flat.stores]


def _work(flat: FlatStage) -> float:
    """Ops at each point of the iteration space."""
    reduced = max(1, prod(flat.likely_sizes[flat.num_parallel :])) if flat.is_reduction else 1
    inner = sum(map(op_count, walk(flat.updates)))
    total = sum(map(op_count, walk(flat.roots())))
    return inner + (total - inner) / reduced


def op_count(node: Node) -> int:
    """The ops that a node itself stands for."""
    if isinstance(node, Index):
        return node.form.op_count
    return int(isinstance(node, Apply))


def scalar_cost(flat: FlatStage) -> float:
    return sum(w for _, w in accesses(flat)) + _work(flat) * 0.5


def lane_cost(flat: FlatStage, d: int) -> float:
    """The cost of one point where the lanes lie along dimension d."""
    size = flat.likely_sizes[d]
    if size < 2 or (d >= flat.num_parallel and not flat.can_split):
        return inf
    whole, rest = divmod(size, VECTOR_WIDTH)
    if rest and padded_loads(flat, d, VECTOR_WIDTH) is not None:
        whole, rest = whole + 1, 0
    vectors, scalars = whole / size, rest / size
    cost = 0.5 * _work(flat) * (vectors + scalars)
    for access, weight in accesses(flat):
        cost += weight * (vectors * vector_access(access, flat.dims[d]) + scalars)
    if not all(load.is_affine for load in flat.loads()):
        cost += vectors * VECTOR_WIDTH
    if d >= flat.num_parallel:
        cost += 8.0 / size + 0.5 * scalars
    return cost


def vector_access(access: Load | Store, dim: Dim) -> float:
    """The cost of an access by a whole vector along a dimension, in accesses."""
    at = access.at
    if in_panels(access, dim, VECTOR_WIDTH):
        return 1.0
    is_simple = dim not in at.nonlinear_dims and at.coefficient(dim) in (0, 1)
    return 1.0 if is_simple else 3.0 * VECTOR_WIDTH


@dataclass
class Products:
    """What a reduction does at each step, by the dimensions of its register tile."""

    loads: list[Load]
    ops: int
    accumulators: int

    @staticmethod
    def of(flat: FlatStage) -> Products:
        nodes = list(walk(flat.updates))
        ops = sum(isinstance(n, Apply) for n in nodes)
        adds = sum(isinstance(n, Apply) and isinstance(n.op, arith.AddfOp) for n in nodes)
        muls = sum(isinstance(n, Apply) and isinstance(n.op, arith.MulfOp) for n in nodes)
        fused = min(adds, muls)  # a product and its sum are one op
        loads = [n for n in nodes if isinstance(n, Load) and n.is_affine]
        return Products(loads, max(1, ops - fused), len(flat.updates))


def reduction_cost(
    flat: FlatStage, sizes: list[int], products: Products, tiling: Tiling, merged_row: int
) -> float:
    """Cycles of the whole stage."""
    v = tiling.vector
    dot = dot_of(flat, v, VECTOR_WIDTH)
    if dot is not None:  # two products, an addition: as much work as one product of floats
        products = Products(products.loads, 1, 1)
    steps = 1.0
    for d in range(flat.num_parallel, len(sizes)):
        size = flat.likely_sizes[d]
        if dot is not None and d == dot.depth:
            size = -(-size // PAIR)
        steps *= size // VECTOR_WIDTH + size % VECTOR_WIDTH if d == v else size
    padded = padded_loads(flat, v, VECTOR_WIDTH) is not None
    total = 0.0
    for count, shape in _variants(flat, sizes, tiling):
        total += count * _tile_cost(flat, products, tiling, shape, steps, padded, merged_row)
    return total


def _variants(
    flat: FlatStage, sizes: list[int], tiling: Tiling
) -> Iterator[tuple[float, list[int]]]:
    """The shapes of the tiles of a stage, whole ones and those at the ends, with how many there are of
    each."""

    symbolic = [dim.size for dim in flat.dims[: flat.num_parallel]]
    for d in flat.fixed:
        symbolic[d] = sizes[d]
    v = tiling.vector
    wide = has_wide_tiles(flat, tiling, symbolic)

    def level(d: int, count: float, shape: list[int]) -> Iterator[tuple[float, list[int]]]:
        if d == flat.num_parallel:
            lanes = min(columns(tiling, shape), sizes[v]) if wide else 0
            if wide and shape[v] == tiling.tile[v]:
                yield count * shape[v] / lanes, [*shape[:v], lanes, *shape[v + 1 :]]
            else:
                yield count, shape
            return
        if is_symbolic(symbolic[d]):
            width = VECTOR_WIDTH if d == v else 1
            for tiles, tile in likely_tiles(symbolic[d], sizes[d], tiling.tile[d], width):
                yield from level(d + 1, count * tiles, [*shape, tile])
            return
        whole, rest = divmod(sizes[d], tiling.tile[d])
        if whole:
            yield from level(d + 1, count * whole, [*shape, tiling.tile[d]])
        if rest:
            yield from level(d + 1, count, [*shape, rest])

    yield from level(0, 1, [])


def _tile_cost(
    flat: FlatStage,
    products: Products,
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
        count = float(
            prod(n for d, n in extents.items() if d != v and load.at.depends(flat.dims[d]))
        )
        if (taps := _overlap(flat, load.at, extents, v)) > 1:
            window = count + taps - 1
            reread += window * vectors  # neighbours read much of the same, which has to stay
            count = window / taps
        if v >= 0 and load.at.depends(flat.dims[v]):
            if v < flat.num_parallel:
                count *= vectors
            live += count if v < flat.num_parallel else 0
            count *= 1 if vector_access(load, flat.dims[v]) == 1.0 else 1.5 * VECTOR_WIDTH
        loads += count
    spilled = max(0.0, independent + min(live, vectors * 2) + 1 - REGISTERS)
    if reread:
        spilled += 0.15 * max(0.0, independent + reread - REGISTERS)
    alu = points * products.ops * 0.5
    latency = LATENCY * products.ops * points / max(1, independent) if independent < 8 else 0.0
    if 0 < independent < 8:
        latency = LATENCY * points * products.accumulators / independent
    each = max(alu, loads * LOAD, latency) + spilled + 0.5
    ends = 4.0 + 2.0 * points
    if merged_row >= 0:
        ends += rows * (DIVISION if is_symbolic(flat.dims[merged_row].size) else 8.0)
    if v >= flat.num_parallel:
        ends += 8.0 * points * products.accumulators
    for store in flat.stores:
        if v >= 0 and v < flat.num_parallel and vector_access(store, flat.dims[v]) > 1:
            ends += points * 6.0
    return steps * each + ends


def _overlap(flat: FlatStage, at: Lin, extents: dict[int, int], v: int) -> int:
    """The elements of a window, where those of neighbouring rows overlap in what they read, and the loop over a window
    is unrolled; else 1."""
    for d, n in extents.items():
        if d == v or n < 2:
            continue
        step, k = at.coefficient(flat.dims[d]), flat.dims[-1]
        size = likely_extent(k.size)
        if step != 0 and at.coefficient(k) == step and 1 < size <= FULL_UNROLL:
            return size
    return 1

"""The register tiles that are tried for a reduction, and the order of the loops around them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.substitution import likely, likely_shape
from webdnn.lowering.loops_common.expression import Choose, Constant, Load, Node, walk
from webdnn.lowering.loops_common.linear import Remainder
from webdnn.lowering.loops_cpu.cost import FULL_UNROLL, lane_cost
from webdnn.lowering.loops_cpu.dot import dot_of
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.loops_cpu.packed import is_packed, packed_block
from webdnn.lowering.loops_cpu.schedule import VECTOR_WIDTH
from webdnn.lowering.loops_cpu.stages import likely_extent
from webdnn.lowering.loops_cpu.tiling import Tiling
from webdnn.lowering.packing import PAIR

CACHE_ELEMENTS = 1 << 16
"""Elements of panels that stay in a cache near the core while all rows pass by them."""

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

WINDOWS = ((8, 4), (7, 4), (5, 4), (6, 8), (4, 8), (4, 4), (2, 8), (1, 16), (1, 8))
"""Register tiles that are tried where no row shares a load with the next one."""

DOTS = ((4, 2), (4, 1), (6, 1), (2, 2), (2, 4), (8, 1), (1, 4), (2, 1), (1, 1))
"""Tiles that are tried where the lanes lie along the sum: rows and columns."""


def table_periods(flat: FlatStage) -> dict[int, int]:
    """The dimensions that tables of constants are read by, and after how many points a table repeats.

    In a tile of whole periods at a known position the constants are known, and products with 0 and 1 vanish.
    """
    found: dict[int, int] = {}
    for node in walk(flat.updates):
        if isinstance(node, Choose) and _is_table(node):
            for d, dim in enumerate(flat.dims):
                if node.position.coefficient(dim) != 0:
                    found[d] = likely_extent(dim.size)
                for division, _ in node.position.divisions:
                    if isinstance(division, Remainder) and dim in division.dims:
                        found[d] = min(likely_extent(division.divisor), at_most(dim.size))
    return found


def _is_table(node: Node) -> bool:
    return isinstance(node, Constant) or (
        isinstance(node, Choose) and all(_is_table(case) for case in node.cases)
    )


def by_tables(flat: FlatStage, sizes: list[int], periods: dict[int, int]) -> Tiling:
    """A tile of whole periods of the tables that are read, with one vector along another dimension."""
    lanes = [d for d in range(flat.num_parallel) if d not in periods and sizes[d] >= VECTOR_WIDTH]
    vector = min(lanes, key=lambda d: (lane_cost(flat, d), -d), default=-1)
    tile = [
        periods.get(d, 1) if is_symbolic(flat.sizes[d]) else min(periods.get(d, 1), n)
        for d, n in enumerate(sizes)
    ]
    if vector >= 0:
        tile[vector] = VECTOR_WIDTH
    return Tiling(tile, vector, VECTOR_WIDTH, loop_order(flat, vector))


def loop_order(flat: FlatStage, vector: int) -> list[int]:
    """Parallel dimensions by the stride of the first store, the largest outermost."""
    at = flat.stores[0].at
    strides = {
        d: 0 if d == vector else abs(likely(at.coefficient(flat.dims[d])))
        for d in range(flat.num_parallel)
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
    loads = _operands(flat)
    parallel = enumerate(flat.dims[: flat.num_parallel])
    return {d for d, dim in parallel if all(n.at.depends(dim) for n in loads)}


def _operands(flat: FlatStage) -> list[Load]:
    return [n for n in walk(flat.updates) if isinstance(n, Load) and n.is_affine]


def _panels_first(flat: FlatStage, vector: int, batch: set[int]) -> bool:
    """Whether the loop over panels of a product comes first: where they are too many to stay near the core, and the
    other operand, which is then read for each panel, is smaller."""
    each = prod(flat.likely_sizes[d] for d in batch)
    loads, dim = _operands(flat), flat.dims[vector]
    panels = [
        prod(likely_shape(n.buffer.shape)) for n in loads if is_packed(n.at, dim, VECTOR_WIDTH)
    ]
    others = [prod(likely_shape(n.buffer.shape)) for n in loads if not n.at.depends(dim)]
    return bool(panels and others) and CACHE_ELEMENTS * each < max(panels) > max(others)


def tilings(flat: FlatStage, sizes: list[int]) -> Iterator[Tiling]:
    vectors = [
        d for d in range(len(sizes)) if sizes[d] > 1 and (d < flat.num_parallel or flat.can_split)
    ]
    for v in [*vectors, -1]:
        # of equals the first is taken: neighbours in memory
        rows = [d for d in reversed(range(flat.num_parallel)) if d != v and sizes[d] > 1]
        order = loop_order(flat, v)
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
    if d < 0:
        return 0
    dim = flat.dims[d]
    blocks = [packed_block(n.at, dim) for n in flat.loads() if is_packed(n.at, dim, VECTOR_WIDTH)]
    return min(blocks, default=0)


def unroll(flat: FlatStage, tiling: Tiling) -> None:
    """Unrolls the innermost reduced dimension that the lanes do not lie along: in full where it is short."""
    inner = [d for d in range(flat.num_parallel, len(flat.likely_sizes)) if d != tiling.vector]
    if not inner or tiling.vector >= flat.num_parallel:
        return
    d = inner[-1]
    size = flat.likely_sizes[d]
    points = prod(tiling.tile[: flat.num_parallel]) / (VECTOR_WIDTH if tiling.vector >= 0 else 1)
    if dot_of(flat, tiling.vector, VECTOR_WIDTH) is not None:
        tiling.tile[d] = min(size, 2 * PAIR)
    elif size <= FULL_UNROLL:
        tiling.tile[d] = size
    else:
        tiling.tile[d] = min(size, 2 if points >= 8 else 4)

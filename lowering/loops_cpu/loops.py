"""Tile loops of a stage and of a group of stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import at_most, is_known
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.linear import Dim, Lin
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.loops_cpu.groups import scratch_extents
from webdnn.lowering.loops_cpu.leftovers import (
    MOST_POINTS,
    Part,
    columns,
    has_wide_tiles,
    register_tiles,
    tiles_and_points,
    widest,
)
from webdnn.lowering.loops_cpu.schedule import GroupSchedule, prepare
from webdnn.lowering.loops_cpu.stages import Group
from webdnn.lowering.loops_cpu.tile import TileEmitter
from webdnn.lowering.loops_cpu.tiling import Tiling
from webdnn.lowering.loops_cpu.tilings import table_periods

Rests = Callable[[int, int, int], list[Part]]
"""The tiles along a dimension (by its number) whose size depends on symbols, for the wanted tile."""


def walk_tiles(
    emitter: Emitter,
    sizes: Sequence[int],
    tiles: Sequence[int],
    body: Callable[[list[Lin], list[int]], None],
    rests: Rests,
) -> None:
    """Loops over the tiles of a box, the first dimension outermost; `body` emits one tile from its base
    and its sizes.

    What is left over at the end of a dimension is a smaller tile of its own, inside of the loops around
    it: no tile is masked and no point is computed twice, so an output may share its memory with an input. Where the
    size of a dimension depends on symbols, `rests` says which tiles are left over.
    """

    def level(d: int, base: list[Lin], extent: list[int]) -> None:
        if d == len(sizes):
            body(base, extent)
            return
        size = sizes[d]
        if is_symbolic(size):
            for part in rests(d, size, max(1, tiles[d])):
                tiles_of(part, d, base, extent)
            return
        tile = max(1, min(tiles[d], size))
        whole, rest = divmod(size, tile)
        if whole > 1:
            emitter.parallel(
                whole, lambda number: level(d + 1, [*base, number * tile], [*extent, tile])
            )
        elif whole == 1:
            level(d + 1, [*base, Lin()], [*extent, tile])
        if rest:
            level(d + 1, [*base, Lin.of(whole * tile)], [*extent, rest])

    def tiles_of(part: Part, d: int, base: list[Lin], extent: list[int]) -> None:
        start, count, tile = part

        def one(number: Lin) -> None:
            # of a loop that runs once at most the position is known
            offset = number * tile if at_most(count) > 1 else Lin()
            level(d + 1, [*base, offset + start], [*extent, tile])

        if count == 1:
            one(Lin())
        elif not is_known(count, lambda n: n <= 0):
            emitter.parallel(count, one)

    level(0, [], [])


def _whole_and_rest(_: int, size: int, tile: int) -> list[Part]:
    """Whole tiles, and one of unknown size for what is left over, if there is anything."""
    whole = size // tile
    return [(0, whole, tile), (whole * tile, -(-size // tile) - whole, size - whole * tile)]


def emit_stage(
    emitter: Emitter,
    stage: FlatStage,
    tiling: Tiling,
    shared_base: Sequence[Lin] = (),
    shared_sizes: Sequence[int] = (),
) -> None:
    """The loops of one stage.

    Args:
        shared_base: the first point of the group's tile along the dimensions in `stage.fixed`.
        shared_sizes: the extent of the group's tile along them.
    """
    base = [Lin()] * stage.num_parallel
    sizes = stage.sizes[: stage.num_parallel]
    origin: dict[Dim, Lin] = {}
    for d, start, size in zip(stage.fixed, shared_base, shared_sizes, strict=True):
        base[d], sizes[d], origin[stage.dims[d]] = start, size, start
    tile_emitter = TileEmitter(emitter, stage, tiling, origin)
    order, v = tiling.order, tiling.vector
    wide = has_wide_tiles(stage, tiling, sizes)

    def tile(local: list[Lin], extents: list[int]) -> None:
        at = list(base)
        extent = [0] * stage.num_parallel
        for d, offset, size in zip(order, local, extents, strict=True):
            at[d] = base[d] + offset
            extent[d] = size
        if not wide:
            tile_emitter.emit(at, extent)
            return
        lanes, start = columns(tiling, extent), at[v]

        def part(number: Lin, count: int) -> None:
            at[v], extent[v] = start + number * lanes, count
            tile_emitter.emit(at, extent)

        whole, rest = divmod(extent[v], lanes)
        if whole > 1:
            emitter.parallel(whole, lambda number: part(number, lanes))
        elif whole:
            part(Lin(), lanes)
        if rest:
            part(Lin.of(whole), rest)

    periods = table_periods(stage) if any(map(is_symbolic, sizes)) else {}

    def rests(number: int, size: int, tile: int) -> list[Part]:
        if order[number] in periods and tile <= MOST_POINTS:
            return tiles_and_points(size, tile)
        return register_tiles(size, tile, tiling.width if order[number] == v else 1)

    tiles = [widest(tiling) if wide and d == v else tiling.tile[d] for d in order]
    walk_tiles(emitter, [sizes[d] for d in order], tiles, tile, rests)


def emit_group(emitter: Emitter, group: Group, schedule: GroupSchedule) -> None:
    """The loops of a group: over the dimensions that its stages share, and in them those of each stage."""
    sizes = [shared.size for shared in group.outer]

    def tile(base: list[Lin], extents: list[int]) -> None:
        for buffer in group.scratch:
            buffer.extents = scratch_extents(buffer, group, extents)
            buffer.value = emitter.alloca(buffer.element_type, max(1, prod(buffer.extents)))
        for number, stage in enumerate(group.stages):
            flat, tiling = prepare(group, stage, number, schedule)
            starts = [
                _coarser(at, shared.step // shared.steps[number])
                for shared, at in zip(group.outer, base, strict=True)
            ]
            mine = [
                shared.extent(number, n) for shared, n in zip(group.outer, extents, strict=True)
            ]
            emit_stage(emitter, flat, tiling, starts, mine)

    walk_tiles(emitter, sizes, schedule.tile, tile, _whole_and_rest)


def _coarser(at: Lin, step: int) -> Lin:
    """The first point of a tile, in steps of `step` points."""
    parts = at.divide(step)
    assert parts is not None, "tiles of a shared dimension are whole steps"
    return parts[0]

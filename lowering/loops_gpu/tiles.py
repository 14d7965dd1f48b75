"""Blocks of a matrix: fetched from storage as vectors, and staged in workgroup memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from xdsl.ir import SSAValue

from webdnn.dialects.sizes.questions import divides
from webdnn.lowering.loops_common.emitter import Emitter, vector_type
from webdnn.lowering.loops_common.expression import Node
from webdnn.lowering.loops_common.linear import Dim, Lin, volume
from webdnn.lowering.loops_gpu.evaluate import InvocationEvaluator, can_vectorize

WIDTH = 4
"""The number of elements of a vector."""


@dataclass(frozen=True)
class Place:
    """A place along an axis: `base + offset + run`.

    Attributes:
        base: equal in the whole workgroup, a multiple of the axis' block.
        offset: what is left, less than the block.
        indices: where each dim of the axis stands at `base`, if that is known already.
        run: a number below the axis' `run`, the rest being a multiple of that; None where the rest may be anything.
    """

    base: Lin
    offset: Lin
    indices: tuple[Lin, ...] | None = None
    run: int | None = None

    def __add__(self, distance: Lin | int) -> Place:
        return Place(self.base, self.offset + distance, self.indices, self.run)

    def along_run(self, distance: int) -> Place:
        """A place of the same run."""
        return Place(self.base, self.offset, self.indices, (self.run or 0) + distance)

    @property
    def flat(self) -> Lin:
        return self.base + self.offset + (self.run or 0)


class Axis:
    """An axis of a matrix (rows, columns, or what is summed over): several dims of the kernel, walked as one.

    Attributes:
        size: its number of places.
        block: how many of them are in a block.
        blocks: how many blocks a workgroup takes at a time.
        summed: whether what lies outside must count as zero.
        run: places that one invocation takes side by side; 1 if they may cross the end of the innermost dim.
    """

    def __init__(
        self,
        dims: Sequence[Dim],
        block: int,
        blocks: int = 1,
        summed: bool = False,
        run: int = 1,
    ) -> None:
        self.dims = tuple(dims)
        self.size = volume(dims)
        self.block = block
        self.step = block * blocks
        self.summed = summed
        self.run = run if self.dims and divides(run, self.dims[-1].size) else 1

    @property
    def ragged(self) -> bool:
        """Whether the last blocks reach over the end."""
        return not divides(self.step, self.size)

    @property
    def has_vectors(self) -> bool:
        """Whether vectors that begin at multiples of their width never cross the end of the innermost dim."""
        return bool(self.dims) and divides(WIDTH, self.dims[-1].size)

    @property
    def even(self) -> bool:
        """Whether blocks never cross the end of the innermost dim."""
        return bool(self.dims) and divides(self.block, self.dims[-1].size)

    def indices(self, emit: Emitter, place: Place) -> list[Lin]:
        """Where each dim stands at a place inside of the axis."""
        sizes = [dim.size for dim in self.dims]
        if not self.even:
            # All places of a run differ in the innermost index alone: one division serves them all.
            first = emit.delinearize(place.base + place.offset, sizes)
            return [*first[:-1], first[-1] + place.run] if place.run else first
        # The division is done once for the workgroup, not by each invocation for its own place.
        base = emit.delinearize(place.base, sizes) if place.indices is None else place.indices
        return [*base[:-1], base[-1] + place.offset + (place.run or 0)]

    def inside(self, emit: Emitter, place: Place, width: int) -> tuple[Place, SSAValue | None]:
        """The place, moved to the end of the axis if it is beyond, and whether it was not; None for always."""
        if not self.ragged:
            return place, None
        unit = width if place.run is None else self.run
        units, rest = (place.base + place.offset).split(unit)
        assert rest == Lin(), "vectors and runs begin at multiples of their size"
        clamped = emit.clamp(units, self.size // unit - 1)
        condition = emit.below(place.flat, self.size) if self.summed else None
        return Place(clamped * unit, Lin(), run=place.run), condition


class Source:
    """A matrix whose elements are an expression over two axes, read as vectors along its columns."""

    def __init__(
        self, evaluator: InvocationEvaluator, node: Node, rows: Axis, columns: Axis
    ) -> None:
        self.evaluator = evaluator
        self.node = node
        self.rows = rows
        self.columns = columns
        self.along_columns = columns.has_vectors and can_vectorize([node], columns.dims[-1])
        self.along_rows = (
            not self.along_columns
            and rows.has_vectors
            and rows.block % WIDTH == 0
            and rows.dims[-1] in node.dims
            and can_vectorize([node], rows.dims[-1])
        )

    def element(self, row: Place, column: Place, lane: Axis | None = None) -> SSAValue:
        """One element, or the vector that begins there along the axis `lane`."""
        emit, evaluator = self.evaluator.emitter, self.evaluator
        width = 1 if lane is None else WIDTH
        condition: SSAValue | None = None
        for axis, place in ((self.rows, row), (self.columns, column)):
            place, inside = axis.inside(emit, place, WIDTH if axis is lane else 1)
            condition = emit.both(condition, inside)
            evaluator.bind(axis.dims, axis.indices(emit, place))
        if lane is None:
            value = evaluator.scalar(self.node)
        else:
            with evaluator.vectors(lane.dims[-1], WIDTH):
                value = emit.splat(evaluator.packed(self.node), WIDTH)
        if condition is None:
            return value
        return emit.select(condition, value, emit.number(0, vector_type(self.node.type, width)))

    def vector(self, row: Place, column: Place) -> SSAValue:
        """Four elements of a row; `column` is a multiple of four."""
        if self.columns.has_vectors:
            return self.element(row, column, self.columns)
        lanes = [self.element(row, column + i) for i in range(WIDTH)]
        return self.evaluator.emitter.pack(lanes)

    def square(self, row: Place, column: Place) -> list[SSAValue]:
        """Four elements of each of four rows; both places are multiples of four."""
        if not self.along_rows:
            return [self.vector(row + i, column) for i in range(WIDTH)]
        emit = self.evaluator.emitter
        columns = [self.element(row, column + i, self.rows) for i in range(WIDTH)]
        return [emit.pack([emit.lane(c, i) for c in columns]) for i in range(WIDTH)]


class Tile:
    """A block of a matrix in workgroup memory, row by row.

    Args:
        source: the matrix.
        memory: workgroup memory.
        start: where in it the block begins.
        invocations: the number of invocations that fill it together.
        invocation: the number of this one among them.
    """

    def __init__(
        self, source: Source, memory: SSAValue, start: Lin, invocations: int, invocation: Lin
    ) -> None:
        self.source = source
        self.emit = source.evaluator.emitter
        self.invocations = invocations
        self.invocation = invocation
        self.height = source.rows.block
        self.pitch = source.columns.block
        self.memory = memory
        self.start = start

        self.squares = source.along_rows
        self.units = self.height * self.pitch // (WIDTH * WIDTH if self.squares else WIDTH)

    def shares(self) -> list[tuple[Lin, Lin, SSAValue | None]]:
        """Where in the block the vectors (or squares) lie that this invocation copies, and whether each exists."""
        emit = self.emit
        shares: list[tuple[Lin, Lin, SSAValue | None]] = []
        for first in range(0, self.units, self.invocations):
            unit, exists = self.invocation + first, None
            if first + self.invocations > self.units:
                exists = emit.below(unit, self.units)
                unit = emit.clamp(unit, self.units - 1)
            # Neighbouring invocations read neighbouring vectors.
            if self.squares:
                column, row = emit.divide(unit, self.height // WIDTH)
                row = row * WIDTH
            else:
                row, column = emit.divide(unit, self.pitch // WIDTH)
            shares.append((row, column * WIDTH, exists))
        return shares

    def fetch(self, row: Place, column: Place) -> list[list[SSAValue]]:
        """This invocation's share of the block that begins at the given places, still in registers."""
        with self.source.evaluator.forget():
            return [
                self.source.square(row + r, column + c)
                if self.squares
                else [self.source.vector(row + r, column + c)]
                for r, c, _ in self.shares()
            ]

    def put(self, fetched: Sequence[Sequence[SSAValue]]) -> None:
        """Write what was fetched to workgroup memory."""
        for (r, c, exists), values in zip(self.shares(), fetched, strict=True):
            self.emit.when(exists, partial(self._put, r, c, values))

    def _put(self, row: Lin, column: Lin, values: Sequence[SSAValue]) -> None:
        for i, value in enumerate(values):
            self.emit.store(value, self.memory, self.start + (row + i) * self.pitch + column)

    def read(self, row: Lin, column: Lin) -> SSAValue:
        """Four elements of a row of the block."""
        return self.emit.load(
            self.memory, self.start + row * self.pitch + column, WIDTH, depth=None
        )

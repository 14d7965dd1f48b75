"""Emits one register tile of a stage: all of its points at once, accumulators in registers, reductions as
loops around them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import VectorType
from xdsl.dialects.vector import CombiningKindAttr
from xdsl.ir import SSAValue

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import at_most, is_known
from webdnn.lowering.combining_ops import COMBINING
from webdnn.lowering.loops_common.expression import Load
from webdnn.lowering.loops_common.linear import Lin
from webdnn.lowering.loops_cpu.dot import Dot, add_products
from webdnn.lowering.loops_cpu.reduction import Point, ReductionEmitter
from webdnn.lowering.loops_cpu.transposed import SIDE, transpose
from webdnn.lowering.packing import PAIR


@dataclass
class _Chunk:
    """Neighbouring points along the vectorised dimension: `valid` of them from `start` on, in `width`
    lanes."""

    start: int
    width: int
    valid: int


def _chunks_of(size: int, width: int, *, padded: bool) -> list[_Chunk]:
    """Whole vectors, and for the rest a vector with lanes that nobody needs, or single points."""
    whole, rest = size - size % width, size % width
    chunks = [_Chunk(s, width, width) for s in range(0, whole, width)]
    if padded and rest:
        return [*chunks, _Chunk(whole, width, rest)]
    return chunks + [_Chunk(s, 1, 1) for s in range(whole, size)]


class TileEmitter(ReductionEmitter):
    """Emits tiles of one stage."""

    def emit(self, base: Sequence[Lin], sizes: Sequence[int]) -> None:
        """Emit the tile at `base`.

        Args:
            base: the first point along each parallel dimension.
            sizes: the number of points along each parallel dimension.
        """
        points = self._points(base, sizes)
        if not self.stage.is_reduction:
            self._store_all(points, sizes)
            return
        if self.tiling.vector >= self.stage.num_parallel:
            finals = self._reduce_across_lanes(points)
        else:
            finals = self._reduce(points, [self._inits(point) for point in points])
        for point, final in zip(points, finals, strict=True):
            self._store(point, final)

    def _ranges(self, sizes: Sequence[int]) -> list[list[_Chunk]]:
        """The chunks along each parallel dimension."""
        tiling = self.tiling
        return [
            _chunks_of(sizes[d], tiling.width, padded=self.is_padded)
            if d == tiling.vector
            else [_Chunk(i, 1, 1) for i in range(sizes[d])]
            for d in range(self.stage.num_parallel)
        ]

    def _points(self, base: Sequence[Lin], sizes: Sequence[int]) -> list[Point]:
        tiling = self.tiling
        points: list[Point] = []
        for chunks in product(*self._ranges(sizes)):
            point = Point([base[d] + c.start for d, c in enumerate(chunks)])
            if 0 <= tiling.vector < self.stage.num_parallel:
                chunk = chunks[tiling.vector]
                point.width, point.valid = chunk.width, chunk.valid
            points.append(point)
        return points

    def _store(self, point: Point, accumulators: Sequence[SSAValue]) -> None:
        evaluator = self._evaluator(point, self._zeros, accumulators)
        for store in self.stage.stores:
            evaluator.write(store)

    def _store_all(self, points: list[Point], sizes: Sequence[int]) -> None:
        """Store the points of an elementwise stage; squares of them that lie across in memory are transposed."""
        u, loads = self._crossing
        if not loads:
            for point in points:
                self._store(point, [])
            return
        # the points are in row-major order, and each stands for a chunk along the vectorised dimension
        counts = [len(chunks) for chunks in self._ranges(sizes)]
        step = prod(counts[u + 1 :])
        done: set[int] = set()
        for start, point in enumerate(points):
            if start in done:
                continue
            square = range(start, start + SIDE * step, step)
            if point.valid == SIDE and start // step % sizes[u] + SIDE <= sizes[u]:
                self._store_square([points[i] for i in square], loads)
                done.update(square)
            else:
                self._store(point, [])

    def _store_square(self, points: list[Point], loads: Sequence[Load]) -> None:
        """Store points that are neighbours along the dimension that `loads` are contiguous along."""
        evaluators = [self._evaluator(point, self._zeros) for point in points]
        for load in loads:
            rows = evaluators[0].load_lanes(load, SIDE)
            for evaluator, column in zip(evaluators, transpose(self.emitter, rows), strict=True):
                evaluator.know(load, column)
        for evaluator in evaluators:
            for store in self.stage.stores:
                evaluator.write(store)

    # reductions with the lanes along a parallel dimension, or without lanes

    def _reduce(self, points: list[Point], starts: list[list[SSAValue]]) -> list[list[SSAValue]]:
        count = len(self.stage.updates)
        flat = [v for start in starts for v in start]

        def update(reduced: Sequence[Lin], accs: Sequence[SSAValue]) -> Sequence[SSAValue]:
            result: list[SSAValue] = []
            for i, point in enumerate(points):
                mine = accs[i * count : (i + 1) * count]
                result += self._update(point, reduced, mine)
            return result

        dims = list(range(self.stage.num_parallel, len(self.stage.sizes)))
        if self._dot is not None:
            final = self._dot_loops(self._dot, points, dims, [], flat)
        else:
            final = self._loops(dims, [], flat, update)
        return [list(final[i * count : (i + 1) * count]) for i in range(len(points))]

    def _dot_loops(
        self,
        dot: Dot,
        points: list[Point],
        dims: list[int],
        reduced: list[Lin],
        accs: Sequence[SSAValue],
    ) -> Sequence[SSAValue]:
        """Loops over the reduced dimensions `dims`, in the last of which two products are added at a time."""

        def update(
            at: Lin, accs: Sequence[SSAValue], *, single: bool = False
        ) -> Sequence[SSAValue]:
            if dims[0] != dot.depth:
                return self._dot_loops(dot, points, dims[1:], [*reduced, at], accs)
            return [
                add_products(dot, self._evaluator(p, [*reduced, at]), acc, single=single)
                for p, acc in zip(points, accs, strict=True)
            ]

        size = self.stage.sizes[dims[0]]
        step = PAIR if dims[0] == dot.depth else 1
        unroll = max(1, self.tiling.tile[dims[0]] // step)
        whole, done = size // (unroll * step), 0
        if is_symbolic(size):

            def steps(number: Lin, results: Sequence[SSAValue]) -> Sequence[SSAValue]:
                for i in range(unroll):
                    results = update((number * unroll + i) * step, results)
                return results

            def pair(number: Lin, results: Sequence[SSAValue]) -> Sequence[SSAValue]:
                return update(number * step, results)

            def last(at: Lin, results: Sequence[SSAValue]) -> Sequence[SSAValue]:
                return update(at, results, single=True)

            pairs = size // step
            accs = self.emitter.for_loop(0, whole, 1, accs, steps)
            accs = self.emitter.for_loop(whole * unroll, pairs, 1, accs, pair)
            return self.emitter.for_loop(pairs * step, size, 1, accs, last)
        if whole > 1:

            def body(number: Lin, results: Sequence[SSAValue]) -> Sequence[SSAValue]:
                for i in range(unroll):
                    results = update((number * unroll + i) * step, results)
                return results

            accs = self.emitter.for_loop(0, whole, 1, accs, body)
            done = whole * unroll * step
        for i in range(done, size, step):
            accs = update(Lin.of(i), accs, single=i + step > size)
        return accs

    # reductions with the lanes along a reduced dimension

    def _reduce_across_lanes(self, points: list[Point]) -> list[list[SSAValue]]:
        """Partial results in the lanes of vectors (several vectors where the dimension is unrolled),
        combined at the end."""
        width, size = self.tiling.width, self.stage.sizes[self.tiling.vector]
        count = len(self.stage.updates)
        scalars = [self._inits(point) for point in points]
        parts: list[list[list[SSAValue]]] = [[] for _ in points]
        if not is_known(size, lambda n: n < width):
            parts = self._vector_parts(points, scalars)
        if size % width != 0:
            scalars = self._scalar_rest(points, scalars)
        return [
            [self._combine(i, [part[i] for part in mine], final[i]) for i in range(count)]
            for mine, final in zip(parts, scalars, strict=True)
        ]

    def _reduced_at(self, others: Sequence[Lin], at: Lin) -> list[Lin]:
        """The position along the reduced dimensions, with `at` along the vectorised one."""
        result = list(others)
        result.insert(self.tiling.vector - self.stage.num_parallel, at)
        return result

    def _other_dims(self) -> list[int]:
        dims = range(self.stage.num_parallel, len(self.stage.sizes))
        return [d for d in dims if d != self.tiling.vector]

    def _vector_parts(
        self, points: list[Point], inits: list[list[SSAValue]]
    ) -> list[list[list[SSAValue]]]:
        """For each point, some partial results of each accumulator: vectors over all whole vectors of the
        dimension."""
        emitter, width = self.emitter, self.tiling.width
        size = self.stage.sizes[self.tiling.vector]
        count = len(self.stage.updates)
        unroll = max(1, min(self.tiling.tile[self.tiling.vector], at_most(size)) // width)
        whole = size // (unroll * width)
        wide = [Point(p.at, width, width) for p in points]
        starts = [
            self._partial(i, inits[p][i])
            for p in range(len(points))
            for _ in range(unroll)
            for i in range(count)
        ]

        def update(reduced: Sequence[Lin], accs: Sequence[SSAValue]) -> Sequence[SSAValue]:
            def step(at: Lin, values: list[SSAValue], part: int) -> None:
                for p, point in enumerate(wide):
                    first = (p * unroll + part) * count
                    full = self._reduced_at(reduced, at)
                    values[first : first + count] = self._update(
                        point, full, values[first : first + count]
                    )

            def body(number: Lin, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
                values = list(running)
                for part in range(unroll):
                    step(number * (unroll * width) + part * width, values, part)
                return values

            def single(number: Lin, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
                values = list(running)
                step(number * width, values, 0)
                return values

            if is_symbolic(size):
                accs = emitter.for_loop(0, whole, 1, accs, body)
                return emitter.for_loop(whole * unroll, size // width, 1, accs, single)
            done = 0
            if whole > 1:
                accs = emitter.for_loop(0, whole, 1, accs, body)
                done = whole * unroll * width
            accs = list(accs)
            for part, at in enumerate(range(done, size - width + 1, width)):
                step(Lin.of(at), accs, part % unroll)
            return accs

        flat = self._loops(self._other_dims(), [], starts, update)
        return [
            [list(flat[(p * unroll + u) * count :][:count]) for u in range(unroll)]
            for p in range(len(points))
        ]

    def _partial(self, number: int, init: SSAValue) -> SSAValue:
        """What a partial result starts with."""
        assert self.stage.combiners is not None
        found = self.stage.combiners[number]
        neutral = COMBINING[type(found.op)][1]
        start = init if neutral is None else self.emitter.number(neutral, found.type)
        return self.emitter.splat(start, self.tiling.width)

    def _scalar_rest(
        self, points: list[Point], inits: list[list[SSAValue]]
    ) -> list[list[SSAValue]]:
        """The accumulators after the points behind the last whole vector of the dimension."""
        size = self.stage.sizes[self.tiling.vector]
        count = len(self.stage.updates)

        def update(reduced: Sequence[Lin], accs: Sequence[SSAValue]) -> Sequence[SSAValue]:
            def step(at: Lin, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
                result: list[SSAValue] = []
                for p, point in enumerate(points):
                    full = self._reduced_at(reduced, at)
                    result += self._update(point, full, running[p * count : (p + 1) * count])
                return result

            whole = size - size % self.tiling.width
            if is_symbolic(size):
                return self.emitter.for_loop(whole, size, 1, accs, step)
            for i in range(whole, size):
                accs = step(Lin.of(i), accs)
            return accs

        flat = self._loops(self._other_dims(), [], [s for mine in inits for s in mine], update)
        return [list(flat[p * count : (p + 1) * count]) for p in range(len(points))]

    def _combine(self, number: int, parts: list[SSAValue], scalar: SSAValue) -> SSAValue:
        """All lanes of all partial results, and a scalar, as one scalar."""
        if not parts:
            return scalar
        emitter = self.emitter
        assert self.stage.combiners is not None
        found = self.stage.combiners[number]
        kind = COMBINING[type(found.op)][0]
        while len(parts) > 1:
            pairs = [
                emitter.like(found.op, parts[i : i + 2], parts[i].type)
                for i in range(0, len(parts) - 1, 2)
            ]
            parts = pairs + (parts[-1:] if len(parts) % 2 else [])
        source = parts[0]
        assert isinstance(source.type, VectorType)
        element_type = source.type.element_type
        flags = found.op.properties.get("fastmath", arith.FastMathFlagsAttr("none"))
        one = emitter.pure(
            ("reduction", kind, flags),
            (source,),
            lambda: vector.ReductionOp.create(
                operands=[source],
                result_types=[element_type],
                properties={
                    "kind": CombiningKindAttr(kind),
                    "fastmath": flags,
                },
            ),
        )
        return emitter.like(found.op, [scalar, one], element_type)

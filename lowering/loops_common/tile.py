"""Emits one register tile of a stage: all of its points at once, accumulators in registers, reductions as
loops around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from math import prod

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IntegerAttr, IntegerType, VectorType
from xdsl.dialects.vector import CombiningKindAttr, CombiningKindFlag
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.lowering.loops_common.coefficients import add_multiple
from webdnn.lowering.loops_common.dot import Dot, add_products, dot_of
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.flatten import FlatStage, Load
from webdnn.lowering.loops_common.linear import Lin
from webdnn.lowering.loops_common.packed import PAIR, padded_loads
from webdnn.lowering.loops_common.stages import Acc, Apply, Node, walk
from webdnn.lowering.loops_common.transposed import SIDE, crossing, transpose
from webdnn.lowering.loops_common.values import PointEvaluator, Scope

COMBINING: dict[type[Operation], tuple[CombiningKindFlag, float | None]] = {
    arith.AddfOp: (CombiningKindFlag.ADD, 0),
    arith.AddiOp: (CombiningKindFlag.ADD, 0),
    arith.MulfOp: (CombiningKindFlag.MUL, 1),
    arith.MuliOp: (CombiningKindFlag.MUL, 1),
    arith.MaximumfOp: (CombiningKindFlag.MAXIMUMF, None),
    arith.MinimumfOp: (CombiningKindFlag.MINIMUMF, None),
    arith.MaxnumfOp: (CombiningKindFlag.MAXNUMF, None),
    arith.MinnumfOp: (CombiningKindFlag.MINNUMF, None),
    arith.MaxSIOp: (CombiningKindFlag.MAXSI, None),
    arith.MinSIOp: (CombiningKindFlag.MINSI, None),
    arith.MaxUIOp: (CombiningKindFlag.MAXUI, None),
    arith.MinUIOp: (CombiningKindFlag.MINUI, None),
    arith.AndIOp: (CombiningKindFlag.AND, None),
    arith.OrIOp: (CombiningKindFlag.OR, None),
    arith.XOrIOp: (CombiningKindFlag.XOR, 0),
}
"""Ops that combine partial results in any order: the kind, and the neutral element (None where combining
the initial value twice does no harm, so that each partial result may start with it)."""


_Update = Callable[[Sequence[Lin], list[SSAValue]], list[SSAValue]]
"""A step of a reduction: the position along the reduced dimensions and the accumulators, to the new
accumulators."""


@dataclass
class Tiling:
    """How a stage is cut.

    Attributes:
        tile: for each dimension, how many of its points one register tile holds; along a reduced
            dimension, how many points are unrolled.
        vector: the dimension whose neighbours are the lanes of vectors, or -1.
        width: the number of lanes.
        order: the parallel dimensions, the outermost loop first.
    """

    tile: list[int]
    vector: int = -1
    width: int = 4
    order: list[int] = field(default_factory=list[int])


@dataclass
class _Chunk:
    """Neighbouring points along the vectorised dimension: `valid` of them from `start` on, in `width`
    lanes."""

    start: int
    width: int
    valid: int


@dataclass
class _Point:
    """A position along the parallel dimensions, and how many neighbours it stands for."""

    at: list[Lin]
    width: int = 1
    valid: int = 1


def _chunks_of(size: int, width: int, *, padded: bool) -> list[_Chunk]:
    """Whole vectors, and for the rest a vector with lanes that nobody needs, or single points."""
    whole, rest = size - size % width, size % width
    chunks = [_Chunk(s, width, width) for s in range(0, whole, width)]
    if padded and rest:
        return [*chunks, _Chunk(whole, width, rest)]
    return chunks + [_Chunk(s, 1, 1) for s in range(whole, size)]


def combiner(update: Node, number: int) -> Apply | None:
    """The op that combines accumulator `number` with a value, where the update is just that."""
    if not isinstance(update, Apply) or type(update.op) not in COMBINING or len(update.args) != 2:
        return None
    accs = [a for a in update.args if isinstance(a, Acc)]
    if len(accs) != 1 or accs[0].number != number:
        return None
    other = update.args[0] if update.args[1] is accs[0] else update.args[1]
    if any(isinstance(n, Acc) for n in walk([other])):
        return None
    return update


def can_split(stage: FlatStage) -> bool:
    """Whether each accumulator may be computed as several partial results."""
    return stage.is_reduction and all(
        combiner(u, i) is not None for i, u in enumerate(stage.updates)
    )


SUM_BLOCK = 512
"""Sums of more terms than this are computed in blocks of at most so many."""


class TileEmitter:
    """Emits tiles of one stage.

    Args:
        emitter: where the ops go; its innermost block is the one that the stage's loops begin in.
        stage: the stage.
        tiling: how it is cut.
        origin: the position of the group's tile along each dimension (zero along dimensions that are not shared).
    """

    def __init__(
        self, emitter: Emitter, stage: FlatStage, tiling: Tiling, origin: Sequence[Lin]
    ) -> None:
        self.emitter = emitter
        self.stage = stage
        self.tiling = tiling
        padded = padded_loads(stage, tiling.vector, tiling.width)
        self.is_padded = padded is not None
        self.scope = Scope(
            emitter,
            origin,
            emitter.depth,
            frozenset(id(s.buffer) for s in stage.stores),
            frozenset(id(load) for load in padded or ()),
        )
        self._is_sum = stage.is_reduction and all(
            (found := combiner(u, i)) is not None and isinstance(found.op, arith.AddfOp)
            for i, u in enumerate(stage.updates)
        )
        self._crossing = crossing(stage, tiling.tile, tiling.vector)
        self._zeros = [Lin()] * (len(stage.sizes) - stage.num_parallel)
        self._dot = dot_of(stage, tiling.vector, tiling.width)

    def _evaluator(
        self, point: _Point, reduced: Sequence[Lin], accumulators: Sequence[SSAValue] = ()
    ) -> PointEvaluator:
        return PointEvaluator(
            self.scope, [*point.at, *reduced], point.width, point.valid, accumulators
        )

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

    def _points(self, base: Sequence[Lin], sizes: Sequence[int]) -> list[_Point]:
        tiling = self.tiling
        points: list[_Point] = []
        for chunks in product(*self._ranges(sizes)):
            point = _Point([base[d] + c.start for d, c in enumerate(chunks)])
            if 0 <= tiling.vector < self.stage.num_parallel:
                chunk = chunks[tiling.vector]
                point.width, point.valid = chunk.width, chunk.valid
                if chunk.width > 1:
                    point.at[tiling.vector] += Lin(lane=1)
            points.append(point)
        return points

    def _store(self, point: _Point, accumulators: Sequence[SSAValue]) -> None:
        evaluator = self._evaluator(point, self._zeros, accumulators)
        for store in self.stage.stores:
            evaluator.write(evaluator.vector(store.value), store.buffer, store.at)

    def _store_all(self, points: list[_Point], sizes: Sequence[int]) -> None:
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

    def _store_square(self, points: list[_Point], loads: Sequence[Load]) -> None:
        """Store points that are neighbours along the dimension that `loads` are contiguous along."""
        evaluators = [self._evaluator(point, self._zeros) for point in points]
        for load in loads:
            rows = evaluators[0].load_lanes(load, SIDE)
            for evaluator, column in zip(evaluators, transpose(self.emitter, rows), strict=True):
                evaluator.know(load, column)
        for evaluator in evaluators:
            for store in self.stage.stores:
                evaluator.write(evaluator.vector(store.value), store.buffer, store.at)

    def _inits(self, point: _Point) -> list[SSAValue]:
        evaluator = self._evaluator(point, self._zeros)
        return [evaluator.vector(node) for node in self.stage.inits]

    # reductions with the lanes along a parallel dimension, or without lanes

    def _reduce(self, points: list[_Point], starts: list[list[SSAValue]]) -> list[list[SSAValue]]:
        count = len(self.stage.updates)
        flat = [v for start in starts for v in start]

        def update(reduced: Sequence[Lin], accs: list[SSAValue]) -> list[SSAValue]:
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
        return [final[i * count : (i + 1) * count] for i in range(len(points))]

    def _dot_loops(
        self,
        dot: Dot,
        points: list[_Point],
        dims: list[int],
        reduced: list[Lin],
        accs: list[SSAValue],
    ) -> list[SSAValue]:
        """Loops over the reduced dimensions `dims`, in the last of which two products are added at a time."""

        def update(at: Lin, accs: list[SSAValue], *, single: bool = False) -> list[SSAValue]:
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
        if whole > 1:
            iv, results = self.emitter.begin_for(accs)
            for i in range(unroll):
                results = update((iv * unroll + i) * step, results)
            accs = self.emitter.end_for(whole, accs, results)
            done = whole * unroll * step
        for i in range(done, size, step):
            accs = update(Lin.of(i), accs, single=i + step > size)
        return accs

    def _loops(
        self,
        dims: list[int],
        reduced: list[Lin],
        accs: list[SSAValue],
        update: _Update,
    ) -> list[SSAValue]:
        """Loops over the reduced dimensions `dims`, unrolled as the tiling says."""
        if not dims:
            return update(reduced, accs)
        d, rest = dims[0], dims[1:]
        size = self.stage.sizes[d]
        unroll = min(self.tiling.tile[d], size)
        whole = size // unroll if unroll else 0
        done = 0
        if whole > 1:
            block = max(SUM_BLOCK // (unroll * prod(self.stage.sizes[r] for r in rest)), 1)
            if (
                self._is_sum
                and whole // block > 1
                and size * prod(self.stage.sizes[r] for r in rest) > SUM_BLOCK
            ):
                accs = self._blocks(whole // block, block, unroll, rest, reduced, accs, update)
                done = whole // block * block * unroll
                whole = whole % block
            if whole > 1:
                accs = self._steps(whole, unroll, Lin.of(done), rest, reduced, accs, update)
                done += whole * unroll
        for i in range(done, size):
            accs = self._loops(rest, [*reduced, Lin.of(i)], accs, update)
        return accs

    def _steps(
        self,
        count: int,
        unroll: int,
        start: Lin,
        rest: list[int],
        reduced: list[Lin],
        accs: list[SSAValue],
        update: _Update,
    ) -> list[SSAValue]:
        """A loop of `count` steps of `unroll` points each, from `start` on along the next reduced dimension."""
        iv, results = self.emitter.begin_for(accs)
        for i in range(unroll):
            at = iv * unroll + start + i
            results = self._loops(rest, [*reduced, at], results, update)
        return self.emitter.end_for(count, accs, results)

    def _blocks(
        self,
        count: int,
        block: int,
        unroll: int,
        rest: list[int],
        reduced: list[Lin],
        accs: list[SSAValue],
        update: _Update,
    ) -> list[SSAValue]:
        """A long sum as the sum of `count` sums: errors grow with the length of a block and the number of blocks, not
        with their product (Higham, "The Accuracy of Floating Point Summation", 1993)."""
        emitter = self.emitter
        found = [combiner(u, i) for i, u in enumerate(self.stage.updates)]
        iv, totals = emitter.begin_for(accs)
        zeros = [self._zero(total.type) for total in totals]
        start = iv * (block * unroll)
        if block > 1:
            parts = self._steps(block, unroll, start, rest, reduced, zeros, update)
        else:
            parts = zeros
            for i in range(unroll):
                parts = self._loops(rest, [*reduced, start + i], parts, update)
        sums: list[SSAValue] = []
        for i, (total, part) in enumerate(zip(totals, parts, strict=True)):
            apply = found[i % len(found)]
            assert apply is not None
            sums.append(emitter.like(apply.op, [total, part], total.type))
        return emitter.end_for(count, accs, sums)

    def _zero(self, type: Attribute) -> SSAValue:
        """Zero as a float or a vector of floats."""
        if isinstance(type, VectorType):
            (width,) = type.get_shape()
            return self.emitter.broadcast(self._zero(type.element_type), width)
        assert isinstance(type, AnyFloat)
        return self.emitter.constant(FloatAttr(0.0, type))

    def _update(
        self, point: _Point, reduced: Sequence[Lin], accumulators: Sequence[SSAValue]
    ) -> list[SSAValue]:
        evaluator = self._evaluator(point, reduced, accumulators)
        return [self._fused(evaluator, node) for node in self.stage.updates]

    def _fused(self, evaluator: PointEvaluator, node: Node) -> SSAValue:
        """An update; a product that is added to the accumulator becomes one op."""
        if (
            evaluator.width > 1
            and isinstance(node, Apply)
            and isinstance(node.op, arith.AddfOp)
            and isinstance(node.type, AnyFloat)
        ):
            for acc, term in (node.args, node.args[::-1]):
                if (
                    isinstance(acc, Acc)
                    and isinstance(term, Apply)
                    and isinstance(term.op, arith.MulfOp)
                ):
                    if (folded := add_multiple(evaluator, node, term, acc)) is not None:
                        return folded
                    a, b = (evaluator.vector(f) for f in term.args)
                    return evaluator.fma(a, b, evaluator.vector(acc))
        return evaluator.vector(node)

    # reductions with the lanes along a reduced dimension

    def _reduce_across_lanes(self, points: list[_Point]) -> list[list[SSAValue]]:
        """Partial results in the lanes of vectors (several vectors where the dimension is unrolled),
        combined at the end."""
        width, size = self.tiling.width, self.stage.sizes[self.tiling.vector]
        count = len(self.stage.updates)
        scalars = [self._inits(point) for point in points]
        parts: list[list[list[SSAValue]]] = [[] for _ in points]
        if size >= width:
            parts = self._vector_parts(points, scalars)
        if size % width:
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
        self, points: list[_Point], inits: list[list[SSAValue]]
    ) -> list[list[list[SSAValue]]]:
        """For each point, some partial results of each accumulator: vectors over all whole vectors of the
        dimension."""
        emitter, width = self.emitter, self.tiling.width
        size = self.stage.sizes[self.tiling.vector]
        count = len(self.stage.updates)
        unroll = max(1, min(self.tiling.tile[self.tiling.vector], size) // width)
        whole = size // (unroll * width)
        wide = [_Point(p.at, width, width) for p in points]
        starts = [
            self._partial(i, inits[p][i])
            for p in range(len(points))
            for _ in range(unroll)
            for i in range(count)
        ]

        def update(reduced: Sequence[Lin], accs: list[SSAValue]) -> list[SSAValue]:
            def step(at: Lin, values: list[SSAValue], part: int) -> None:
                for p, point in enumerate(wide):
                    first = (p * unroll + part) * count
                    full = self._reduced_at(reduced, at + Lin(lane=1))
                    values[first : first + count] = self._update(
                        point, full, values[first : first + count]
                    )

            done = 0
            if whole > 1:
                iv, inner = emitter.begin_for(accs)
                for part in range(unroll):
                    step(iv * (unroll * width) + part * width, inner, part)
                accs = emitter.end_for(whole, accs, inner)
                done = whole * unroll * width
            accs = list(accs)
            for part, at in enumerate(range(done, size - width + 1, width)):
                step(Lin.of(at), accs, part % unroll)
            return accs

        flat = self._loops(self._other_dims(), [], starts, update)
        return [
            [flat[(p * unroll + u) * count :][:count] for u in range(unroll)]
            for p in range(len(points))
        ]

    def _partial(self, number: int, init: SSAValue) -> SSAValue:
        """What a partial result starts with."""
        found = combiner(self.stage.updates[number], number)
        assert found is not None
        neutral = COMBINING[type(found.op)][1]
        start = init if neutral is None else self.emitter.constant(_constant(neutral, found.type))
        return self.emitter.broadcast(start, self.tiling.width)

    def _scalar_rest(
        self, points: list[_Point], inits: list[list[SSAValue]]
    ) -> list[list[SSAValue]]:
        """The accumulators after the points behind the last whole vector of the dimension."""
        size = self.stage.sizes[self.tiling.vector]
        count = len(self.stage.updates)

        def update(reduced: Sequence[Lin], accs: list[SSAValue]) -> list[SSAValue]:
            for i in range(size - size % self.tiling.width, size):
                result: list[SSAValue] = []
                for p, point in enumerate(points):
                    full = self._reduced_at(reduced, Lin.of(i))
                    result += self._update(point, full, accs[p * count : (p + 1) * count])
                accs = result
            return accs

        flat = self._loops(self._other_dims(), [], [s for mine in inits for s in mine], update)
        return [flat[p * count : (p + 1) * count] for p in range(len(points))]

    def _combine(self, number: int, parts: list[SSAValue], scalar: SSAValue) -> SSAValue:
        """All lanes of all partial results, and a scalar, as one scalar."""
        if not parts:
            return scalar
        emitter = self.emitter
        found = combiner(self.stage.updates[number], number)
        assert found is not None
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


def _constant(value: float, type: Attribute) -> IntegerAttr | FloatAttr:
    if isinstance(type, IntegerType):
        return IntegerAttr(int(value), type)
    assert isinstance(type, AnyFloat)
    return FloatAttr(value, type)

"""Emits one register tile of a stage: all of its points at once, accumulators in registers, reductions as loops around them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product

from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import AnyFloat, FloatAttr, IntegerAttr, IntegerType, VectorType
from xdsl.dialects.vector import CombiningKindAttr, CombiningKindFlag
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.flatten import FlatStage
from webdnn.lowering.loops_common.linear import Lin
from webdnn.lowering.loops_common.stages import Acc, Apply, Node, walk
from webdnn.lowering.loops_common.values import PointEvaluator

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
"""Ops that combine partial results in any order: the kind, and the neutral element (None where combining the initial value
twice does no harm, so that each partial result may start with it)."""


_Update = Callable[[Sequence[Lin], list[SSAValue]], list[SSAValue]]
"""A step of a reduction: the position along the reduced dimensions and the accumulators, to the new accumulators."""


@dataclass
class Tiling:
    """How a stage is cut.

    Attributes:
        tile: for each dimension, how many of its points one register tile holds; along a reduced dimension, how many points are
            unrolled.
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
    """Neighbouring points along the vectorised dimension: `width` of them from `start` on."""

    start: int
    width: int


def chunks_of(size: int, width: int) -> list[_Chunk]:
    """Vectors of `width`, and single points for the rest."""
    whole = size - size % width
    return [_Chunk(s, width) for s in range(0, whole, width)] + [
        _Chunk(s, 1) for s in range(whole, size)
    ]


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


class TileEmitter:
    """Emits tiles of one stage.

    Args:
        emitter: where the ops go.
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
        self.origin = origin

    def _evaluator(
        self, point: Sequence[Lin], width: int, accumulators: Sequence[SSAValue] = ()
    ) -> PointEvaluator:
        return PointEvaluator(self.emitter, point, width, self.origin, accumulators)

    def emit(self, base: Sequence[Lin], sizes: Sequence[int]) -> None:
        """Emit the tile at `base`.

        Args:
            base: the first point along each parallel dimension.
            sizes: the number of points along each parallel dimension.
        """
        stage, tiling = self.stage, self.tiling
        parallel = range(stage.num_parallel)
        ranges: list[list[_Chunk]] = [
            chunks_of(sizes[d], tiling.width)
            if d == tiling.vector
            else [_Chunk(i, 1) for i in range(sizes[d])]
            for d in parallel
        ]
        points: list[tuple[list[Lin], int]] = []
        for chunks in product(*ranges):
            point = [base[d] + c.start for d, c in enumerate(chunks)]
            width = 1
            if 0 <= tiling.vector < stage.num_parallel:
                width = chunks[tiling.vector].width
                if width > 1:
                    point[tiling.vector] += Lin(lane=1)
            points.append((point, width))
        zeros = [Lin()] * (len(stage.sizes) - stage.num_parallel)
        if not stage.is_reduction:
            for point, width in points:
                self._store(point + zeros, width, [])
            return
        if tiling.vector >= stage.num_parallel:
            finals = self._reduce_across_lanes([p for p, _ in points])
        else:
            starts = [self._inits(point + zeros, width) for point, width in points]
            finals = self._reduce(points, starts)
        for (point, width), final in zip(points, finals, strict=True):
            self._store(point + zeros, width, final)

    def _store(self, point: Sequence[Lin], width: int, accumulators: Sequence[SSAValue]) -> None:
        evaluator = self._evaluator(point, width, accumulators)
        for store in self.stage.stores:
            evaluator.write(evaluator.vector(store.value), store.buffer, store.at)

    def _inits(self, point: Sequence[Lin], width: int) -> list[SSAValue]:
        evaluator = self._evaluator(point, width)
        return [evaluator.vector(node) for node in self.stage.inits]

    # reductions with the lanes along a parallel dimension, or without lanes

    def _reduce(
        self, points: list[tuple[list[Lin], int]], starts: list[list[SSAValue]]
    ) -> list[list[SSAValue]]:
        count = len(self.stage.updates)
        flat = [v for start in starts for v in start]

        def update(reduced: Sequence[Lin], accs: list[SSAValue]) -> list[SSAValue]:
            result: list[SSAValue] = []
            for i, (point, width) in enumerate(points):
                mine = accs[i * count : (i + 1) * count]
                result += self._update([*point, *reduced], width, mine)
            return result

        dims = list(range(self.stage.num_parallel, len(self.stage.sizes)))
        final = self._loops(dims, [], flat, update)
        return [final[i * count : (i + 1) * count] for i in range(len(points))]

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
        if whole > 1:
            iv, inner = self.emitter.begin_for(accs)
            results = inner
            for i in range(unroll):
                results = self._loops(rest, [*reduced, iv * unroll + i], results, update)
            accs = self.emitter.end_for(whole, accs, results)
            done = whole * unroll
        else:
            done = 0
        for i in range(done, size):
            accs = self._loops(rest, [*reduced, Lin.of(i)], accs, update)
        return accs

    def _update(
        self, point: Sequence[Lin], width: int, accumulators: Sequence[SSAValue]
    ) -> list[SSAValue]:
        evaluator = self._evaluator(point, width, accumulators)
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
                    a, b = (evaluator.vector(f) for f in term.args)
                    return evaluator.fma(a, b, evaluator.vector(acc))
        return evaluator.vector(node)

    # reductions with the lanes along a reduced dimension

    def _reduce_across_lanes(self, points: list[list[Lin]]) -> list[list[SSAValue]]:
        """Partial results in the lanes of vectors (several vectors where the dimension is unrolled), combined at the end."""
        stage, tiling, emitter = self.stage, self.tiling, self.emitter
        v, width = tiling.vector, tiling.width
        size = stage.sizes[v]
        count = len(stage.updates)
        dims = [d for d in range(stage.num_parallel, len(stage.sizes)) if d != v]
        unroll = max(1, min(tiling.tile[v], size) // width)
        whole = size // (unroll * width)
        zeros = [Lin()] * (len(stage.sizes) - stage.num_parallel)
        scalars = [self._inits(point + zeros, 1) for point in points]
        per_point = unroll * count

        def place(reduced: Sequence[Lin], at: Lin) -> list[Lin]:
            result = list(reduced)
            result.insert(v - stage.num_parallel, at)
            return result

        def partial(number: int, init: SSAValue) -> SSAValue:
            found = combiner(stage.updates[number], number)
            assert found is not None
            neutral = COMBINING[type(found.op)][1]
            start = init if neutral is None else emitter.constant(_constant(neutral, found.type))
            return emitter.broadcast(start, width)

        vectors = [partial(i, scalars[p][i]) for p in range(len(points)) for _ in range(unroll) for i in range(count)]

        def update_vectors(reduced: Sequence[Lin], accs: list[SSAValue]) -> list[SSAValue]:
            """The innermost loop: over whole vectors."""

            def step(at: Lin, values: list[SSAValue], part: int) -> None:
                for p, point in enumerate(points):
                    first = p * per_point + part * count
                    full = [*point, *place(reduced, at + Lin(lane=1))]
                    values[first : first + count] = self._update(
                        full, width, values[first : first + count]
                    )

            if whole > 1:
                iv, inner = emitter.begin_for(accs)
                for part in range(unroll):
                    step(iv * (unroll * width) + part * width, inner, part)
                accs = emitter.end_for(whole, accs, inner)
            done = whole * unroll * width if whole > 1 else 0
            accs = list(accs)
            part = 0
            while done + width <= size:
                step(Lin.of(done), accs, part % unroll)
                done += width
                part += 1
            return accs

        if size >= width:
            vectors = self._loops(dims, [], vectors, update_vectors)
        rest = size % width
        flat = [s for start in scalars for s in start]
        if rest:

            def update_scalars(reduced: Sequence[Lin], accs: list[SSAValue]) -> list[SSAValue]:
                for i in range(size - rest, size):
                    result: list[SSAValue] = []
                    for p, point in enumerate(points):
                        full = [*point, *place(reduced, Lin.of(i))]
                        mine = accs[p * count : (p + 1) * count]
                        result += self._update(full, 1, mine)
                    accs = result
                return accs

            flat = self._loops(dims, [], flat, update_scalars)
        finals: list[list[SSAValue]] = []
        for p in range(len(points)):
            final: list[SSAValue] = []
            for i in range(count):
                scalar = flat[p * count + i]
                if size >= width:
                    parts = [vectors[p * per_point + part * count + i] for part in range(unroll)]
                    scalar = self._combine(i, parts, scalar)
                final.append(scalar)
            finals.append(final)
        return finals

    def _combine(self, number: int, parts: list[SSAValue], scalar: SSAValue) -> SSAValue:
        """All lanes of all partial results, and a scalar, as one scalar."""
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
        one = emitter.pure(
            ("reduction", kind),
            (source,),
            lambda: vector.ReductionOp.create(
                operands=[source],
                result_types=[element_type],
                properties={
                    "kind": CombiningKindAttr(kind),
                    "fastmath": arith.FastMathFlagsAttr("none"),
                },
            ),
        )
        return emitter.like(found.op, [scalar, one], element_type)


def _constant(value: float, type: Attribute) -> IntegerAttr | FloatAttr:
    if isinstance(type, IntegerType):
        return IntegerAttr(int(value), type)
    assert isinstance(type, AnyFloat)
    return FloatAttr(value, type)

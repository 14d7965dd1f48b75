"""Emits the loops of a reduction around the points of a register tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from xdsl.dialects import arith
from xdsl.dialects.builtin import AnyFloat, IntegerType
from xdsl.ir import SSAValue

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.substitution import likely
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.evaluate import Scope
from webdnn.lowering.loops_common.expression import Accumulator, Apply, Node
from webdnn.lowering.loops_common.linear import Dim, Lin
from webdnn.lowering.loops_cpu.coefficients import add_multiple
from webdnn.lowering.loops_cpu.dot import dot_of
from webdnn.lowering.loops_cpu.evaluate import CPUVectors, PointEvaluator
from webdnn.lowering.loops_cpu.flatten import FlatStage
from webdnn.lowering.loops_cpu.packed import padded_loads
from webdnn.lowering.loops_cpu.tiling import Tiling
from webdnn.lowering.loops_cpu.transposed import crossing

_Update = Callable[[Sequence[Lin], Sequence[SSAValue]], Sequence[SSAValue]]
"""A step of a reduction: the position along the reduced dimensions and the accumulators, to the new
accumulators."""


SUM_BLOCK = 512
"""Sums of more terms than this are computed in blocks of at most so many."""


@dataclass
class Point:
    """A position along the parallel dimensions, and how many neighbours it stands for."""

    at: list[Lin]
    width: int = 1
    valid: int = 1


class ReductionEmitter:
    """Emits the loops over the reduced dimensions of a stage, for points whose accumulators are in registers.

    Args:
        emitter: where the ops go; its innermost block is the one that the stage's loops begin in.
        stage: the stage.
        tiling: how it is cut.
        origin: the position of the group's tile along each shared dimension.
    """

    def __init__(
        self, emitter: Emitter, stage: FlatStage, tiling: Tiling, origin: Mapping[Dim, Lin]
    ) -> None:
        self.emitter = emitter
        self.stage = stage
        self.tiling = tiling
        padded = padded_loads(stage, tiling.vector, tiling.width)
        self.is_padded = padded is not None
        self.scope = Scope(
            origin,
            emitter.current_depth,
            frozenset(id(s.buffer) for s in stage.stores),
            frozenset(id(load) for load in padded or ()),
        )
        self._is_sum = stage.can_split and all(
            isinstance(n.op, arith.AddfOp) for n in stage.combiners or ()
        )
        self._crossing = crossing(stage, tiling.tile, tiling.vector)
        self._zeros = [Lin()] * (len(stage.sizes) - stage.num_parallel)
        self._dot = dot_of(stage, tiling.vector, tiling.width)

    def _evaluator(
        self, point: Point, reduced: Sequence[Lin], accumulators: Sequence[SSAValue] = ()
    ) -> PointEvaluator:
        stage = self.stage
        return PointEvaluator(
            self.emitter,
            CPUVectors(),
            dict(zip(stage.dims, [*point.at, *reduced], strict=True)),
            stage.dims[self.tiling.vector] if point.width > 1 else None,
            point.width,
            valid=point.valid,
            accumulators=dict(zip(stage.accumulators, accumulators, strict=False)),
            scope=self.scope,
        )

    def _inits(self, point: Point) -> list[SSAValue]:
        evaluator = self._evaluator(point, self._zeros)
        return [evaluator.vector(node) for node in self.stage.inits]

    def _loops(
        self,
        dims: list[int],
        reduced: list[Lin],
        accs: Sequence[SSAValue],
        update: _Update,
    ) -> Sequence[SSAValue]:
        """Loops over the reduced dimensions `dims`, unrolled as the tiling says."""
        if not dims:
            return update(reduced, accs)
        d, rest = dims[0], dims[1:]
        size = self.stage.sizes[d]
        if any(is_symbolic(self.stage.sizes[each]) for each in dims):
            return self._loops_to_symbol(dims, reduced, accs, update)
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

    def _loops_to_symbol(
        self,
        dims: list[int],
        reduced: list[Lin],
        accs: Sequence[SSAValue],
        update: _Update,
    ) -> Sequence[SSAValue]:
        """`_loops` where a size depends on symbols: unrolled steps, then one point after the other."""
        d, rest = dims[0], dims[1:]
        size, others = self.stage.sizes[d], prod(self.stage.sizes[r] for r in rest)
        unroll = max(1, self.tiling.tile[d])
        whole = size // unroll
        done = 0
        if self._is_sum and at_most(size * others) > SUM_BLOCK:
            block = max(SUM_BLOCK // (unroll * max(1, likely(others))), 1)
            blocks = whole // block
            accs = self._blocks(blocks, block, unroll, rest, reduced, accs, update)
            done = blocks * block
        start = Lin.of(done * unroll)
        accs = self._steps(whole - done, unroll, start, rest, reduced, accs, update)

        def single(at: Lin, results: Sequence[SSAValue]) -> Sequence[SSAValue]:
            return self._loops(rest, [*reduced, at], results, update)

        return self.emitter.for_loop(whole * unroll, size, 1, accs, single)

    def _steps(
        self,
        count: int,
        unroll: int,
        start: Lin,
        rest: list[int],
        reduced: list[Lin],
        accs: Sequence[SSAValue],
        update: _Update,
    ) -> Sequence[SSAValue]:
        """A loop of `count` steps of `unroll` points each, from `start` on along the next reduced dimension."""

        def body(step: Lin, results: Sequence[SSAValue]) -> Sequence[SSAValue]:
            for i in range(unroll):
                at = step * unroll + start + i
                results = self._loops(rest, [*reduced, at], results, update)
            return results

        return self.emitter.for_loop(0, count, 1, accs, body)

    def _blocks(
        self,
        count: int,
        block: int,
        unroll: int,
        rest: list[int],
        reduced: list[Lin],
        accs: Sequence[SSAValue],
        update: _Update,
    ) -> Sequence[SSAValue]:
        """A long sum as the sum of `count` sums: errors grow with the length of a block and the number of blocks, not
        with their product (Higham, "The Accuracy of Floating Point Summation", 1993)."""
        emitter = self.emitter
        found = self.stage.combiners
        assert found is not None

        def body(number: Lin, totals: Sequence[SSAValue]) -> Sequence[SSAValue]:
            zeros = [self.emitter.number(0, total.type) for total in totals]
            start = number * (block * unroll)
            parts = self._steps(block, unroll, start, rest, reduced, zeros, update)
            sums: list[SSAValue] = []
            for i, (total, part) in enumerate(zip(totals, parts, strict=True)):
                op = found[i % len(found)].op
                sums.append(emitter.like(op, [total, part], total.type))
            return sums

        return emitter.for_loop(0, count, 1, accs, body)

    def _update(
        self, point: Point, reduced: Sequence[Lin], accumulators: Sequence[SSAValue]
    ) -> list[SSAValue]:
        evaluator = self._evaluator(point, reduced, accumulators)
        return [self._fused(evaluator, node) for node in self.stage.updates]

    def _fused(self, evaluator: PointEvaluator, node: Node) -> SSAValue:
        """An update; a product that is added to the accumulator becomes one op."""
        if (
            evaluator.width > 1
            and isinstance(node, Apply)
            and isinstance(node.op, arith.AddfOp | arith.AddiOp)
            and isinstance(node.type, AnyFloat | IntegerType)
        ):
            for acc, term in (node.operands, node.operands[::-1]):
                if (
                    isinstance(acc, Accumulator)
                    and isinstance(term, Apply)
                    and isinstance(term.op, arith.MulfOp | arith.MuliOp)
                ):
                    if (folded := add_multiple(evaluator, node, term, acc)) is not None:
                        return folded
                    if isinstance(node.type, IntegerType):
                        break
                    a, b = (evaluator.vector(f) for f in term.operands)
                    return evaluator.fma(a, b, evaluator.vector(acc))
        return evaluator.vector(node)

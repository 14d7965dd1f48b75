"""Strategy `pointwise`: an invocation computes one element of the output, or `vector` adjacent ones.

Reductions in the expression (the window of a pool or of a depthwise convolution, a short sum) are
loops of the invocation.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod

from xdsl.ir import SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.questions import divides
from webdnn.lowering.loops_common.expression import Reduction, reductions
from webdnn.lowering.loops_common.linear import Dim, Lin, volume
from webdnn.lowering.loops_gpu.evaluate import (
    InvocationEvaluator,
    can_vectorize,
    is_vector_access,
    is_word,
    memory,
)
from webdnn.lowering.loops_gpu.kernel_builder import KernelBuilder, ceil_div
from webdnn.lowering.loops_gpu.read_kernel import Output
from webdnn.lowering.loops_gpu.strategy import Pointwise


def lower_pointwise(func: FuncOp, outputs: Sequence[Output], strategy: Pointwise) -> FuncOp:
    """The kernel with one invocation for every element (or vector of elements) of its outputs."""
    workgroup = strategy.workgroup
    builder = KernelBuilder(func, outputs, [workgroup])
    groups: dict[tuple[Dim, ...], list[Output]] = {}
    for output in outputs:
        groups.setdefault(output.dims, []).append(output)
    bodies = [_Body(builder, group, strategy, func.sym_name.data) for group in groups.values()]
    most = maximum(*(body.count for body in bodies))
    blocks = ceil_div(most, workgroup)
    if blocks == 0:
        builder.empty_grid()
        return builder.finish()
    (block,) = builder.grid_of(blocks)
    position = Lin.of(builder.emitter.value(block * workgroup + builder.thread(0)))
    reach = blocks * workgroup if builder.grid_is_exact else most + 1
    for body in bodies:
        if body.count != 0:
            condition = builder.guard(position, body.count, reach)
            builder.when(condition, partial(body.emit_at, position))
    return builder.finish()


def vectorizes(group: Sequence[Output], width: int = 4) -> bool:
    """Whether the outputs, which have the same dims, can be vectors along the innermost dim."""
    dims = group[0].dims
    return (
        bool(dims)
        and all(is_vector_access(o, dims[-1], width) for o in group)
        and can_vectorize([o.value for o in group], dims[-1], width)
    )


_UNROLLED = 32
"""How many points of a window are written out; what is larger has loops around."""


class _Body:
    """What an invocation does for outputs that have the same dims."""

    def __init__(
        self, builder: KernelBuilder, group: Sequence[Output], strategy: Pointwise, kernel: str
    ) -> None:
        self.builder = builder
        self.group = group
        self.dims = group[0].dims
        vector = strategy.vector
        self.width = vector if vector > 1 and vectorizes(group, vector) else 1
        self.sizes = [dim.size for dim in self.dims]
        if self.width > 1:
            self.sizes[-1] //= self.width
        self.tile = strategy.tile
        self.tiled = tile_axis(self.dims, self.width)
        if self.tile > 1:
            if self.tiled is None or not divides(self.tile, self.sizes[self.tiled]):
                raise WebDNNError(
                    f"impossible schedule: {self.tile} does not divide the tiled dim", where=kernel
                )
            self.sizes[self.tiled] //= self.tile
        self.count = prod(self.sizes)
        """The number of invocations that have something to do."""

    def emit_at(self, position: Lin) -> None:
        """The outputs of the invocation with this number."""
        emit = self.builder.emitter
        indices = emit.delinearize(position, self.sizes)
        lane = None
        if self.width > 1:
            lane = self.dims[-1]
            indices[-1] = indices[-1] * self.width
        evaluator = InvocationEvaluator(
            emit,
            dict(zip(self.dims, indices, strict=True)),
            lane,
            self.width,
        )
        if self.tile == 1 or self.tiled is None:
            self.store(evaluator)
            return
        dim = self.dims[self.tiled]
        points = [indices[self.tiled] * self.tile + t for t in range(self.tile)]
        for reduction in windows(self.group, dim):
            self.reduce_together(evaluator, reduction, dim, points)
        for point in points:
            evaluator.bind([dim], [point])
            self.store(evaluator)

    def reduce_together(
        self, evaluator: InvocationEvaluator, reduction: Reduction, dim: Dim, points: Sequence[Lin]
    ) -> None:
        """A reduction at several places of `dim`, one step at a time for all of them."""
        emit = self.builder.emitter
        width = self.width if evaluator.lane in reduction.free else 1
        running: list[SSAValue] = []
        for point in points:
            evaluator.bind([dim], [point])
            running += [emit.splat(evaluator.packed(n), width) for n in reduction.inits]
        count = len(reduction.inits)

        def step(values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            result: list[SSAValue] = []
            for i, point in enumerate(points):
                evaluator.bind([dim], [point])
                result += evaluator.accumulate(reduction, values[i * count : (i + 1) * count])
            return result

        def nest(dims: Sequence[Dim], values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            if not dims:
                return step(values)

            def body(at: Lin, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
                with evaluator.forget():
                    evaluator.bind(dims[:1], [at])
                    return nest(dims[1:], values)

            if is_symbolic(count := volume(dims)) or count > _UNROLLED:
                return emit.for_loop(0, dims[0].size, 1, values, body)
            for i in range(dims[0].size):
                values = body(Lin.of(i), values)
            return values

        results = nest(reduction.dims, running)
        for i, point in enumerate(points):
            evaluator.bind([dim], [point])
            evaluator.define(reduction, results[i * count : (i + 1) * count], width)

    def store(self, evaluator: InvocationEvaluator) -> None:
        """Each output where the evaluator stands."""
        emit = self.builder.emitter
        values = [emit.splat(evaluator.packed(o.value), self.width) for o in self.group]
        for output, value in zip(self.group, values, strict=True):
            emit.store(value, memory(output), evaluator.uniform(output.at))


def tile_axis(dims: Sequence[Dim], width: int) -> int | None:
    """The number of the dim along which an invocation computes several points."""
    axis = len(dims) - (2 if width > 1 else 1)
    return axis if axis >= 0 else None


def windows(group: Sequence[Output], dim: Dim) -> list[Reduction]:
    """The reductions that differ along `dim` and are no part of another one."""
    found = reductions([o.value for o in group])
    inner = frozenset(d for reduction in found for d in reduction.dims)
    return [
        r
        for r in found
        if dim in r.free and not r.free & inner and all(is_word(n.type) for n in r.inits)
    ]

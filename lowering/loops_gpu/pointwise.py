"""Strategy `pointwise`: an invocation computes one element of the output, or `vector` adjacent ones.

Reductions in the expression (the window of a pool or of a depthwise convolution, a short sum) are
loops of the invocation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.loops_gpu.evaluate import Evaluator, can_vectorize, is_contiguous, is_word
from webdnn.lowering.loops_gpu.expression import Output
from webdnn.lowering.loops_gpu.kernel_builder import KernelBuilder, ceil_div
from webdnn.lowering.loops_gpu.linear import Dim, Lin, volume
from webdnn.lowering.loops_gpu.strategy import Pointwise


def lower_pointwise(func: FuncOp, outputs: Sequence[Output], strategy: Pointwise) -> FuncOp:
    """The kernel with one invocation for every element (or vector of elements) of its outputs."""
    workgroup, vector = strategy.workgroup, strategy.vector
    builder = KernelBuilder(func, [workgroup])
    groups: dict[tuple[Dim, ...], list[Output]] = {}
    for output in outputs:
        groups.setdefault(output.dims, []).append(output)
    widths = {
        dims: vector if vector > 1 and vectorizes(group, builder.sizes, vector) else 1
        for dims, group in groups.items()
    }
    counts = [volume(dims) // widths[dims] for dims in groups]
    blocks = ceil_div(max(counts), workgroup)
    if blocks == 0:
        builder.empty_grid()
        return builder.finish()
    (block,) = builder.grid_of(blocks)
    position = Lin.of(builder.emitter.value(block * workgroup + builder.thread(0)))
    reach = blocks * workgroup if builder.grid_is_exact else max(counts) + 1
    for (dims, group), count in zip(groups.items(), counts, strict=True):
        if count:
            condition = builder.guard(position, count, reach)
            builder.when(condition, _body(builder, group, dims, position, widths[dims]))
    return builder.finish()


def vectorizes(group: Sequence[Output], sizes: Sequence[int], width: int = 4) -> bool:
    """Whether the outputs, which have the same dims, can be vectors along the innermost dim."""
    dims = group[0].dims
    return (
        bool(dims)
        and all(is_vector_store(o, dims[-1], sizes, width) for o in group)
        and can_vectorize([o.value for o in group], dims[-1], sizes, width)
    )


def is_vector_store(output: Output, lane: Dim, sizes: Sequence[int], width: int = 4) -> bool:
    """Whether `width` elements of an output along a dim may be stored as one vector."""
    return (
        is_word(output.value.type)
        and sizes[output.buffer] % width == 0
        and is_contiguous(output.offset, lane, width)
    )


def _body(
    builder: KernelBuilder, group: Sequence[Output], dims: Sequence[Dim], position: Lin, width: int
) -> Callable[[], None]:
    def body() -> None:
        emit = builder.emitter
        lane = dims[-1] if width > 1 else None
        sizes = [dim.size for dim in dims]
        if lane is not None:
            sizes[-1] //= width
        indices = emit.delinearize(position, sizes)
        if lane is not None:
            indices[-1] = indices[-1] * width
        evaluator = Evaluator(
            emit, builder.operands, dict(zip(dims, indices, strict=True)), lane, width
        )
        values = [emit.splat(evaluator.packed(o.value), width) for o in group]
        for output, value in zip(group, values, strict=True):
            emit.store(value, builder.operands[output.buffer], evaluator.form(output.offset))

    return body

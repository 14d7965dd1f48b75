"""Strategy `rows`: the invocations of a workgroup share the reductions of one or several rows.

A row is a point of the dims that the reductions keep. Its invocations each reduce a part, and the parts
are combined in workgroup memory. Then they compute, side by side, the output elements of the row: all of a
softmax or a normalisation is one kernel that reads its rows from memory (or cache) once for each pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from xdsl.dialects.builtin import VectorType
from xdsl.ir import SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.expression import maximum
from webdnn.dialects.sizes.questions import divides
from webdnn.lowering.loops_common.expression import Reduction, reductions
from webdnn.lowering.loops_common.linear import Dim, Lin, volume
from webdnn.lowering.loops_gpu.combine import CombineOp, combining_ops, needs_init, start_value
from webdnn.lowering.loops_gpu.emitter import GPUEmitter
from webdnn.lowering.loops_gpu.evaluate import (
    InvocationEvaluator,
    can_vectorize,
    is_vector_access,
    memory,
)
from webdnn.lowering.loops_gpu.kernel_builder import KernelBuilder, ceil_div
from webdnn.lowering.loops_gpu.pointwise import vectorizes
from webdnn.lowering.loops_gpu.read_kernel import Output
from webdnn.lowering.loops_gpu.strategy import Rows

_Body = Callable[[Lin, Sequence[SSAValue]], Sequence[SSAValue]]


@dataclass
class RowKernel:
    """What a kernel must be for this strategy.

    Attributes:
        kept: the dims of the rows, in the outputs' order.
        reduced: the reductions of a row, each after those that it reads, with the ops that combine their parts.
    """

    kept: tuple[Dim, ...]
    reduced: list[tuple[Reduction, list[CombineOp]]]

    @property
    def extent(self) -> int:
        """The number of elements of the longest reduction."""
        return maximum(*(volume(reduction.dims) for reduction, _ in self.reduced))


def as_row_kernel(outputs: Sequence[Output]) -> RowKernel | None:
    """The rows of a kernel, or None if it has no reductions that the invocations of a workgroup can share."""
    found: list[tuple[Reduction, list[CombineOp]]] = []
    kept: set[Dim] = set()
    inner: set[Dim] = set()
    everything = reductions([o.value for o in outputs])
    for reduction in everything:
        inner |= set(reduction.dims)
    for reduction in everything:
        if reduction.free & inner:
            continue  # part of another reduction's elements
        ops = combining_ops(reduction)
        if ops is None:
            return None
        found.append((reduction, ops))
        kept |= reduction.free
    if not found or any(not kept <= set(o.dims) for o in outputs):
        return None
    return RowKernel(tuple(d for d in outputs[0].dims if d in kept), found)


def vectorizes_kept(kernel: RowKernel, outputs: Sequence[Output]) -> bool:
    """Whether four adjacent rows can be computed as vectors."""
    if not kernel.kept:
        return False
    lane = kernel.kept[-1]
    return can_vectorize([o.value for o in outputs], lane) and all(
        is_vector_access(o, lane) for o in outputs
    )


def lower_rows(func: FuncOp, outputs: Sequence[Output], strategy: Rows) -> FuncOp:
    """The kernel with `strategy.threads` invocations for each row and `strategy.rows` rows for each workgroup.

    Raises:
        WebDNNError: the kernel has no rows.
    """
    kernel = as_row_kernel(outputs)
    if kernel is None:
        raise WebDNNError(
            "the strategy 'rows' needs reductions that can be cut into parts",
            where=func.sym_name.data,
            hint="strategy 'pointwise' fits every kernel",
        )
    return _Lowering(func, outputs, kernel, strategy).run()


class _Lowering:
    def __init__(
        self, func: FuncOp, outputs: Sequence[Output], kernel: RowKernel, strategy: Rows
    ) -> None:
        self.outputs = outputs
        self.kernel = kernel
        self.threads = strategy.threads
        self.rows = strategy.rows
        # Neighbouring invocations should read neighbouring elements.
        self.kept_inside = strategy.along == "kept"
        shape = [self.rows, self.threads] if self.kept_inside else [self.threads, self.rows]
        self.builder = KernelBuilder(func, outputs, shape)
        self.emit: GPUEmitter = self.builder.emitter
        vector = strategy.vector > 1
        kept_vectors = vector and self.kept_inside
        self.row_width = 4 if kept_vectors and vectorizes_kept(kernel, outputs) else 1
        self.vector_reduced = vector and not self.kept_inside
        self.memory: dict[object, SSAValue] = {}

    def run(self) -> FuncOp:
        builder, emit, kept = self.builder, self.emit, self.kernel.kept
        if all(volume(o.dims) == 0 for o in self.outputs):
            builder.empty_grid()
            return builder.finish()
        count = volume(kept) // self.row_width
        blocks = ceil_div(count, self.rows)
        (block,) = builder.grid_of(blocks)
        row_axis, thread_axis = (0, 1) if self.kept_inside else (1, 0)
        self.row, self.thread = builder.thread(row_axis), builder.thread(thread_axis)
        position = block * self.rows + self.row
        in_range: SSAValue | None = None
        if not divides(self.rows, count) or not builder.grid_is_exact:
            # All invocations must come to the barriers, so those without a row compute the last one again.
            in_range = emit.below(position, count)
            position = emit.clamp(position, count - 1)
        sizes = [dim.size for dim in kept]
        lane = kept[-1] if self.row_width > 1 else None
        if lane is not None:
            sizes[-1] //= self.row_width
        indices = emit.delinearize(position, sizes)
        if lane is not None:
            indices[-1] = indices[-1] * self.row_width
        self.evaluator = InvocationEvaluator(
            emit, dict(zip(kept, indices, strict=True)), lane, self.row_width
        )
        for reduction, ops in self.kernel.reduced:
            self.reduce(reduction, ops)
        builder.when(in_range, self.store_outputs)
        return builder.finish()

    # Reductions

    def reduce(self, reduction: Reduction, ops: Sequence[CombineOp]) -> None:
        """Compute a reduction together and give its results to the evaluator."""
        evaluator, emit, lane = self.evaluator, self.emit, self.evaluator.lane
        row_width = self.row_width if lane is not None and lane in reduction.free else 1
        inner = reduction.dims[-1] if reduction.dims else None
        starts = [start_value(op, n) for op, n in zip(ops, reduction.inits, strict=True)]
        if inner is not None and self.vector_reduced and can_vectorize(reduction.updates, inner):
            with evaluator.vectors(inner, 4):
                begin = [emit.splat(evaluator.scalar(n), 4) for n in starts]
                parts = self.part(reduction, begin, 4)
            values = [self.across_lanes(op, v) for op, v in zip(ops, parts, strict=True)]
        else:
            begin = [emit.splat(evaluator.packed(n), row_width) for n in starts]
            values = self.part(reduction, begin, 1)
        if self.threads > 1:
            values = self.across_threads(ops, values)
        results: list[SSAValue] = []
        for op, value, init in zip(ops, values, reduction.inits, strict=True):
            if needs_init(op, init):
                start = emit.splat(evaluator.packed(init), row_width)
                value = emit.binary(op, value, start)
            results.append(value)
        evaluator.define(reduction, results, row_width)

    def part(
        self, reduction: Reduction, begin: Sequence[SSAValue], width: int
    ) -> Sequence[SSAValue]:
        """The part of a reduction that this invocation does."""
        dims, evaluator = reduction.dims, self.evaluator
        sizes = [dim.size for dim in dims]
        if width > 1:
            sizes[-1] //= width

        def body(position: Lin, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
            with evaluator.forget():
                indices = self.emit.delinearize(position, sizes)
                if width > 1:
                    indices[-1] = indices[-1] * width
                evaluator.bind(dims, indices)
                return evaluator.accumulate(reduction, running)

        return self.share(volume(dims) // width, begin, body)

    def share(self, count: int, begin: Sequence[SSAValue], body: _Body) -> Sequence[SSAValue]:
        """A loop over `count` steps of which the invocations of a row take every `threads`-th."""
        if divides(self.threads, count):
            return self.emit.for_loop(
                0,
                count // self.threads,
                1,
                begin,
                lambda step, running: body(step * self.threads + self.thread, running),
            )
        return self.emit.for_loop(self.thread, count, self.threads, begin, body)

    def across_lanes(self, op: CombineOp, value: SSAValue) -> SSAValue:
        """The lanes of a vector combined."""
        a, b, c, d = (self.emit.lane(value, i) for i in range(4))
        return self.emit.binary(op, self.emit.binary(op, a, b), self.emit.binary(op, c, d))

    def across_threads(
        self, ops: Sequence[CombineOp], values: Sequence[SSAValue]
    ) -> list[SSAValue]:
        """The values of the invocations of a row combined, by a tree in workgroup memory."""
        emit = self.emit
        slots = [
            _Slot(self.memory_for(i, v), op, _width(v))
            for i, (v, op) in enumerate(zip(values, ops, strict=True))
        ]
        for slot, value in zip(slots, values, strict=True):
            emit.store(value, slot.memory, self.place(self.thread, slot.width))
        emit.barrier()
        half = self.threads // 2
        while half:
            emit.when(emit.less(self.thread, half), partial(self.combine_halves, slots, half))
            emit.barrier()
            half //= 2
        results = [
            emit.load(s.memory, self.place(Lin(), s.width), s.width, depth=None) for s in slots
        ]
        if len(self.kernel.reduced) > 1:
            emit.barrier()  # the next reduction writes to the same memory
        return results

    def combine_halves(self, slots: Sequence[_Slot], half: int) -> None:
        """One step of the tree: the first `half` invocations take the values of the next `half`."""
        emit = self.emit
        for slot in slots:
            mine = self.place(self.thread, slot.width)
            other = self.place(self.thread + half, slot.width)
            value = emit.binary(
                slot.op,
                emit.load(slot.memory, mine, slot.width, depth=None),
                emit.load(slot.memory, other, slot.width, depth=None),
            )
            emit.store(value, slot.memory, mine)

    def place(self, thread: Lin, width: int) -> Lin:
        """Where an invocation of this row keeps its partial result."""
        if self.kept_inside:
            return (thread * self.rows + self.row) * width
        return (self.row * self.threads + thread) * width

    def memory_for(self, number: int, value: SSAValue) -> SSAValue:
        """Workgroup memory for a value of each invocation; all reductions use the same."""
        key = number, value.type
        if key not in self.memory:
            element = value.type.element_type if isinstance(value.type, VectorType) else value.type
            count = self.threads * self.rows * _width(value)
            self.memory[key] = self.emit.workgroup_memory(element, count)
        return self.memory[key]

    # Outputs

    def store_outputs(self) -> None:
        """The elements of the outputs in this row."""
        groups: dict[tuple[Dim, ...], list[Output]] = {}
        for output in self.outputs:
            groups.setdefault(output.dims, []).append(output)
        for dims, group in groups.items():
            inner = [dim for dim in dims if dim not in self.kernel.kept]
            if not inner:
                first = self.emit.less(self.thread, 1) if self.threads > 1 else None
                self.builder.when(first, partial(self.store, group))
                continue
            along_row = self.row_width == 1 and inner[-1] is dims[-1] and vectorizes(group)
            if along_row:
                with self.evaluator.vectors(inner[-1], 4):
                    self.store_row(group, inner, 4)
            else:
                self.store_row(group, inner, 1)

    def store_row(self, group: Sequence[Output], inner: Sequence[Dim], width: int) -> None:
        """All elements of a row, shared by its invocations."""
        sizes = [dim.size for dim in inner]
        sizes[-1] //= width

        def body(position: Lin, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
            indices = self.emit.delinearize(position, sizes)
            indices[-1] = indices[-1] * width
            with self.evaluator.forget():
                self.evaluator.bind(inner, indices)
                self.store(group)
            return running

        self.share(volume(inner) // width, (), body)

    def store(self, group: Sequence[Output]) -> None:
        """One element (or vector) of each output, where the evaluator stands."""
        evaluator, emit = self.evaluator, self.emit
        values = [emit.splat(evaluator.packed(o.value), evaluator.width) for o in group]
        for output, value in zip(group, values, strict=True):
            emit.store(value, memory(output), evaluator.uniform(output.at))


@dataclass
class _Slot:
    """Workgroup memory for the partial results of one accumulator."""

    memory: SSAValue
    op: CombineOp
    width: int


def _width(value: SSAValue) -> int:
    return value.type.get_shape()[0] if isinstance(value.type, VectorType) else 1

"""The frame of a lowered kernel: memref operands, the grid, the ids of an invocation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from xdsl.dialects import gpu
from xdsl.ir import SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import LENGTHS, FuncOp
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import SizesAttr, shape_of
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.lowering.loops_common.expression import Load, walk
from webdnn.lowering.loops_common.function import begin_function, end_function
from webdnn.lowering.loops_common.linear import Lin, span
from webdnn.lowering.loops_gpu.emitter import GPUEmitter
from webdnn.lowering.loops_gpu.read_kernel import Output

MAX_GROUPS = WebGPULimits.workgroups
"""WebGPU's `maxComputeWorkgroupsPerDimension`."""

MAX_INVOCATIONS = WebGPULimits.invocations
"""WebGPU's `maxComputeInvocationsPerWorkgroup`."""

MAX_WORKGROUP_BYTES = WebGPULimits.workgroup_storage
"""WebGPU's `maxComputeWorkgroupStorageSize`."""


def ceil_div(a: int, b: int) -> int:
    """`a / b`, rounded up."""
    return (a + b - 1) // b


class KernelBuilder:
    """Builds the lowered form of one kernel.

    Attributes:
        emitter: emits into the kernel's body.
        workgroup: the invocations of a workgroup along x, y and z.
    """

    def __init__(self, func: FuncOp, outputs: Sequence[Output], workgroup: Sequence[int]) -> None:
        self._func = func
        self._grid: tuple[int, int, int] | None = None
        x, y, z = (*workgroup, 1, 1)[:3]
        self.workgroup = (x, y, z)
        loads = [n for n in walk([o.value for o in outputs]) if isinstance(n, Load)]
        self.emitter = GPUEmitter(begin_function(func, [*loads, *outputs]), func.symbols)

    def finish(self) -> FuncOp:
        """The lowered kernel."""
        self._check_limits()
        assert self._grid is not None
        lowered = end_function(
            self._func,
            self.emitter.block,
            self._func.schedule,
            grid=self._grid,
            workgroup=self.workgroup,
        )
        if self._func.symbols:
            lowered.attributes[LENGTHS] = SizesAttr(self._lengths())
        return lowered

    def _lengths(self) -> tuple[int, ...]:
        type, strides_of = self._func.function_type, self._func.strides_of
        tensors = (*type.inputs, *type.outputs)
        return tuple(span(shape_of(t), strides_of(i)) for i, t in enumerate(tensors))

    def _check_limits(self) -> None:
        invocations = prod(self.workgroup)
        memory = self.emitter.workgroup_bytes
        if invocations > MAX_INVOCATIONS:
            what = f"a workgroup of {invocations} invocations; WebGPU allows {MAX_INVOCATIONS}"
        elif memory > MAX_WORKGROUP_BYTES:
            what = f"{memory} bytes of workgroup memory; WebGPU allows {MAX_WORKGROUP_BYTES}"
        else:
            return
        raise WebDNNError(
            f"the schedule asks for {what}", where=self._func.sym_name.data, hint="smaller tiles"
        )

    def thread(self, axis: int) -> Lin:
        """The id of this invocation in its workgroup along one axis."""
        if self.workgroup[axis] == 1:
            return Lin()
        thread = self.emitter.identifier(gpu.ThreadIdOp, axis)
        self.emitter.limit(thread, self.workgroup[axis] - 1)
        return Lin.of(thread)

    def block(self, axis: int) -> Lin:
        """The id of this workgroup along one axis of the grid."""
        assert self._grid is not None
        if self._grid[axis] == 1:
            return Lin()
        block = self.emitter.identifier(gpu.BlockIdOp, axis)
        self.emitter.limit(block, self._grid[axis] - 1)
        return Lin.of(block)

    def empty_grid(self) -> None:
        """Say that there is nothing to run."""
        self._grid = (0, 1, 1)

    def grid_of(self, *counts: int) -> list[Lin]:
        """Launch a workgroup for each point of an iteration space; the last count is the innermost.

        Returns:
            where this workgroup stands in each dimension. The grid holds exactly these points, so no guard is needed
            where the counts fit the dimensions of a grid; else the outermost index may reach beyond its count: see
            `grid_is_exact`. Counts with symbols are taken to fit: `wgsl-fold-grid` folds what may not.
        """
        inner_first = list(reversed(counts))
        while len(inner_first) < 3:
            inner_first.append(1)
        may_be_folded = any(map(is_symbolic, counts))
        if len(counts) <= 3 and (may_be_folded or all(n <= MAX_GROUPS for n in inner_first)):
            self._grid = (inner_first[0], inner_first[1], inner_first[2])
            self.grid_is_exact = True
            return [self.block(axis) for axis in reversed(range(len(counts)))]
        total = 1
        for n in counts:
            total *= n
        rows = ceil_div(total, MAX_GROUPS)
        columns = ceil_div(total, rows)
        self._grid = (columns, rows, 1)
        self.grid_is_exact = rows * columns == total
        flat = self.block(1) * columns + self.block(0)
        return self.emitter.delinearize(flat, counts)

    grid_is_exact = True
    """Whether every workgroup of the grid has a point of its own."""

    def guard(self, form: Lin, bound: int, reach: int) -> SSAValue | None:
        """`form < bound`, or None where `reach`, which the form never reaches, shows that it always is."""
        is_inside = is_known(reach, lambda n: n <= bound)
        return None if is_inside else self.emitter.less(form, bound)

    def when(self, condition: SSAValue | None, body: Callable[[], None]) -> None:
        """The body, under a condition if there is one."""
        self.emitter.when(condition, body)

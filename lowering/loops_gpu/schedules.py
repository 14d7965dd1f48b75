"""`assign-gpu-schedules`: a heuristic writes how each kernel is cut into workgroups and invocations.

The schedule is an attribute that a person or a tuner can edit before the lowering obeys it. A kernel
that has one keeps it. The heuristic asks what is best at the likely sizes; the lowering sees to it that any schedule is
right at any size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import divides
from webdnn.dialects.sizes.substitution import likely
from webdnn.lowering.loops_common.expression import Load, walk
from webdnn.lowering.loops_common.linear import Dim, volume
from webdnn.lowering.loops_gpu.contraction import Product, as_product
from webdnn.lowering.loops_gpu.evaluate import can_vectorize
from webdnn.lowering.loops_gpu.kernel_builder import (
    MAX_INVOCATIONS,
    MAX_WORKGROUP_BYTES,
    ceil_div,
)
from webdnn.lowering.loops_gpu.pointwise import tile_axis, vectorizes, windows
from webdnn.lowering.loops_gpu.read_kernel import Output, read_kernel
from webdnn.lowering.loops_gpu.rows import RowKernel, as_row_kernel, vectorizes_kept
from webdnn.lowering.loops_gpu.strategy import (
    Contraction,
    Pointwise,
    Rows,
    Strategy,
    to_attribute,
)

_INVOCATIONS = 64
"""A workgroup of two warps of 32, or of one wavefront of 64."""

_ENOUGH_GROUPS = 64
"""With fewer workgroups than this a GPU of today has multiprocessors without work."""

_ENOUGH_INVOCATIONS = 16384
"""Below this number of invocations a reduction is worth cutting further."""

_UNROLLED_STEPS = 6
"""Steps of a convolution to write out: more makes shaders long, and registers rare."""

_NEAR = 4
"""The distance in elements up to which neighbouring invocations still read from the same piece of memory."""

_TILE_BYTES = 8192
"""Half of WebGPU's workgroup memory, so that a multiprocessor can hold several workgroups."""


@dataclass(frozen=True)
class AssignGPUSchedulesPass(ModulePass):
    """Gives each kernel of level `kernels` that has no schedule one.

    Attributes:
        memory: where contractions read their tiles from: `workgroup`, which suits GPUs, or `none`, which
            suits adapters that run shaders on a CPU.
    """

    name = "assign-gpu-schedules"

    memory: str = "workgroup"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in op.walk():
            if isinstance(func, FuncOp) and not func.is_lowered and func.schedule is None:
                func.schedule = to_attribute(schedule_for(read_kernel(func), self.memory))


def schedule_for(outputs: Sequence[Output], memory: str = "workgroup") -> Strategy:
    """The schedule that the heuristic gives a kernel whose outputs `read_kernel` gave."""
    product = as_product(outputs)
    if product is not None and _volume(product.m) >= 4 and _volume(product.k) >= 8:
        return _contraction(product, memory)
    rows = as_row_kernel(outputs)
    if rows is not None and _volume(rows.kept) > 0:
        # A statistic that many elements share must not be computed anew for each of them.
        shared = any(len(o.dims) > len(rows.kept) for o in outputs)
        if shared or likely(rows.extent) >= 32:
            return _rows(rows, outputs)
    return Pointwise(tile=_tile_of_windows(outputs))


def _tile_of_windows(outputs: Sequence[Output]) -> int:
    """How many windows side by side an invocation should walk: they share elements, and a depthwise filter."""
    dims = outputs[0].dims
    if any(o.dims != dims for o in outputs) or _volume(dims) == 0 or not vectorizes(outputs):
        return 1
    axis = tile_axis(dims, 4)
    if axis is None:
        return 1
    extents = [_volume(r.dims) for r in windows(outputs, dims[axis])]
    if not extents or max(extents) > 64 or min(extents) < 4:
        return 1
    invocations = _volume(dims) // 4
    return next(
        t
        for t in (4, 2, 1)
        if t == 1 or (divides(t, dims[axis].size) and invocations // t >= _ENOUGH_INVOCATIONS // 2)
    )


def _volume(dims: Iterable[Dim]) -> int:
    """The likely number of points of an iteration space."""
    return likely(volume(dims))


def _power_of_two(at_most: int) -> int:
    """The greatest power of two that is not greater, at least 1."""
    return 1 << max(at_most.bit_length() - 1, 0)


def _contraction(product: Product, memory: str) -> Contraction:
    batch, m, n = _volume(product.batch), _volume(product.m), _volume(product.n)

    def groups(block_m: int, block_n: int) -> int:
        return batch * ceil_div(m, block_m) * ceil_div(n, block_n)

    columns = min(_power_of_two(ceil_div(n, 4) * 2 - 1), 8)
    rows = _INVOCATIONS // columns
    if columns <= 2:
        memory = "none"  # hardly any invocation would read what another one has staged
    tile_m, tile_n, split = 4, 4, 1
    if columns == 8 and groups(rows * 8, columns * 8) >= 4 * _ENOUGH_GROUPS:
        tile_m = tile_n = 8  # half of the traffic of 4 by 4, where the workgroups are still enough
    while rows > 4 and rows * tile_m >= 2 * m:
        rows //= 2
    while groups(rows * tile_m, columns * tile_n) * split < _ENOUGH_GROUPS:
        if memory == "workgroup" and split < 4 and _volume(product.k) >= 256 * split:
            split *= 2
        elif tile_m > split:
            tile_m //= 2
        else:
            break
    if memory == "none":
        unroll = _unroll_of_windows(product, tile_m)
        return Contraction((rows, columns), (tile_m, tile_n), memory=memory, unroll=unroll)
    block = _block_of_k(product, rows * tile_m, columns * tile_n, split)
    return Contraction((rows, columns), (tile_m, tile_n), block, memory, split)


def _unroll_of_windows(product: Product, rows: int) -> int:
    """How many steps to write out so that what overlapping windows of a tile's rows share is loaded once."""
    along = product.m[-1]
    if not divides(rows, along.size):
        return 1
    steps = [1]  # of one place of each dim of k, the innermost first
    for i, dim in enumerate(reversed(product.k)):
        width = 4 if i == 0 and divides(4, dim.size) else 1
        steps.append(steps[-1] * likely(dim.size) // width)
    for node in walk([product.a]):
        for form in [inner for outer in node.forms() for inner in outer.forms()]:
            stride = form.coefficient(along)
            for i, dim in enumerate(reversed(product.k)):
                coefficient = form.coefficient(dim)
                if coefficient == 0 or not divides(coefficient, stride):
                    continue
                places = stride // coefficient
                if is_symbolic(places):
                    continue
                distance = places * steps[i] if i else ceil_div(places, 4)
                if 0 < places < likely(dim.size) and 2 * distance <= _UNROLLED_STEPS:
                    return _UNROLLED_STEPS
    return 1


def _block_of_k(product: Product, rows: int, columns: int, split: int) -> int:
    """How much of k to stage: what divides it, so that nothing needs a guard, and leaves room for other workgroups."""
    inner, whole = product.k[-1].size, volume(product.k)
    steps = likely(whole)
    limit = _TILE_BYTES if split == 1 else MAX_WORKGROUP_BYTES
    fitting = [k for k in (32, 16, 8, 4) if (rows + columns) * k * 4 * split <= limit]
    for size in (inner, whole):
        for k in fitting:
            if k >= 8 and divides(k * split, size):
                return k
    # Else what is read beyond the end, and the barriers of each block (as much as 4 steps), should be few.
    return min(fitting, key=lambda k: ceil_div(steps, k * split) * (k + 4))


def _rows(kernel: RowKernel, outputs: Sequence[Output]) -> Rows:
    count, extent = _volume(kernel.kept), likely(kernel.extent)
    if _walks_kept(kernel):
        vector = vectorizes_kept(kernel, outputs)
        places = count // 4 if vector else count
        # Vectors of two rows are 32 bytes, what a GPU fetches at the least.
        rows = _power_of_two(min(places, 16))
        while rows > (2 if vector else 8) and places // rows < 32:
            rows //= 2
        threads = _power_of_two(
            max(1, min(MAX_INVOCATIONS // rows, ceil_div(_ENOUGH_INVOCATIONS, places), extent // 4))
        )
        if rows * threads < _INVOCATIONS:
            rows = _power_of_two(min(_INVOCATIONS // threads, places))
        return Rows(threads, rows, "kept", 4 if vector else 1)
    vector = all(can_vectorize(r.updates, r.dims[-1]) for r, _ in kernel.reduced if r.dims)
    steps = extent // 4 if vector else extent
    limit = MAX_INVOCATIONS if count < _ENOUGH_GROUPS else _INVOCATIONS
    # Eight invocations side by side read vectors from one piece of memory; more only where rows are few.
    wanted = max(8, 4 * _ENOUGH_INVOCATIONS // count)
    threads = _power_of_two(max(1, min(limit, wanted, steps // 2)))
    rows = _power_of_two(max(1, min(_INVOCATIONS // threads, count)))
    return Rows(threads, rows, "reduced", 4 if vector else 1)


def _walks_kept(kernel: RowKernel) -> bool:
    """Whether the loads of the reductions lie side by side along the rows rather than along what is reduced."""
    if not kernel.kept:
        return False
    score = 0
    for reduction, _ in kernel.reduced:
        for node in walk(reduction.updates):
            if isinstance(node, Load) and reduction.dims and reduction.dims[-1] in node.dims:
                size = _volume(node.dims)  # what is small comes from the cache anyway
                if 0 < likely(node.at.coefficient(kernel.kept[-1])) <= _NEAR:
                    score += size
                elif node.at.coefficient(reduction.dims[-1]) == 1:
                    score -= size
    return score > 0

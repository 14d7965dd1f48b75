"""`wgsl-fold-grid`: grids with more workgroups in a dimension than WebGPU dispatches, in more dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects import gpu, scf
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.locations import location_names
from webdnn.dialects.sizes.expression import bounds, is_symbolic, maximum, minimum
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.webgpu_limits import WebGPULimits
from webdnn.lowering.target_wgsl.size_values import SizeValues
from webdnn.lowering.target_wgsl.values import Emitter, Value

_AXES = "xyz"


@dataclass(frozen=True)
class WGSLFoldGridPass(ModulePass):
    """Numbers all workgroups of a grid that is too long, and takes the old ids apart again.

    Args:
        most: how many workgroups a dimension may have.

    Where the new grid has more workgroups than the old one, those beyond its end do nothing; whole
    workgroups do so, hence barriers stay in uniform control flow.
    """

    name = "wgsl-fold-grid"
    most: int = WebGPULimits.workgroups

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if isinstance(kernel, FuncOp) and kernel.grid is not None:
                grid = kernel.grid_sizes
                if max(map(at_most, grid)) > self.most:
                    fold_grid(kernel, grid, self.most)


def folded(count: int, most: int) -> tuple[int, int, int]:
    """A grid of at least `count` workgroups, and few more, with at most `most` in each dimension. A count with symbols
    is below 2^31 in every run, since there is no memory for more; so it needs no third dimension."""
    if at_most(count) <= most:
        return count, 1, 1
    rows = (count + most - 1) // most
    if is_symbolic(count):
        rows = minimum(rows, most)
    if at_most(rows) <= most:
        return _share(count, rows, most), rows, 1
    layers = (rows + most - 1) // most
    rows = _share(rows, layers, most)
    return _share(count, rows * layers, most), rows, layers


def _share(count: int, parts: int, most: int) -> int:
    """How many come to each part. They are never more than `most`, which the bounds of a quotient do not show."""
    parts = maximum(parts, 1)
    return minimum((count + parts - 1) // parts, most)


def fold_grid(kernel: FuncOp, grid: tuple[int, ...], most: int) -> None:
    """Fold the grid of one kernel."""
    count = prod(grid)
    if bounds(count)[0] >= 2**31:
        raise WebDNNError(
            f"the kernel {kernel.sym_name.data} needs {count} workgroups, more than can be numbered",
            where=tuple(location_names(kernel.location)),
        )
    x, y, z = folded(count, most)
    kernel.set_grid((x, y, z))
    old = kernel.body.block
    first = old.first_op
    assert first is not None
    emitter = Emitter(old, first)
    sizes = SizeValues(kernel, emitter)

    def block_id(axis: str) -> Value:
        dimension = gpu.DimensionAttr(gpu.DimensionEnum(axis))
        return emitter.value(emitter.add(gpu.BlockIdOp(dimension)))

    existing = [op for op in kernel.body.walk() if isinstance(op, gpu.BlockIdOp)]

    def length(axis: str, size: int) -> Value | int:
        if not is_symbolic(size):
            return size
        return emitter.value(emitter.add(gpu.GridDimOp(gpu.DimensionAttr(gpu.DimensionEnum(axis)))))

    columns = length("x", x)
    number = block_id("x") + block_id("y") * columns
    if z != 1:
        number = number + block_id("z") * (columns * length("y", y))
    number.ssa.name_hint = "workgroup"
    ids = _split(number, grid, sizes)
    inside = None
    if x * y * z != count:
        inside = number < (sizes.of(count) if is_symbolic(count) else count)
    for op in existing:
        op.result.replace_all_uses_with(ids[_AXES.index(str(op.dimension.data))])
        op.detach()
        op.erase()
    if inside is not None:
        _guard(old, inside)


def _split(number: Value, grid: tuple[int, ...], sizes: SizeValues) -> list[SSAValue]:
    """The ids in the old grid of a workgroup's number; dimensions of size 1 cost nothing."""
    ids: list[SSAValue] = []
    rest = number
    for axis, size in enumerate(grid):
        is_last = prod(grid[axis + 1 :]) == 1
        if size == 1:
            ids.append(number.constant(0).ssa)
        elif is_last:
            ids.append(rest.ssa)
        else:
            length = sizes.of(size) if is_symbolic(size) else size
            ids.append((rest % length).ssa)
            rest = rest // length
    return ids


def _guard(block: Block, inside: Value) -> None:
    """Put all that follows the comparison into a branch."""
    guarded = Block()
    comparison = inside.ssa.owner
    last = block.last_op
    assert last is not None and not isinstance(comparison, Block)
    op = comparison.next_op
    while op is not None and op is not last:
        following = op.next_op
        op.detach()
        guarded.add_op(op)
        op = following
    guarded.add_op(scf.YieldOp())
    block.insert_op_before(scf.IfOp(inside.ssa, [], Region(guarded)), last)

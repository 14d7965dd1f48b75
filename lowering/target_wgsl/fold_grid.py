"""`wgsl-fold-grid`: grids with more workgroups in a dimension than WebGPU dispatches, in more dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from xdsl.context import Context
from xdsl.dialects import gpu, scf
from xdsl.dialects.builtin import ArrayAttr, IntegerAttr, ModuleOp, i64
from xdsl.ir import Block, Region, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.locations import location_names
from webdnn.dialects.webgpu_limits import WebGPULimits
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
                if max(grid) > self.most:
                    fold_grid(kernel, grid, self.most)


def folded(count: int, most: int) -> tuple[int, int, int]:
    """A grid of at least `count` workgroups, and few more, with at most `most` in each dimension."""
    if count <= most:
        return count, 1, 1
    rows = -(-count // most)
    if rows <= most:
        return -(-count // rows), rows, 1
    layers = -(-rows // most)
    rows = -(-rows // layers)
    return -(-count // (rows * layers)), rows, layers


def fold_grid(kernel: FuncOp, grid: tuple[int, ...], most: int) -> None:
    """Fold the grid of one kernel."""
    count = prod(grid)
    if count >= 2**31:
        raise WebDNNError(
            f"the kernel {kernel.sym_name.data} needs {count} workgroups, more than can be numbered",
            where=tuple(location_names(kernel.location)),
        )
    x, y, z = folded(count, most)
    kernel.grid = ArrayAttr([IntegerAttr(n, i64) for n in (x, y, z)])
    old = kernel.body.block
    first = old.first_op
    assert first is not None
    emitter = Emitter(old, first)

    def block_id(axis: str) -> Value:
        dimension = gpu.DimensionAttr(gpu.DimensionEnum(axis))
        return emitter.value(emitter.add(gpu.BlockIdOp(dimension)))

    existing = [op for op in kernel.body.walk() if isinstance(op, gpu.BlockIdOp)]
    number = block_id("x") + block_id("y") * x
    if z > 1:
        number = number + block_id("z") * (x * y)
    number.ssa.name_hint = "workgroup"
    ids = _split(number, grid)
    inside = number < count if x * y * z > count else None
    for op in existing:
        op.result.replace_all_uses_with(ids[_AXES.index(str(op.dimension.data))])
        op.detach()
        op.erase()
    if inside is not None:
        _guard(old, inside)


def _split(number: Value, grid: tuple[int, ...]) -> list[SSAValue]:
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
            ids.append((rest % size).ssa)
            rest = rest // size
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

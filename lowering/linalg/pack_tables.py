"""`pack-tables`: small weights share an operand where a kernel has more operands than a WebGPU shader may bind.

A resize along five axes reads ten tables, and by default a shader has eight storage buffers. Tables of one element type
are laid one behind another, by ops of `@weights`, and are read at computed places.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects import tensor
from xdsl.dialects.builtin import AffineMapAttr, ModuleOp, TensorType
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Attribute, SSAValue
from xdsl.ir.affine import AffineExpr
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.plan import storage_of
from webdnn.dialects.sizes.types import element_of, shape_of, size_of
from webdnn.lowering.linalg.inline_producers import emit_index
from webdnn.lowering.linalg.structure import input_maps, is_pointwise, output_maps
from webdnn.lowering.target import memory_of
from webdnn.lowering.weights_function import (
    WeightsFunction,
    drop_unused_weights,
    entry_function,
)


@dataclass(frozen=True)
class PackTables(ModulePass):
    """See the module's docstring. `max_operands` is of operands and results together; by default that of the target."""

    name = "pack-tables"

    target: str = "webgpu"
    max_operands: int | None = None

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        memory = memory_of(self.target)
        if self.max_operands is not None:
            memory = replace(memory, max_operands=self.max_operands)
        weights = WeightsFunction(op)
        changed = False
        for region in list(entry_function(op).body.block.ops):
            if not isinstance(region, kernel.RegionOp):
                continue
            for group in self._groups(region):
                if not memory.fits_one_kernel([*region.ins, *region.outs]):
                    region = _pack(region, group, weights)
                    changed = True
        if changed:
            drop_unused_weights(op)

    @staticmethod
    def _groups(region: kernel.RegionOp) -> list[list[SSAValue]]:
        """Weights that can share an operand (as arguments of the region's block), small ones first."""
        groups: dict[Attribute, list[SSAValue]] = {}
        for argument, value in zip(region.body.block.args, region.ins, strict=True):
            if isinstance(storage_of(value).owner, plan.WeightOp) and _is_table(argument):
                groups.setdefault(element_of(value), []).append(argument)
        found = [group for group in groups.values() if len(group) > 1]
        return sorted(found, key=lambda group: sum(map(size_of, group)))


def _is_table(argument: SSAValue) -> bool:
    """Whether only pointwise generics, and reads at computed places, use an argument of a region."""
    return all(
        isinstance(use.operation, tensor.ExtractOp)
        or (is_pointwise(use.operation) and use.index < len(use.operation.inputs))
        for use in argument.uses
    )


def _pack(
    region: kernel.RegionOp, group: list[SSAValue], weights: WeightsFunction
) -> kernel.RegionOp:
    """The region with a new, last argument in the place of those that `group` names."""
    block = region.body.block
    indices = [block.args.index(argument) for argument in group]  # pyright: ignore[reportArgumentType]
    shared = _joined([region.ins[i] for i in indices], weights, region)
    packed = block.insert_arg(shared.type, len(block.args))
    start = 0
    for argument in group:
        for use in list(argument.uses):
            if isinstance(use.operation, tensor.ExtractOp):
                _move_read(use.operation, packed, start)
        # a generic is replaced at its first use, and may have more
        while (use := argument.first_use) is not None:
            assert isinstance(use.operation, linalg.GenericOp)
            _read_at_places(use.operation, use.index, packed, start)
        start += size_of(argument)
    kept = [v for i, v in enumerate(region.ins) if i not in indices]
    for index in sorted(indices, reverse=True):
        block.erase_arg(block.args[index])
    new = kernel.RegionOp(
        [*kept, shared], [r.type for r in region.outs], region.detach_region(region.body)
    )
    new.location = region.location
    new.attributes = region.attributes.copy()
    for old, result in zip(region.outs, new.outs, strict=True):
        result.name_hint = old.name_hint
    Rewriter.replace_op(region, new)
    return new


def _joined(values: list[SSAValue], weights: WeightsFunction, user: kernel.RegionOp) -> SSAValue:
    """A handle, before `user`, to weights laid one behind another."""
    flat: list[SSAValue] = []
    for value in values:
        handle = storage_of(value).owner
        assert isinstance(handle, plan.WeightOp)
        op = dm.ReshapeOp(weights.results[handle.index.value.data], [size_of(value)])
        weights.insert(op)
        flat.append(op.res)
    whole = dm.ConcatOp(flat, 0)
    weights.insert(whole)
    (index,) = weights.add_results([whole.res])
    handle = plan.WeightOp(index, TensorType(element_of(values[0]), shape_of(whole.res)))
    handle.location = user.location
    Rewriter.insert_op(handle, InsertPoint.before(user))
    return handle.res


def _strides(shape: tuple[int, ...]) -> list[int]:
    strides = [1] * len(shape)
    for i in reversed(range(len(shape) - 1)):
        strides[i] = strides[i + 1] * shape[i + 1]
    return strides


def _place(exprs: list[AffineExpr], shape: tuple[int, ...], start: int) -> AffineExpr:
    """Where, in the tensor that is shared, an element of a tensor of `shape` lies."""
    place = AffineExpr.constant(start)
    for expr, stride in zip(exprs, _strides(shape), strict=True):
        place = place + expr * stride
    return place


def _move_read(op: tensor.ExtractOp, packed: SSAValue, start: int) -> None:
    dims = [AffineExpr.dimension(i) for i in range(len(op.indices))]
    b = Builder(InsertPoint.before(op))
    place = emit_index(b, _place(dims, shape_of(op.tensor), start), op.indices)
    read = b.insert(tensor.ExtractOp(packed, [place], op.result.type))
    op.result.replace_all_uses_with(read.result)
    Rewriter.erase_op(op)


def _read_at_places(op: linalg.GenericOp, number: int, packed: SSAValue, start: int) -> None:
    """A generic whose input `number` is read by its body."""
    maps = input_maps(op)
    body = op.detach_region(op.body)
    block = body.block
    first = block.first_op
    assert first is not None
    b = Builder(InsertPoint.before(first))
    place = emit_index(b, _place(list(maps[number].results), shape_of(op.inputs[number]), start))
    element = block.args[number]
    read = b.insert(tensor.ExtractOp(packed, [place], element.type))
    element.replace_all_uses_with(read.result)
    block.erase_arg(element)
    del maps[number]
    new = linalg.GenericOp(
        [v for i, v in enumerate(op.inputs) if i != number],
        op.outputs,
        body,
        [AffineMapAttr(m) for m in (*maps, *output_maps(op))],
        op.iterator_types,
        [r.type for r in op.res],
    )
    Rewriter.replace_op(op, new)

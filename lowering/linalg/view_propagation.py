"""Move `plan.view`s below the pointwise regions that read them: a view then parts no kernel from its epilogue."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.builder import Builder
from xdsl.dialects import tensor
from xdsl.dialects.builtin import AffineMapAttr
from xdsl.dialects.linalg import ops as linalg
from xdsl.dialects.linalg.attrs import IteratorTypeAttr
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineMap
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects import kernel, plan
from webdnn.dialects.sizes.types import element_of, shape_of, tensor_type
from webdnn.lowering.linalg.structure import (
    input_maps,
    is_identity,
    pointwise_root,
    reads_elements,
)
from webdnn.lowering.shapes import Group, reassociation
from webdnn.lowering.uses import only_user


def sink_views(block: Block) -> None:
    """`pointwise(view(x), others)` becomes `view(pointwise(x, view(others)))` where a region makes `x` for it alone."""
    for op in list(block.ops):
        if not isinstance(op, kernel.RegionOp):
            continue
        root = pointwise_root(op)
        if root is None or reads_elements(root):
            continue
        for operand in op.ins:
            view = operand.owner
            if not isinstance(view, plan.ViewOp) or not isinstance(
                view.source.owner, kernel.RegionOp
            ):
                continue
            if (
                only_user(view.res) is op
                and only_user(view.source) is view
                and _sink(view, op, root)
            ):
                break


def _operand_exprs(
    map_results: Sequence[AffineExpr], groups: Sequence[Group], other: Sequence[int]
) -> tuple[list[AffineExpr], list[int]] | None:
    """Index expressions and shape of an operand in the other space; None if a group is read in part."""
    dims = [e.position if isinstance(e, AffineDimExpr) else None for e in map_results]
    if any(not isinstance(e, AffineDimExpr | AffineConstantExpr) for e in map_results):
        return None
    exprs: list[AffineExpr] = []
    sizes: list[int] = []
    position = 0
    for own, others in groups:
        here = dims[position : position + len(own)]
        if tuple(here) == own:
            exprs.extend(AffineExpr.dimension(d) for d in others)
            sizes.extend(other[d] for d in others)
            position += len(own)
        elif any(d in own for d in dims if d is not None):
            return None
        else:
            while position < len(dims) and dims[position] is None:
                exprs.append(AffineExpr.constant(0))
                sizes.append(1)
                position += 1
    return (exprs, sizes) if position == len(dims) else None


def _sink(view: plan.ViewOp, region: kernel.RegionOp, root: linalg.GenericOp) -> bool:
    result = region.outs[0]
    shape, other = shape_of(result), shape_of(view.source)
    groups = reassociation(shape, other)
    if groups is None:
        return False
    arguments: dict[SSAValue, SSAValue] = dict(zip(region.body.block.args, region.ins, strict=True))
    operands: list[tuple[SSAValue, list[AffineExpr], list[int]]] = []
    for value, map in zip(root.inputs, input_maps(root), strict=True):
        if value not in arguments or (arguments[value] is view.res and not is_identity(map)):
            return False
        found = _operand_exprs(map.results, groups, other)
        if found is None:
            return False
        operands.append((arguments[value], *found))
    b = Builder(InsertPoint.before(region))
    sources: list[SSAValue] = []
    for value, _, sizes in operands:
        if value is view.res:
            sources.append(view.source)
        elif tuple(sizes) == shape_of(value):
            sources.append(value)
        else:
            sources.append(b.insert(plan.ViewOp(value, tensor_type(element_of(value), sizes))).res)
    moved = _rebuild(sources, [e for _, e, _ in operands], other, root)
    _keep_identity(moved, region)
    b.insert(moved)
    back = plan.ViewOp(moved.outs[0], result.type)
    back.location = region.location
    b.insert(back)
    result.replace_all_uses_with(back.res)
    Rewriter.erase_op(region)
    Rewriter.erase_op(view)
    return True


def _rebuild(
    sources: Sequence[SSAValue],
    exprs: Sequence[Sequence[AffineExpr]],
    shape: Sequence[int],
    root: linalg.GenericOp,
) -> kernel.RegionOp:
    operands = list(dict.fromkeys(sources))
    block = Block(arg_types=[v.type for v in operands])
    result_type = tensor_type(element_of(root.res[0]), shape)
    empty = tensor.EmptyOp((), result_type)
    rank = len(shape)
    maps = [AffineMapAttr(AffineMap(rank, 0, tuple(e))) for e in exprs]
    generic = linalg.GenericOp(
        [block.args[operands.index(v)] for v in sources],
        [empty.tensor],
        root.body.clone(),
        [*maps, AffineMapAttr(AffineMap.identity(rank))],
        [IteratorTypeAttr.parallel()] * rank,
        [result_type],
    )
    block.add_ops([empty, generic, kernel.YieldOp(generic.res[0])])
    return kernel.RegionOp(operands, [result_type], Region(block))


def _keep_identity(new: Operation, old: Operation) -> None:
    new.location = old.location
    new.attributes.update(old.attributes)

"""Merge a pointwise generic into the generic that reads its result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

from xdsl.builder import Builder
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import AffineMapAttr, IndexType, IntegerAttr
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import Block, Operation, Region, SSAValue
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
    AffineMap,
)
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.sizes.questions import is_known
from webdnn.dialects.sizes.types import element_of, size_of, tensor_type
from webdnn.lowering.kernel_ops import loop_sizes
from webdnn.lowering.linalg.moves import moves_rows
from webdnn.lowering.linalg.structure import (
    compose,
    input_maps,
    is_pointwise,
    output_maps,
)
from webdnn.lowering.uses import only_user

_INDEX_OPS: dict[AffineBinaryOpKind, type[Operation]] = {
    AffineBinaryOpKind.Add: arith.AddiOp,
    AffineBinaryOpKind.Mul: arith.MuliOp,
    AffineBinaryOpKind.Mod: arith.RemSIOp,
    AffineBinaryOpKind.FloorDiv: arith.DivSIOp,
    AffineBinaryOpKind.CeilDiv: arith.CeilDivSIOp,
}


def emit_index(b: Builder, expr: AffineExpr, places: Sequence[SSAValue] | None = None) -> SSAValue:
    """An index expression over the loops of the generic that `b` is in, or over the values `places`."""
    match expr:
        case AffineDimExpr():
            if places is not None:
                return places[expr.position]
            return b.insert(linalg.IndexOp(expr.position)).result
        case AffineConstantExpr():
            return b.insert(arith.ConstantOp(IntegerAttr(expr.value, IndexType()))).result
        case AffineBinaryOpExpr():
            lhs, rhs = emit_index(b, expr.lhs, places), emit_index(b, expr.rhs, places)
            op = _INDEX_OPS[expr.kind](lhs, rhs)  # pyright: ignore[reportCallIssue]
            return b.insert(op).results[0]
        case _:
            raise ValueError(f"no such index expression: {expr}")


def inline_body(
    b: Builder,
    block: Block,
    elements: Sequence[SSAValue],
    indices: Sequence[AffineExpr] | None,
    outside: Mapping[SSAValue, SSAValue] | None = None,
) -> list[SSAValue]:
    """Clone a generic's body: `elements` stand for its arguments, `indices` for its loops (None: the same), and the
    values of `outside` for what it reads from around it. Gives the elements of the results."""
    values = {**(outside or {}), **dict(zip(block.args, elements, strict=False))}
    for op in block.ops:
        if isinstance(op, linalg.YieldOp):
            return [values[v] for v in op.operands]
        if indices is not None and isinstance(op, linalg.IndexOp):
            values[op.result] = emit_index(b, indices[op.dim.value.data])
            continue
        clone = op.clone(values)
        b.insert(clone)
        for old, new in zip(op.results, clone.results, strict=True):
            values[old] = new
    raise ValueError("a generic's body ends with linalg.yield")


def move_body(
    b: Builder,
    block: Block,
    elements: Sequence[SSAValue],
    indices: Sequence[AffineExpr] | None,
) -> list[SSAValue]:
    """What `inline_body` does, with the ops of the body themselves; leaves nothing in `block`."""
    for argument, element in zip(block.args, elements, strict=False):
        argument.replace_all_uses_with(element)
    for op in list(block.ops):
        if isinstance(op, linalg.YieldOp):
            found = [*op.operands]
            Rewriter.erase_op(op)
            return found
        if indices is not None and isinstance(op, linalg.IndexOp):
            op.result.replace_all_uses_with(emit_index(b, indices[op.dim.value.data]))
            Rewriter.erase_op(op)
            continue
        op.detach()
        b.insert(op)
    raise ValueError("a generic's body ends with linalg.yield")


def fuse_pair(producer: linalg.GenericOp, consumer: linalg.GenericOp) -> linalg.GenericOp:
    """The generic that computes what `consumer` does, with the body of the pointwise `producer` at each read of it.

    Erases both. `producer` must have no other user.
    """
    (produced,) = producer.res
    num_dims = consumer.indexing_maps.data[0].data.num_dims
    operands: list[SSAValue] = []
    maps: list[AffineMap] = []
    slots: dict[tuple[SSAValue, AffineMap], int] = {}

    def slot(value: SSAValue, map: AffineMap) -> int:
        if (value, map) not in slots:
            slots[(value, map)] = len(operands)
            operands.append(value)
            maps.append(map)
        return slots[(value, map)]

    # an entry: the slot of a plain input, or the slots of the producer's inputs and the indices it is read at
    plan: list[int | tuple[list[int], Sequence[AffineExpr]]] = []
    for value, map in zip(consumer.inputs, input_maps(consumer), strict=True):
        if value is not produced:
            plan.append(slot(value, map))
            continue
        inner = [
            slot(v, compose(m, map.results, num_dims))
            for v, m in zip(producer.inputs, input_maps(producer), strict=True)
        ]
        plan.append((inner, map.results))
    kept = [*maps, *output_maps(consumer)]
    known = {e.position for m in kept for e in m.results if isinstance(e, AffineDimExpr)}
    if unknown := [d for d in range(num_dims) if d not in known]:
        # the operand that said how long these loops are is gone: a tensor without values says it
        sizes = loop_sizes(consumer)
        element = element_of(consumer.outputs[0])
        shape = tensor.EmptyOp((), tensor_type(element, [sizes[d] for d in unknown]))
        Rewriter.insert_op(shape, InsertPoint.before(consumer))
        slot(shape.tensor, AffineMap(num_dims, 0, tuple(AffineExpr.dimension(d) for d in unknown)))
    count = len(operands)
    operands.extend(consumer.outputs)
    maps.extend(output_maps(consumer))
    block = Block(arg_types=[element_of(v) for v in operands])
    b = Builder(InsertPoint.at_end(block))
    produced_at: dict[Sequence[AffineExpr], SSAValue] = {}
    places = {entry[1] for entry in plan if not isinstance(entry, int)}
    elements: list[SSAValue] = []
    for entry in plan:
        if isinstance(entry, int):
            elements.append(block.args[entry])
            continue
        inner, indices = entry
        if indices not in produced_at:
            args = [block.args[i] for i in inner]
            inline = move_body if len(places) == len(produced_at) + 1 else inline_body
            (produced_at[indices],) = inline(b, producer.body.block, args, indices)
        elements.append(produced_at[indices])
    elements.extend(block.args[count:])
    b.insert(linalg.YieldOp(*move_body(b, consumer.body.block, elements, None)))
    fused = linalg.GenericOp(
        operands[:count],
        operands[count:],
        Region(block),
        [AffineMapAttr(m) for m in maps],
        consumer.iterator_types,
        [r.type for r in consumer.res],
    )
    Rewriter.replace_op(consumer, fused)
    Rewriter.erase_op(producer)
    return fused


def read_through(producer: linalg.GenericOp, read: tensor.ExtractOp) -> None:
    """Let a read at computed indices of what `producer` moves read its source instead."""
    (map, *_) = input_maps(producer) or [None]
    b = Builder(InsertPoint.before(read))
    places: list[SSAValue] = [*read.indices]
    values: dict[SSAValue, SSAValue] = {}
    for op in producer.body.block.ops:
        match op:
            case linalg.IndexOp():
                values[op.result] = places[op.dim.value.data]
            case linalg.YieldOp():
                (element,) = op.operands
                if element in values:
                    found = values[element]
                else:
                    assert map is not None
                    indices = [emit_index(b, e, places) for e in map.results]
                    source = producer.inputs[0]
                    read_there = tensor.ExtractOp(source, indices, read.result.type)
                    found = b.insert(read_there).result
                read.result.replace_all_uses_with(found)
                Rewriter.erase_op(read)
            case _:
                clone = b.insert(op.clone(values))
                values.update(zip(op.results, clone.results, strict=True))


def inline_pointwise_producers(block: Block) -> None:
    """Merge every pointwise generic of `block` whose only user is a generic that reads each of its elements once."""
    for op in list(block.ops):
        if not isinstance(op, linalg.GenericOp) or not is_pointwise(op):
            continue
        user = only_user(op.res[0])
        if isinstance(user, tensor.ExtractOp) and moves_rows(op):
            read_through(op, user)
            continue
        if not isinstance(user, linalg.GenericOp) or op.res[0] in user.outputs:
            continue
        if not reads_each_once(user, op.res[0]):
            continue
        fuse_pair(op, user)
    remove_dead_ops(block)


def reads_each_once(user: linalg.GenericOp, value: SSAValue) -> bool:
    """Whether `user` reads each element of `value` at most once, or, where it reads at several places (slices of one
    tensor), no more elements than there are."""
    num_dims = user.indexing_maps.data[0].data.num_dims
    maps = {m for v, m in zip(user.inputs, input_maps(user), strict=True) if v is value}
    for map in maps:
        used = {e.position for r in map.results for e in r.dfs() if isinstance(e, AffineDimExpr)}
        if len(used) < num_dims:
            return False
    more = len(maps) * prod(loop_sizes(user)) - size_of(value)
    return len(maps) <= 1 or is_known(more, lambda elements: elements <= 0)


def remove_dead_ops(block: Block) -> None:
    """Erase ops without users (all ops of a region are pure)."""
    for op in reversed(list(block.ops)):
        if op.results and not any(r.uses for r in op.results):
            Rewriter.erase_op(op)

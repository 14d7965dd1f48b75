"""`sink-transposes`: choose channels-last for all that lies between convolutions.

The ONNX lowering puts a transpose before and one behind each channels-last op. This pass moves transposes down,
through every op that can work on permuted dimensions, until they meet their inverse and vanish. One walk in program
order does it, because an op's operands have been moved as far as they go when the op is reached.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import reduction as red
from webdnn.dialects.nn.base import int_attr, int_list, ints, sizes_or_ints
from webdnn.dialects.nn.elementwise import ElementwiseOp
from webdnn.dialects.numpy_meaning.trait import is_nn
from webdnn.dialects.sizes.substitution import likely
from webdnn.dialects.sizes.types import SizesAttr, element_of, shape_of, size_of, tensor_type
from webdnn.lowering.shapes import reassociation
from webdnn.lowering.uses import only_user
from webdnn.lowering.weights_function import entry_function

Permutation = tuple[int, ...]


@dataclass(frozen=True)
class SinkTransposes(ModulePass):
    """See the module's docstring."""

    name = "sink-transposes"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _Sinker(entry_function(op).body.block).run()


def inverse(permutation: Sequence[int]) -> Permutation:
    """The permutation that undoes `permutation`."""
    return tuple(sorted(range(len(permutation)), key=lambda i: permutation[i]))


class _Sinker:
    def __init__(self, block: Block) -> None:
        self.block = block
        self.static: set[SSAValue] = set()

    def run(self) -> None:
        for op in list(self.block.ops):
            if is_nn(op) and all(v in self.static for v in op.operands):
                self.static.update(op.results)
                continue
            self.visit(op)
        for op in list(self.block.ops):
            if isinstance(op, dm.TransposeOp) and op.res not in self.static:
                self.join_around_reshape(op)
        for op in reversed(list(self.block.ops)):
            if op.results and not any(r.uses for r in op.results):
                Rewriter.erase_op(op)

    def visit(self, op: Operation) -> None:
        if isinstance(op, dm.TransposeOp):
            self.simplify_transpose(op)
        elif isinstance(op, dm.ReshapeOp):
            self.visit_reshape(op)
        elif isinstance(op, ElementwiseOp):
            self.sink_elementwise(op)
        elif isinstance(op, dm.ConcatOp):
            self.sink_concat(op)
        elif type(op) in _ALONG_DIMS:
            source = self.transposed(op.operands[0])
            if source is not None:
                inner, permutation = source
                moved = _ALONG_DIMS[type(op)](op, permutation)
                if moved is not None:
                    self.replace(op, inner, *moved)

    def transposed(self, value: SSAValue) -> tuple[SSAValue, Permutation] | None:
        """What `value` is a transpose of, and how; None where it is not one, or is known at compile time."""
        if isinstance(value.owner, dm.TransposeOp) and value not in self.static:
            return value.owner.x, tuple(int_list(value.owner.permutation))
        return None

    def insert(self, op: Operation, before: Operation) -> SSAValue:
        op.location = before.location
        Rewriter.insert_op(op, InsertPoint.before(before))
        if op.operands and all(v in self.static for v in op.operands):
            self.static.update(op.results)
        return op.results[0]

    def substitute(self, op: Operation, value: SSAValue) -> None:
        (result,) = op.results
        if value.name_hint is None:
            value.name_hint = result.name_hint
        result.replace_all_uses_with(value)
        Rewriter.erase_op(op)

    def replace(
        self,
        op: Operation,
        operand: SSAValue,
        properties: dict[str, Attribute],
        shape: Sequence[int],
        permutation: Sequence[int],
    ) -> None:
        """Put a transpose behind `op` in place of the one before it.

        Args:
            operand: the operand before its transpose.
            properties: the op's properties on the operand's dimensions.
            shape: the new result's shape.
            permutation: leads from the new result to the old one.
        """
        result = op.results[0]
        type_ = tensor_type(element_of(result), shape)
        new = type(op).create(
            operands=[operand, *op.operands[1:]],
            result_types=[type_],
            properties={**op.properties, **properties},
            attributes=op.attributes,
        )
        self.finish(op, new, permutation)

    def finish(self, op: Operation, new: Operation, permutation: Sequence[int]) -> None:
        value = self.insert(new, op)
        transpose = dm.TransposeOp(value, permutation)
        self.substitute(op, self.insert(transpose, op))
        self.simplify_transpose(transpose)

    def simplify_transpose(self, op: dm.TransposeOp) -> None:
        """Join two transposes; drop one that does nothing; write one that only moves size-1 dimensions as a reshape."""
        x, permutation = op.x, tuple(int_list(op.permutation))
        source = self.transposed(x)
        if source is not None:
            x, first = source
            permutation = tuple(first[p] for p in permutation)
        if permutation == tuple(range(len(permutation))):
            self.substitute(op, x)
            return
        shape = shape_of(x)
        moved = [p for p in permutation if shape[p] != 1]
        if moved == sorted(moved):
            reshape = dm.ReshapeOp(x, shape_of(op.res))
            self.substitute(op, self.insert(reshape, op))
            self.visit_reshape(reshape)
        elif source is not None:
            self.substitute(op, self.insert(dm.TransposeOp(x, permutation), op))

    def visit_reshape(self, op: dm.ReshapeOp) -> None:
        """Join two reshapes; drop one that does nothing; move a transpose through one.

        Where the reshape joins dimensions that lie apart before the transpose (a channel shuffle, depth to space), a
        transpose that brings them together stays; the other dimensions keep their places, so the rest of the transpose
        goes on, and meets its inverse.
        """
        if isinstance(op.x.owner, dm.ReshapeOp) and op.x not in self.static:
            op.operands[0] = op.x.owner.x
        if shape_of(op.x) == shape_of(op.res):
            self.substitute(op, op.x)
            return
        source = self.transposed(op.x)
        if source is None:
            return
        x, permutation = source
        moved = _reshape_before_transpose(shape_of(x), permutation, shape_of(op.res))
        if moved is None:
            together = _bring_together(shape_of(x), permutation, shape_of(op.res))
            if together is None:
                return
            x = self.insert(dm.TransposeOp(x, together), op)
            rest = tuple(together.index(p) for p in permutation)
            moved = _reshape_before_transpose(shape_of(x), rest, shape_of(op.res))
            assert moved is not None
        shape, after = moved
        self.finish(op, dm.ReshapeOp(x, shape), after)

    def join_around_reshape(self, op: dm.TransposeOp) -> None:
        """Join two transposes around a reshape that joins dimensions, where the second one has not met its inverse."""
        reshape = op.x.owner
        if not isinstance(reshape, dm.ReshapeOp) or only_user(reshape.res) is not op:
            return
        source = self.transposed(reshape.x)
        if source is None or only_user(reshape.x) is not reshape:
            return
        x, first = source
        groups = reassociation(shape_of(reshape.x), shape_of(reshape.res))
        if groups is None or any(len(joined) != 1 for _, joined in groups):
            return
        order = [first[d] for p in int_list(op.permutation) for d in groups[p][0]]
        moved = self.insert(dm.TransposeOp(x, order), op)
        self.substitute(op, self.insert(dm.ReshapeOp(moved, shape_of(op.res)), op))

    def sink_elementwise(self, op: ElementwiseOp) -> None:
        result = op.results[0]
        rank = len(shape_of(result))
        found = [self.transposed(v) for v in op.operands]
        permutations = {s[1] for s in found if s is not None and len(s[1]) == rank}
        if len(permutations) != 1:
            return
        (permutation,) = permutations
        back = inverse(permutation)
        operands: list[SSAValue] = []
        for value, source in zip(op.operands, found, strict=True):
            if source is not None and len(source[1]) == rank:
                operands.append(source[0])
            elif size_of(value) == 1 or value in self.static or _is_smaller(value, result):
                operands.append(self.permuted(value, back, rank, op))
            else:
                return
        shape = shape_of(result)
        new = type(op).create(
            operands=operands,
            result_types=[tensor_type(element_of(result), [shape[p] for p in back])],
            properties=op.properties,
            attributes=op.attributes,
        )
        self.finish(op, new, permutation)

    def permuted(
        self, value: SSAValue, permutation: Permutation, rank: int, before: Operation
    ) -> SSAValue:
        """A broadcast operand with the dimensions of the result it goes into permuted."""
        shape = shape_of(value)
        if not shape or (size_of(value) == 1 and isinstance(value.owner, dm.ConstantOp)):
            return value
        if len(shape) < rank:
            shape = (*([1] * (rank - len(shape))), *shape)
            value = self.insert(dm.ReshapeOp(value, shape), before)
        transpose = dm.TransposeOp(value, permutation)
        holder = self.insert(transpose, before)
        if holder in self.static:
            return holder
        keep = dm.ReshapeOp(holder, shape_of(holder))  # survives what simplify_transpose replaces
        Rewriter.insert_op(keep, InsertPoint.before(before))
        self.simplify_transpose(transpose)
        simplified = keep.x
        Rewriter.erase_op(keep)
        return simplified

    def sink_concat(self, op: dm.ConcatOp) -> None:
        found = [self.transposed(v) for v in op.xs]
        permutations = {s[1] for s in found if s is not None}
        if len(permutations) != 1:
            return
        (permutation,) = permutations
        back = inverse(permutation)
        moved_size = sum(size_of(v) for v, s in zip(op.xs, found, strict=True) if s is None)
        if 2 * likely(moved_size) > likely(size_of(op.res)):
            return
        operands = [
            self.permuted(v, back, len(permutation), op) if s is None else s[0]
            for v, s in zip(op.xs, found, strict=True)
        ]
        self.finish(op, dm.ConcatOp(operands, permutation[op.axis.value.data]), permutation)


def _is_smaller(value: SSAValue, other: SSAValue) -> bool:
    return likely(size_of(value)) < likely(size_of(other))


def _reshape_before_transpose(
    shape: Sequence[int], permutation: Permutation, result: Sequence[int]
) -> tuple[list[int], list[int]] | None:
    """`reshape(transpose(x, permutation), result)` as `transpose(reshape(x, shape), after)`: shape and after, or None.

    It can be done when the dimensions that the reshape joins lie side by side in `x` too.
    """
    groups = reassociation([shape[p] for p in permutation], result)
    if groups is None:
        return None
    placed: list[tuple[int, tuple[int, ...]]] = []
    for own, others in groups:
        if not own and placed:  # dimensions of size 1 at the end stay behind the one before
            anchor, before = placed.pop()
            placed.append((anchor, (*before, *others)))
            continue
        places = [permutation[d] for d in own if shape[permutation[d]] != 1]
        if places != list(range(places[0], places[0] + len(places))) if places else False:
            between = range(min(places), max(places) + 1)
            if places != sorted(places) or any(shape[d] != 1 for d in between if d not in places):
                return None
        anchor = places[0] if places else (permutation[own[0]] if own else -1)
        placed.append((anchor, others))
    order = [d for _, others in sorted(placed, key=lambda entry: entry[0]) for d in others]
    return [result[d] for d in order], list(inverse(order))


def _bring_together(
    shape: Sequence[int], permutation: Permutation, result: Sequence[int]
) -> Permutation | None:
    """The permutation of x that brings those dimensions side by side that `reshape(transpose(x, permutation), result)`
    joins, each group where its largest dimension was; None where that is all that the transpose does."""
    groups = reassociation([shape[p] for p in permutation], result)
    if groups is None:
        return None
    places = [[permutation[d] for d in own] for own, _ in groups if own]
    places.sort(key=lambda group: max(group, key=lambda p: (likely(shape[p]), p)))
    together = tuple(p for group in places for p in group)
    return None if together == permutation else together


Moved = tuple[dict[str, Attribute], Sequence[int], Permutation]
"""New properties, the new result's shape, and the permutation behind it."""


def _reorder(op: Operation, name: str, back: Sequence[int]) -> Attribute:
    attr = op.properties[name]
    if isinstance(attr, SizesAttr):
        return sizes_or_ints([attr.data[p] for p in back])
    assert isinstance(attr, ArrayAttr)
    return ArrayAttr([attr.data[p] for p in back])


def _per_dim(*names: str) -> Callable[[Operation, Permutation], Moved]:
    """An op whose properties `names` have one entry a dimension, and which changes sizes at most."""

    def move(op: Operation, permutation: Permutation) -> Moved:
        back = inverse(permutation)
        shape = shape_of(op.results[0])
        return {n: _reorder(op, n, back) for n in names}, [shape[p] for p in back], permutation

    return move


def _per_axes(name: str) -> Callable[[Operation, Permutation], Moved]:
    """An op whose property `name` names a dimension or several, and which keeps them all."""

    def move(op: Operation, permutation: Permutation) -> Moved:
        shape = shape_of(op.results[0])
        attr = op.properties[name]
        if isinstance(attr, ArrayAttr):
            new: Attribute = ints(sorted(permutation[a] for a in int_list(attr)))
        else:
            new = int_attr(permutation[attr.value.data])  # pyright: ignore[reportAttributeAccessIssue]
        return {name: new}, [shape[p] for p in inverse(permutation)], permutation

    return move


def _broadcast(op: Operation, permutation: Permutation) -> Moved | None:
    if len(shape_of(op.results[0])) != len(permutation):
        return None
    return _per_dim()(op, permutation)


def _reduce(op: Operation, permutation: Permutation) -> Moved:
    assert isinstance(op, red.ReduceOp)
    axes = sorted(permutation[a] for a in int_list(op.axes))
    if op.keep_dims.value.data:
        return _per_axes("axes")(op, permutation)
    shape = shape_of(op.x.owner.operands[0]) if isinstance(op.x.owner, dm.TransposeOp) else ()
    kept = [d for d in range(len(permutation)) if d not in axes]
    # the old result's dimensions are the kept ones of the transposed operand, in its order
    old_order = [p for p in permutation if p not in axes]
    after = tuple(kept.index(p) for p in old_order)
    return {"axes": ints(axes)}, [shape[d] for d in kept], after


_ALONG_DIMS: dict[type[Operation], Callable[[Operation, Permutation], Moved | None]] = {
    dm.PadOp: _per_dim("low", "high", "interior"),
    dm.SliceOp: _per_dim("starts", "steps"),
    dm.BroadcastOp: _broadcast,
    dm.ResizeOp: _per_dim("scale", "offset_in", "offset_out"),
    red.ReduceWindowOp: _per_dim("window", "strides", "dilations"),
    red.SoftmaxOp: _per_axes("axis"),
    red.ArgReduceOp: _per_axes("axis"),
    red.NormalizeOp: _per_axes("axes"),
    red.ReduceOp: _reduce,
}
"""How an op with one operand that matters works on permuted dimensions; None where it does not."""

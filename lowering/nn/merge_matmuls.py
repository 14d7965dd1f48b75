"""`merge-matmuls`: the projections of an attention layer, of the same activations, become one product.

Queries, keys and values of a transformer are `heads(x @ w + b)`, each with a weight of its own; here with one, in which
the columns of all lie side by side. Each reads its heads from the result as a slice, which costs nothing where it is
read: the transposes behind it move its elements anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.builder import Builder
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.nn.data_movement import ConcatOp, ReshapeOp, SliceOp, TransposeOp
from webdnn.dialects.nn.elementwise import AddOp
from webdnn.dialects.nn.reduction import MatmulOp
from webdnn.dialects.numpy_meaning.trait import is_nn
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.uses import only_user
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class MergeMatmuls(ModulePass):
    """See the module's docstring."""

    name = "merge-matmuls"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        static: set[SSAValue] = set()
        groups: dict[object, list[_Projection]] = {}
        order: dict[Operation, int] = {}
        for number, inner in enumerate(entry_function(op).body.block.ops):
            order[inner] = number
            if is_nn(inner) and all(v in static for v in inner.operands):
                static.update(inner.results)
            elif isinstance(inner, MatmulOp) and (found := _projection(inner, static)) is not None:
                groups.setdefault(found.key, []).append(found)
        for members in groups.values():
            if len(members) > 1 and _can_merge(members, order):
                _merge(members, before=min((m.heads for m in members), key=order.__getitem__))


@dataclass
class _Projection:
    """`reshape(matmul [+ bias])`, where the reshape cuts the columns into heads."""

    matmul: MatmulOp
    bias: SSAValue | None
    heads: ReshapeOp

    @property
    def key(self) -> object:
        """What is the same for projections that can be merged."""
        size = shape_of(self.heads.res)[-1]
        element = element_of(self.matmul.rhs)
        return self.matmul.lhs, element, size, self.bias is None

    @property
    def operands(self) -> list[SSAValue]:
        bias = [] if self.bias is None else [self.bias]
        return [self.matmul.lhs, self.matmul.rhs, *bias]


def _projection(op: MatmulOp, static: set[SSAValue]) -> _Projection | None:
    if op.lhs in static or op.rhs not in static or len(shape_of(op.rhs)) != 2:
        return None
    result, bias = op.res, None
    user = only_user(result)
    if isinstance(user, AddOp):
        bias = user.rhs if user.lhs is result else user.lhs
        if bias not in static or shape_of(bias) != shape_of(result)[-1:]:
            return None
        result = user.res
        user = only_user(result)
    if not isinstance(user, ReshapeOp) or not isinstance(only_user(user.res), TransposeOp):
        return None
    whole, cut = shape_of(result), shape_of(user.res)
    if len(cut) != len(whole) + 1 or cut[:-2] != whole[:-1] or cut[-1] == 0:
        return None
    return _Projection(op, bias, user)


def _can_merge(members: Sequence[_Projection], order: dict[Operation, int]) -> bool:
    """Whether all operands are there before the first result is used."""
    owners = [v.owner for m in members for v in m.operands]
    made = max((order[o] for o in owners if isinstance(o, Operation)), default=-1)
    return made < min(order[m.heads] for m in members)


def _merge(members: Sequence[_Projection], before: Operation) -> None:
    first = members[0]
    builder = Builder(InsertPoint.before(before))

    def insert(op: Operation, location: Operation) -> SSAValue:
        op.location = location.location
        return builder.insert(op).results[0]

    weight = insert(ConcatOp([m.matmul.rhs for m in members], 1), first.matmul)
    value = insert(MatmulOp(first.matmul.lhs, weight), first.matmul)
    biases = [m.bias for m in members if m.bias is not None]
    if biases:
        value = insert(AddOp(value, insert(ConcatOp(biases, 0), first.matmul)), first.matmul)
    *lead, columns = shape_of(value)
    size = shape_of(first.heads.res)[-1]
    value = insert(ReshapeOp(value, [*lead, columns // size, size]), first.heads)
    start = 0
    for member in members:
        shape = shape_of(member.heads.res)
        starts = [0] * len(shape)
        starts[-2] = start
        part = insert(SliceOp(value, starts, shape, [1] * len(shape)), member.heads)
        start += shape[-2]
        part.name_hint = member.heads.res.name_hint
        member.heads.res.replace_all_uses_with(part)
    for member in members:
        for op in (member.heads, member.heads.x.owner, member.matmul):
            if isinstance(op, Operation) and op.parent is not None:
                Rewriter.erase_op(op)

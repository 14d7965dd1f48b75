"""`wgsl-compose-vectors`: a vector that is made element by element becomes one `vec4f(a, b, c, d)`."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import vector
from xdsl.dialects.builtin import ModuleOp, VectorType
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.wgsl import ComposeOp


@dataclass(frozen=True)
class WGSLComposeVectorsPass(ModulePass):
    """Replaces each `vector.insert` whose elements are all known scalars by a `wgsl.compose`.

    The inserts before it are left without users.
    """

    name = "wgsl-compose-vectors"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in op.ops:
            if isinstance(kernel, FuncOp) and kernel.is_lowered:
                for inner in list(kernel.body.walk()):
                    if isinstance(inner, vector.InsertOp):
                        _compose(inner)


def _compose(op: vector.InsertOp) -> None:
    elements = _elements(op)
    if elements is None:
        return
    new = ComposeOp(elements, op.result.type)
    new.result.name_hint = op.result.name_hint
    Rewriter.replace_op(op, new)


def _elements(op: vector.InsertOp) -> list[SSAValue] | None:
    """The scalars that a chain of inserts puts together, or None if one of them is not known."""
    type = op.result.type
    assert isinstance(type, VectorType)
    (count,) = type.get_shape()
    known: dict[int, SSAValue] = {}
    link: SSAValue = op.result
    while len(known) < count:
        match link.owner:
            case vector.InsertOp() as insert if isinstance(
                position := insert.get_mixed_position()[0], int
            ) and not isinstance(insert.source.type, VectorType):
                known.setdefault(position, insert.source)
                link = insert.dest
            case ComposeOp() as whole:
                for position, element in enumerate(whole.elements):
                    known.setdefault(position, element)
            case vector.BroadcastOp() as splat if not isinstance(splat.source.type, VectorType):
                for position in range(count):
                    known.setdefault(position, splat.source)
            case _:
                return None
    return [known[position] for position in range(count)]

"""Questions about structured ops that several passes ask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

from xdsl.dialects import tensor
from xdsl.dialects.linalg import ops as linalg
from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.ir import Block, Operation, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineMap

from webdnn.dialects import kernel


def input_maps(op: linalg.GenericOp) -> list[AffineMap]:
    """The indexing maps of the inputs."""
    return [m.data for m in op.indexing_maps.data[: len(op.inputs)]]


def output_maps(op: linalg.GenericOp) -> list[AffineMap]:
    """The indexing maps of the outputs."""
    return [m.data for m in op.indexing_maps.data[len(op.inputs) :]]


def iterator_letters(op: linalg.GenericOp) -> str:
    """One letter a loop: `p` parallel, `r` reduction."""
    return "".join("p" if it.data == IteratorType.PARALLEL else "r" for it in op.iterator_types)


def is_identity(map: AffineMap) -> bool:
    """Whether a map is (d0, d1, ...) -> (d0, d1, ...)."""
    return map.num_dims == len(map.results) and all(
        isinstance(e, AffineDimExpr) and e.position == i for i, e in enumerate(map.results)
    )


def is_pointwise(op: Operation) -> TypeGuard[linalg.GenericOp]:
    """Whether `op` is a generic that makes each element of its one result on its own, in the result's own order."""
    return (
        isinstance(op, linalg.GenericOp)
        and len(op.res) == 1
        and "r" not in iterator_letters(op)
        and is_identity(output_maps(op)[0])
        and not op.body.block.args[-1].uses
    )


def reads_elements(op: linalg.GenericOp) -> bool:
    """Whether the body reads other tensors or its loop indices: its meaning then depends on its iteration space."""
    return any(isinstance(o, tensor.ExtractOp | linalg.IndexOp) for o in op.body.block.ops)


def generics(region: kernel.RegionOp) -> list[linalg.GenericOp]:
    """The generics of a region, in order."""
    return [op for op in region.body.block.ops if isinstance(op, linalg.GenericOp)]


def pointwise_root(region: kernel.RegionOp) -> linalg.GenericOp | None:
    """The generic of a region that is one pointwise generic, else None."""
    found = generics(region)
    if len(found) == 1 and is_pointwise(found[0]) and not has_concat(region.body.block):
        return found[0]
    return None


def has_concat(block: Block) -> bool:
    """Whether a region concatenates: such regions stay on their own."""
    return any(isinstance(op, tensor.ConcatOp) for op in block.ops)


def is_contraction(op: linalg.GenericOp) -> bool:
    """Whether a generic reduces and reads some input more than once: matmul, convolution, overlapping windows."""
    letters = iterator_letters(op)
    if "r" not in letters:
        return False
    for value, map in zip(op.inputs, input_maps(op), strict=True):
        if isinstance(value.owner, tensor.EmptyOp):
            return True  # the window of a pooling op
        used = {d for e in map.results for d in dims_of(e)}
        if len(used) < len(letters):
            return True
    return False


def dims_of(expr: AffineExpr) -> set[int]:
    """The loop dimensions that an index expression uses."""
    return {e.position for e in expr.dfs() if isinstance(e, AffineDimExpr)}


def is_plain(expr: AffineExpr) -> bool:
    """Whether an index expression is one dimension or a constant."""
    return isinstance(expr, AffineDimExpr | AffineConstantExpr)


def argument_of(value: SSAValue, region: kernel.RegionOp) -> SSAValue | None:
    """The argument that an operand of a region is inside of it; None where it is more than one."""
    found = [a for a, v in zip(region.body.block.args, region.ins, strict=True) if v is value]
    return found[0] if len(found) == 1 else None


def compose(outer: AffineMap, inner: Sequence[AffineExpr], num_dims: int) -> AffineMap:
    """`outer` with its dimensions replaced by the expressions `inner` over `num_dims` dimensions."""
    return AffineMap(
        num_dims, 0, tuple(e.replace_dims_and_symbols(inner, []) for e in outer.results)
    )

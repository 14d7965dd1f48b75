"""Questions about the ops of a kernel on level `kernels`."""

from __future__ import annotations

from typing import cast

from xdsl.dialects.builtin import TensorType
from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import Operation
from xdsl.ir.affine import AffineDimExpr

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.types import shape_of


def is_reduction(op: Operation) -> bool:
    """Whether an op is a `linalg.generic` that reduces."""
    return isinstance(op, GenericOp) and any(
        t.data != IteratorType.PARALLEL for t in op.iterator_types
    )


def loop_sizes(op: GenericOp) -> list[int]:
    """The extent of each dimension of a generic, from the operands that it walks in full."""
    maps = [m.data for m in op.indexing_maps]
    sizes: list[int | None] = [None] * maps[0].num_dims
    for value, map in zip(op.operands, maps, strict=True):
        if isinstance(value.type, TensorType):
            for expr, size in zip(map.results, shape_of(value), strict=True):
                if isinstance(expr, AffineDimExpr):
                    sizes[expr.position] = size
    if any(size is None for size in sizes):
        raise WebDNNError("a dimension of a linalg.generic has no operand that gives its size")
    return cast("list[int]", sizes)

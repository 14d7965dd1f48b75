"""What a kernel has to do: operations, and bytes that must be moved at least. Counted on the IR of level `kernels`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import AnyFloat, DenseIntOrFPElementsAttr, IntegerType, TensorType
from xdsl.dialects.linalg.ops import GenericOp
from xdsl.ir import Attribute, Block, BlockArgument, Operation, SSAValue
from xdsl.ir.affine import AffineMap

from webdnn.dialects.dtypes import array_of_dense
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.substitution import likely
from webdnn.dialects.sizes.types import size_of
from webdnn.lowering.kernel_ops import loop_sizes
from webdnn.lowering.target import memory_of

_FREE: tuple[type[Operation], ...] = (
    arith.ConstantOp,
    arith.SelectOp,
    arith.CmpfOp,
    arith.CmpiOp,
    arith.ExtFOp,
    arith.TruncFOp,
    arith.ExtSIOp,
    arith.ExtUIOp,
    arith.TruncIOp,
    arith.SIToFPOp,
    arith.UIToFPOp,
    arith.FPToSIOp,
    arith.FPToUIOp,
    arith.BitcastOp,
    arith.IndexCastOp,
)
"""Ops that choose, compare or convert rather than calculate."""


@dataclass(frozen=True)
class KernelCost:
    """The work of one launch of a kernel, of the likely sizes.

    Attributes:
        flops: arithmetic operations on floats and integers, each of which counts one: a multiply-add is two, `exp`
            is one. They are those of the algorithm that the kernel holds (of Winograd's where it is a part of one),
            without what a schedule computes twice.
        bytes: of the elements that are read and written, each counted once (compulsory traffic).
    """

    flops: int
    bytes: int

    @property
    def intensity(self) -> float:
        """Operations a byte."""
        return self.flops / self.bytes if self.bytes else 0.0


def kernel_cost(func: FuncOp, target: str) -> KernelCost:
    """The work of a kernel on level `kernels`, with elements as wide as the target stores them."""
    flops, reads = 0, dict[SSAValue, int]()
    for op in func.body.block.ops:
        if isinstance(op, GenericOp):
            sizes = [likely(size) for size in loop_sizes(op)]
            points = prod(sizes)
            flops += round(points * sum(_count(inner, op) for inner in op.body.block.walk()))
            for value, map_attr in zip(op.operands, op.indexing_maps, strict=False):
                _read(reads, value, _touched(map_attr.data, sizes))
            for inner in op.body.block.walk():
                if isinstance(inner, tensor.ExtractOp):
                    _read(reads, inner.tensor, points)
        else:
            for value in op.operands:
                _read(reads, value, _elements(value.type))
    moved = sum(
        min(count, _elements(value.type)) * _width(value.type, target)
        for value, count in reads.items()
        if value in func.body.block.args
    )
    moved += sum(_elements(t) * _width(t, target) for t in func.function_type.outputs)
    return KernelCost(flops, moved)


def kernel_costs(kernels: Iterable[FuncOp], target: str) -> Mapping[str, KernelCost]:
    """What each kernel has to do, by its name."""
    return {func.sym_name.data: kernel_cost(func, target) for func in kernels}


def _count(op: Operation, generic: GenericOp) -> float:
    """How much an op of a body counts: those that a table of constants makes superfluous count nothing."""
    if not _counts(op):
        return 0.0
    if isinstance(op, arith.MulfOp) and (table := _table(op, generic)) is not None:
        return float(np.mean((table != 0) & (np.abs(table) != 1)))
    if isinstance(op, arith.AddfOp):
        for value in op.operands:
            mul = value.owner
            if isinstance(mul, arith.MulfOp) and (table := _table(mul, generic)) is not None:
                return float(np.mean(table != 0))
    return 1.0


def _table(op: arith.MulfOp, generic: GenericOp) -> npt.NDArray[Any] | None:
    """The constants that one factor of a product is read from, if it is."""
    for value in op.operands:
        if isinstance(value.owner, Block) and isinstance(value, BlockArgument):
            source = generic.operands[value.index].owner
            if isinstance(source, arith.ConstantOp) and isinstance(
                source.value, DenseIntOrFPElementsAttr
            ):
                return array_of_dense(source.value)
    return None


def _counts(op: Operation) -> bool:
    if op.name.partition(".")[0] not in ("arith", "arith_ext", "math") or isinstance(op, _FREE):
        return False
    (result,) = op.results
    type = result.type
    return isinstance(type, AnyFloat) or (isinstance(type, IntegerType) and type.width.data > 1)


def _touched(map: AffineMap, sizes: list[int]) -> int:
    """How many elements a map can name at most."""
    return prod(sizes[d] for d in {d for e in map.results for d in e.used_dims()})


def _read(reads: dict[SSAValue, int], value: SSAValue, count: int) -> None:
    reads[value] = reads.get(value, 0) + count


def _elements(type: Attribute) -> int:
    return likely(size_of(type)) if isinstance(type, TensorType) else 0


def _width(type: Attribute, target: str) -> int:
    assert isinstance(type, TensorType)
    return memory_of(target).element_bytes(type.element_type)

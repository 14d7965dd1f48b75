"""Builds one `kernel.region` of structured ops on signless tensors."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.builder import Builder
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import (
    AffineMapAttr,
    AnyFloat,
    FloatAttr,
    IndexType,
    IntegerAttr,
    IntegerType,
    Signedness,
    TensorType,
)
from xdsl.dialects.linalg import ops as linalg
from xdsl.dialects.linalg.attrs import IteratorTypeAttr
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.ir.affine import AffineExpr, AffineMap
from xdsl.rewriter import InsertPoint

from webdnn.dialects import kernel
from webdnn.dialects.sizes.expression import is_symbolic, maximum
from webdnn.dialects.sizes.types import element_of, shape_of, tensor_type

Body = Callable[[Builder, Sequence[SSAValue]], SSAValue | Sequence[SSAValue]]
"""Emits the scalar body of a generic: gets the operands' elements and gives the results' elements."""


def signless(type: Attribute) -> Attribute:
    """The type as it is from level `linalg` on: integers lose their sign (the operations carry it)."""
    if isinstance(type, TensorType):
        return TensorType(signless(type.element_type), type.get_shape(), type.encoding)
    if isinstance(type, IntegerType) and type.signedness.data != Signedness.SIGNLESS:
        return IntegerType(type.width.data)
    return type


def scalar_constant(builder: Builder, value: float, type: Attribute) -> SSAValue:
    """An `arith.constant` of a float, integer or index type."""
    if isinstance(type, AnyFloat):
        return builder.insert(arith.ConstantOp(FloatAttr(float(value), type))).result
    assert isinstance(type, IntegerType | IndexType)
    return builder.insert(
        arith.ConstantOp(IntegerAttr(int(value), type, truncate_bits=True))
    ).result


def index_constant(builder: Builder, size: int) -> SSAValue:
    """A size as an index."""
    if is_symbolic(size):
        return builder.insert(kernel.SizeOp(size)).res
    return scalar_constant(builder, size, IndexType())


def loop_index(b: Builder, dim: int) -> SSAValue:
    """Where a loop of the generic stands."""
    return b.insert(linalg.IndexOp(dim)).result


def add_size(b: Builder, x: SSAValue, value: int) -> SSAValue:
    """An index and a size."""
    return x if value == 0 else b.insert(arith.AddiOp(x, index_constant(b, value))).result


def clamp_index(b: Builder, x: SSAValue, size: int) -> SSAValue:
    """`x` limited to [0, size - 1]."""
    low = b.insert(arith.MaxSIOp(x, scalar_constant(b, 0, IndexType()))).result
    return b.insert(arith.MinSIOp(low, index_constant(b, maximum(size - 1, 0)))).result


def dims(count: int) -> list[AffineExpr]:
    """The first `count` loop dimensions."""
    return [AffineExpr.dimension(i) for i in range(count)]


def broadcast_exprs(shape: Sequence[int], result: Sequence[int]) -> list[AffineExpr]:
    """Indices of an operand of `shape` in the iteration space of `result`, by numpy's broadcasting rule."""
    offset = len(result) - len(shape)
    return [
        AffineExpr.dimension(offset + i) if size == result[offset + i] else AffineExpr.constant(0)
        for i, size in enumerate(shape)
    ]


class RegionBuilder:
    """Builds the body of one `kernel.region`; `args` are its block arguments, one for each operand.

    Args:
        operands: host values (signless tensors) that the region reads.
    """

    def __init__(self, operands: Sequence[SSAValue]) -> None:
        self.operands = list(operands)
        self.block = Block(arg_types=[v.type for v in operands])
        self.builder = Builder(InsertPoint.at_end(self.block))

    @property
    def args(self) -> Sequence[SSAValue]:
        return self.block.args

    def empty(self, shape: Sequence[int], element: Attribute) -> SSAValue:
        """A tensor whose elements have no value yet."""
        return self.builder.insert(tensor.EmptyOp((), tensor_type(element, shape))).tensor

    def fill(self, value: float, shape: Sequence[int], element: Attribute) -> SSAValue:
        """A tensor of one value."""
        scalar = scalar_constant(self.builder, value, element)
        init = self.empty(shape, element)
        return self.builder.insert(linalg.FillOp([scalar], [init], [init.type])).results[0]

    def window(self, sizes: Sequence[int], element: Attribute) -> SSAValue:
        """An operand without values whose shape gives the sizes of window dimensions, as in MLIR's pooling ops."""
        return self.empty(sizes, element)

    def generic(
        self,
        inputs: Sequence[tuple[SSAValue, Sequence[AffineExpr]]],
        outputs: Sequence[tuple[SSAValue, Sequence[AffineExpr]]],
        iterators: str,
        body: Body,
    ) -> list[SSAValue]:
        """A `linalg.generic`.

        Args:
            inputs: operands and their index expressions.
            outputs: initial values (`empty` or `fill`) and their index expressions; the results take their types.
            iterators: one letter a loop dimension: `p` parallel, `r` reduction.
            body: gets the elements of the inputs, then those of the outputs.
        """
        operands = [*inputs, *outputs]
        block = Block(arg_types=[element_of(v) for v, _ in operands])
        inner = Builder(InsertPoint.at_end(block))
        results = body(inner, block.args)
        inner.insert(linalg.YieldOp(*([results] if isinstance(results, SSAValue) else results)))
        kinds = {
            "p": IteratorTypeAttr.parallel(),
            "r": IteratorTypeAttr.reduction(),
        }
        maps = [AffineMapAttr(AffineMap(len(iterators), 0, tuple(e))) for _, e in operands]
        op = self.builder.insert(
            linalg.GenericOp(
                [v for v, _ in inputs],
                [v for v, _ in outputs],
                Region(block),
                maps,
                [kinds[k] for k in iterators],
                [v.type for v, _ in outputs],
            )
        )
        return list(op.results)

    def elementwise(
        self,
        inputs: Sequence[SSAValue],
        shape: Sequence[int],
        element: Attribute,
        body: Callable[[Builder, Sequence[SSAValue]], SSAValue],
    ) -> SSAValue:
        """An all-parallel generic over `shape` whose inputs broadcast; `body` gets the inputs' elements alone."""
        out = self.empty(shape, element)
        return self.generic(
            [(v, broadcast_exprs(shape_of(v), shape)) for v in inputs],
            [(out, dims(len(shape)))],
            "p" * len(shape),
            lambda b, args: body(b, args[: len(inputs)]),
        )[0]

    def finish(self, *results: SSAValue) -> kernel.RegionOp:
        """The finished region, not yet in a block."""
        self.builder.insert(kernel.YieldOp(*results))
        return kernel.RegionOp(self.operands, [v.type for v in results], Region(self.block))

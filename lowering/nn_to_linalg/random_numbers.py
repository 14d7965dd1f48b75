"""Random numbers as structured ops: what is drawn depends on loop indices alone, so it fuses like any other body."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.builder import Builder
from xdsl.dialects import arith
from xdsl.dialects.builtin import i32
from xdsl.dialects.linalg import ops as linalg
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineExpr

from webdnn.dialects.kernel import RegionOp
from webdnn.dialects.nn.random_numbers import RandomBitsOp
from webdnn.dialects.sizes.types import shape_of
from webdnn.dialects.threefry import threefry
from webdnn.lowering.nn_to_linalg.region_builder import (
    RegionBuilder,
    dims,
    index_constant,
    scalar_constant,
)


class _EmittedWords:
    """Words as values of type i32."""

    def __init__(self, b: Builder) -> None:
        self._b = b

    def constant(self, value: int) -> SSAValue:
        return scalar_constant(self._b, value, i32)

    def add(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._b.insert(arith.AddiOp(x, y)).result

    def xor(self, x: SSAValue, y: SSAValue) -> SSAValue:
        return self._b.insert(arith.XOrIOp(x, y)).result

    def rotate(self, x: SSAValue, count: int) -> SSAValue:
        high = self._b.insert(arith.ShLIOp(x, self.constant(count))).result
        low = self._b.insert(arith.ShRUIOp(x, self.constant(32 - count))).result
        return self._b.insert(arith.OrIOp(high, low)).result


def lower_random_bits(op: RandomBitsOp, r: RegionBuilder) -> RegionOp:
    """A generic over the result whose body is the generator; the counter is the number of the element."""
    shape, rank = shape_of(op.res), len(shape_of(op.res))
    seed, stream = r.args

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        low, high, number, _ = args
        counter = (_element_number(b, shape), number)
        return threefry((low, high), counter, _EmittedWords(b))[op.word.value.data]

    inputs = [
        (seed, [AffineExpr.constant(0)]),
        (seed, [AffineExpr.constant(1)]),
        (stream, list[AffineExpr]()),
    ]
    (result,) = r.generic(inputs, [(r.empty(shape, i32), dims(rank))], "p" * rank, body)
    return r.finish(result)


def _element_number(b: Builder, shape: Sequence[int]) -> SSAValue:
    """The place of the element in row-major order."""
    number: SSAValue | None = None
    for dim, size in enumerate(shape):
        index = b.insert(linalg.IndexOp(dim)).result
        if number is not None:
            before = b.insert(arith.MuliOp(number, index_constant(b, size))).result
            index = b.insert(arith.AddiOp(before, index)).result
        number = index
    if number is None:
        return scalar_constant(b, 0, i32)
    return b.insert(arith.IndexCastOp(number, i32)).result

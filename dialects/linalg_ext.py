"""What `linalg` cannot say: structured ops on tensors whose iterations depend on each other.

No `linalg.generic` puts elements in order: where one goes depends on all others. These ops stand alone in their kernel.
All of them are about the rows of a matrix of keys, which are signed integers, and give positions in a row as i32.
"""

from __future__ import annotations

from abc import ABC

from xdsl.dialects.builtin import IntegerAttr, IntegerType, TensorType, i32, i64
from xdsl.ir import Attribute, Block, Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.sizes.expression import bounds
from webdnn.dialects.sizes.types import shape_of, tensor_type

DIGIT = 8
"""The bits of a digit in `linalg_ext.counting_sort`."""


class OrderingOp(IRDLOperation, ABC):
    """An op on keys: `tensor<RxNxi32>` or `tensor<RxNxi64>`, to positions: `tensor<RxKxi32>`, with K from 1 to N."""

    keys = operand_def(TensorType)
    res = result_def(TensorType)
    traits = traits_def(Pure())

    @property
    def key_type(self) -> IntegerType:
        """The type of a key."""
        assert isinstance(self.keys.type, TensorType)
        element = self.keys.type.element_type
        assert isinstance(element, IntegerType)
        return element

    @property
    def bits(self) -> int:
        """The width of a key."""
        return self.key_type.width.data

    @property
    def sizes(self) -> tuple[int, int, int]:
        """The numbers of rows, of keys in a row, and of positions in a row."""
        rows, count = shape_of(self.keys)
        return rows, count, shape_of(self.res)[1]

    def verify_(self) -> None:
        keys, result = self.keys.type, self.res.type
        assert isinstance(keys, TensorType) and isinstance(result, TensorType)
        if keys.element_type not in (i32, i64) or result.element_type != i32:
            raise VerifyException(f"{self.name}: keys are i32 or i64, positions are i32")
        shapes = shape_of(keys), shape_of(result)
        if any(len(shape) != 2 for shape in shapes) or shapes[0][0] != shapes[1][0]:
            raise VerifyException(f"{self.name}: {keys} and {result} are not the same rows")
        least, most = bounds(shapes[1][1])
        if most < 1 or least > bounds(shapes[0][1])[1]:
            raise VerifyException(f"{self.name}: {keys} has no {shapes[1][1]} positions in a row")


def _positions(keys: SSAValue, count: int) -> Attribute:
    return tensor_type(i32, [shape_of(keys)[0], count])


@irdl_op_definition
class TopKOp(OrderingOp):
    """The positions of the K least keys of each row, the least one first; equal keys come in their order."""

    name = "linalg_ext.top_k"
    assembly_format = "$keys attr-dict `:` type($keys) `->` type($res)"

    def __init__(self, keys: SSAValue, k: int) -> None:
        super().__init__(operands=[keys], result_types=[_positions(keys, k)])


@irdl_op_definition
class SelectOp(OrderingOp):
    """The positions that `linalg_ext.top_k` gives, in ascending order: the K least keys are found and not sorted."""

    name = "linalg_ext.select"
    assembly_format = "$keys attr-dict `:` type($keys) `->` type($res)"

    def __init__(self, keys: SSAValue, k: int) -> None:
        super().__init__(operands=[keys], result_types=[_positions(keys, k)])


@irdl_op_definition
class CountingSortOp(OrderingOp):
    """The positions in `order` (or all positions, where it is left out) sorted by one digit of their keys.

    The digit is that of `DIGIT` bits from bit `shift` on; in the digit that holds the sign, negative keys come first.
    Positions of equal digits stay in their order, so one such step for each digit, the lowest digit first, sorts.
    """

    name = "linalg_ext.counting_sort"
    keys = operand_def(TensorType)  # again, to be the first
    order = opt_operand_def(TensorType)
    shift = prop_def(IntegerAttr)
    assembly_format = (
        "$keys (`order` $order^)? `shift` $shift attr-dict "
        "`:` type($keys) (`,` type($order)^)? `->` type($res)"
    )

    def __init__(self, keys: SSAValue, order: SSAValue | None, shift: int) -> None:
        result = order.type if order else _positions(keys, shape_of(keys)[1])
        super().__init__(
            operands=[keys, order],
            properties={"shift": IntegerAttr(shift, i64)},
            result_types=[result],
        )

    def verify_(self) -> None:
        super().verify_()
        _, count, sorted_count = self.sizes
        if self.order is not None and self.order.type != self.res.type:
            raise VerifyException(f"{self.name}: the order has the type of the result")
        if self.order is None and count != sorted_count:
            raise VerifyException(f"{self.name}: without an order all positions are sorted")
        if not 0 <= self.shift.value.data <= self.bits - DIGIT:
            raise VerifyException(f"{self.name}: there is no digit at bit {self.shift.value.data}")


def ordering_op(block: Block) -> OrderingOp | None:
    """The op of a kernel or a region that is nothing but one of these ops, else None."""
    first = block.first_op
    return first if isinstance(first, OrderingOp) else None


LinalgExt = Dialect("linalg_ext", [TopKOp, SelectOp, CountingSortOp])

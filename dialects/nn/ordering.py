"""`nn` ops that put elements in order."""

from __future__ import annotations

from xdsl.dialects.builtin import IntegerAttr, TensorType, i64
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.nn.base import int_attr
from webdnn.dialects.sizes.expression import bounds
from webdnn.dialects.sizes.types import shape_of, tensor_type


@irdl_op_definition
class TopKOp(IRDLOperation):
    """The indices (i64) of the first `k` elements along the last dimension, in descending order where `largest` is 1,
    else in ascending order.

    The order is total: equal elements come in the order of their indices, -0 equals 0, and NaN is greater than
    infinity (as in ONNX Runtime and PyTorch). `x [..., N]` gives `[..., k]`, with `k` from 0 to N.
    """

    name = "nn.top_k"
    x = operand_def(TensorType)
    k = prop_def(IntegerAttr)
    largest = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = "$x `k` $k `largest` $largest attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, k: int, largest: bool) -> None:
        super().__init__(
            operands=[x],
            properties={"k": int_attr(k), "largest": int_attr(int(largest))},
            result_types=[tensor_type(i64, [*shape_of(x)[:-1], k])],
        )

    def verify_(self) -> None:
        x, result, k = shape_of(self.x), shape_of(self.res), self.k.value.data
        if not x or not 0 <= k <= bounds(x[-1])[0]:
            raise VerifyException(f"nn.top_k: there are no first {k} elements in {list(x)}")
        if result != (*x[:-1], k):
            raise VerifyException(f"nn.top_k: {list(result)} is not the shape of its result")


ORDERING_OPS = (TopKOp,)

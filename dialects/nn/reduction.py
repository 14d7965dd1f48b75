"""`nn` ops that combine many elements: contractions, reductions, windows and row-wise normalisations."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import (
    ArrayAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    i8,
    i16,
    i32,
    i64,
)
from xdsl.ir import Attribute, SSAValue
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

from webdnn.dialects.nn.base import (
    broadcast_shapes,
    float_attr,
    int_attr,
    int_list,
    ints,
    normalize_axis,
)
from webdnn.dialects.sizes.expression import bounds
from webdnn.dialects.sizes.questions import same_size
from webdnn.dialects.sizes.types import element_of, shape_of, tensor_type

REDUCTION_KINDS = ("sum", "prod", "max", "min", "and", "or")
"""How elements are combined; a mean is a sum and a multiplication."""


def _verify_elements(op: IRDLOperation) -> None:
    """Both operands and the result have one element type, or the operands are signed integers narrower than an i32
    result."""
    lhs, rhs, result = (element_of(v) for v in (*op.operands, *op.results))
    if lhs == rhs == result:
        return
    if result != i32 or any(e not in (i8, i16) for e in (lhs, rhs)):
        raise VerifyException(f"{op.name}: {lhs} times {rhs} does not accumulate in {result}")


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """`lhs [..., M, K]` times `rhs [..., K, N]`; the leading dimensions broadcast.

    Accumulates in the result's element type: that of the operands, or i32 for products of narrower signed integers (the
    operands' types may then differ); sums of integers wrap around.
    """

    name = "nn.matmul"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, lhs: SSAValue, rhs: SSAValue, element: Attribute | None = None) -> None:
        a, b = shape_of(lhs), shape_of(rhs)
        shape = [*broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1]]
        super().__init__(
            operands=[lhs, rhs], result_types=[tensor_type(element or element_of(lhs), shape)]
        )

    def verify_(self) -> None:
        _verify_elements(self)
        a, b = shape_of(self.lhs), shape_of(self.rhs)
        if len(a) < 2 or len(b) < 2 or not same_size(a[-1], b[-2]):
            raise VerifyException(f"nn.matmul: {a} and {b} do not multiply")


@irdl_op_definition
class ConvOp(IRDLOperation):
    """Convolution, channels last: `x [N, spatial..., C]`, `filter [spatial..., C / groups, M]`, result `[N,
    spatial..., M]`.

    Reads only what is inside `x`: padding is a `nn.pad` before it. Any number of spatial dimensions. Accumulates in the
    result's element type, as `nn.matmul` does.
    """

    name = "nn.conv"
    x = operand_def(TensorType)
    filter = operand_def(TensorType)
    strides = prop_def(ArrayAttr[IntegerAttr])
    dilations = prop_def(ArrayAttr[IntegerAttr])
    groups = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$x `,` $filter `strides` $strides `dilations` $dilations `groups` $groups attr-dict "
        "`:` type($x) `,` type($filter) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(
        self,
        x: SSAValue,
        filter: SSAValue,
        strides: Sequence[int],
        dilations: Sequence[int],
        groups: int = 1,
        element: Attribute | None = None,
    ) -> None:
        x_shape, filter_shape = shape_of(x), shape_of(filter)
        spatial = [
            (size - (kernel - 1) * dilation - 1) // stride + 1
            for size, kernel, stride, dilation in zip(
                x_shape[1:-1], filter_shape[:-2], strides, dilations, strict=True
            )
        ]
        super().__init__(
            operands=[x, filter],
            properties={
                "strides": ints(strides),
                "dilations": ints(dilations),
                "groups": int_attr(groups),
            },
            result_types=[
                tensor_type(element or element_of(x), [x_shape[0], *spatial, filter_shape[-1]])
            ],
        )

    def verify_(self) -> None:
        _verify_elements(self)
        x, filter, groups = shape_of(self.x), shape_of(self.filter), self.groups.value.data
        if (
            len(x) != len(filter)
            or not same_size(x[-1], filter[-2] * groups)
            or filter[-1] % groups
        ):
            raise VerifyException(
                f"nn.conv: input {x}, filter {filter} and {groups} groups do not fit"
            )
        if any(bounds(size)[1] < 0 for size in shape_of(self.res)):
            raise VerifyException("nn.conv: the filter is larger than the input")


@irdl_op_definition
class ReduceOp(IRDLOperation):
    """Elements combined over `axes`; `keep_dims` (0 or 1) keeps those dimensions with size 1.

    Over no elements: 0, 1, -inf, +inf (the least and greatest integer), true, false in the order of REDUCTION_KINDS."""

    name = "nn.reduce"
    x = operand_def(TensorType)
    kind = prop_def(StringAttr)
    axes = prop_def(ArrayAttr[IntegerAttr])
    keep_dims = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$kind $x `axes` $axes `keep` $keep_dims attr-dict `:` type($x) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(self, kind: str, x: SSAValue, axes: Sequence[int], keep_dims: bool = True) -> None:
        shape = shape_of(x)
        axes = sorted(normalize_axis(a, len(shape)) for a in axes)
        if keep_dims:
            result = [1 if d in axes else n for d, n in enumerate(shape)]
        else:
            result = [n for d, n in enumerate(shape) if d not in axes]
        super().__init__(
            operands=[x],
            properties={
                "kind": StringAttr(kind),
                "axes": ints(axes),
                "keep_dims": int_attr(int(keep_dims)),
            },
            result_types=[tensor_type(element_of(x), result)],
        )

    def verify_(self) -> None:
        if self.kind.data not in REDUCTION_KINDS:
            raise VerifyException(f"nn.reduce: no such kind {self.kind.data}")


@irdl_op_definition
class ArgReduceOp(IRDLOperation):
    """The index (i64) of the greatest (`max`) or least (`min`) element along `axis`; of equal ones the first,
    or the last where
    `last` is 1. The dimension stays with size 1. NaN compares as in numpy: it wins."""

    name = "nn.arg_reduce"
    x = operand_def(TensorType)
    kind = prop_def(StringAttr)
    axis = prop_def(IntegerAttr)
    last = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = "$kind $x `axis` $axis `last` $last attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, kind: str, x: SSAValue, axis: int, last: bool = False) -> None:
        shape = list(shape_of(x))
        axis = normalize_axis(axis, len(shape))
        shape[axis] = 1
        super().__init__(
            operands=[x],
            properties={
                "kind": StringAttr(kind),
                "axis": int_attr(axis),
                "last": int_attr(int(last)),
            },
            result_types=[tensor_type(i64, shape)],
        )


@irdl_op_definition
class ReduceWindowOp(IRDLOperation):
    """Elements combined over a sliding window: pooling on channels-last tensors, local response normalisation.

    `window`, `strides` and `dilations` have one entry for every dimension of `x` (1 where nothing slides).
    Reads only what
    is inside `x`."""

    name = "nn.reduce_window"
    x = operand_def(TensorType)
    kind = prop_def(StringAttr)
    window = prop_def(ArrayAttr[IntegerAttr])
    strides = prop_def(ArrayAttr[IntegerAttr])
    dilations = prop_def(ArrayAttr[IntegerAttr])
    res = result_def(TensorType)
    assembly_format = (
        "$kind $x `window` $window `strides` $strides `dilations` $dilations attr-dict "
        "`:` type($x) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(
        self,
        kind: str,
        x: SSAValue,
        window: Sequence[int],
        strides: Sequence[int],
        dilations: Sequence[int] | None = None,
    ) -> None:
        dilations = dilations or [1] * len(window)
        shape = [
            (n - (w - 1) * d - 1) // s + 1
            for n, w, s, d in zip(shape_of(x), window, strides, dilations, strict=True)
        ]
        super().__init__(
            operands=[x],
            properties={
                "kind": StringAttr(kind),
                "window": ints(window),
                "strides": ints(strides),
                "dilations": ints(dilations),
            },
            result_types=[tensor_type(element_of(x), shape)],
        )

    def verify_(self) -> None:
        if self.kind.data not in REDUCTION_KINDS:
            raise VerifyException(f"nn.reduce_window: no such kind {self.kind.data}")
        if any(bounds(n)[1] < 0 for n in shape_of(self.res)) or len(int_list(self.window)) != len(
            shape_of(self.x)
        ):
            raise VerifyException("nn.reduce_window: the window does not fit the operand")


@irdl_op_definition
class SoftmaxOp(IRDLOperation):
    """exp(x) over its sum along `axis`, computed from x minus its maximum. `log` (0 or 1): the logarithm of it."""

    name = "nn.softmax"
    x = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    log = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = "$x `axis` $axis `log` $log attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, axis: int, log: bool = False) -> None:
        super().__init__(
            operands=[x],
            properties={
                "axis": int_attr(normalize_axis(axis, len(shape_of(x)))),
                "log": int_attr(int(log)),
            },
            result_types=[x.type],
        )


@irdl_op_definition
class NormalizeOp(IRDLOperation):
    """(x - mean) / sqrt(variance + epsilon) over `axes`: the core of layer, instance and group normalisation.

    `centered` 0 leaves the mean in (RMS normalisation)."""

    name = "nn.normalize"
    x = operand_def(TensorType)
    axes = prop_def(ArrayAttr[IntegerAttr])
    epsilon = prop_def(FloatAttr)
    centered = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = "$x `axes` $axes `epsilon` $epsilon `centered` $centered attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(
        self, x: SSAValue, axes: Sequence[int], epsilon: float, centered: bool = True
    ) -> None:
        rank = len(shape_of(x))
        super().__init__(
            operands=[x],
            properties={
                "axes": ints(sorted(normalize_axis(a, rank) for a in axes)),
                "epsilon": float_attr(epsilon),
                "centered": int_attr(int(centered)),
            },
            result_types=[x.type],
        )


REDUCTION_OPS = (
    MatmulOp, ConvOp, ReduceOp, ArgReduceOp, ReduceWindowOp, SoftmaxOp, NormalizeOp,
)  # fmt: skip

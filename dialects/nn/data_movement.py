"""`nn` ops that only move elements, and the sources of values."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseIntOrFPElementsAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    TensorType,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.parser import Parser
from xdsl.printer import Printer
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.nn.base import (
    IntsAttr,
    broadcast_shapes,
    float_attr,
    int_attr,
    int_list,
    ints,
    normalize_axis,
    sizes_or_ints,
)
from webdnn.dialects.sizes.expression import bounds, is_symbolic, maximum
from webdnn.dialects.sizes.questions import same_size
from webdnn.dialects.sizes.types import SizesAttr, element_of, shape_of, size_of, tensor_type


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A handle to an array of the weight store."""

    name = "nn.weight"
    key = prop_def(StringAttr)
    res = result_def(TensorType)
    assembly_format = "$key attr-dict `:` type($res)"
    traits = traits_def(Pure())

    def __init__(self, key: str, type: Attribute) -> None:
        super().__init__(properties={"key": StringAttr(key)}, result_types=[type])


@irdl_op_definition
class ConstantOp(IRDLOperation):
    """A small constant whose value is in the IR (a scalar, a splat or a few elements)."""

    name = "nn.constant"
    value = prop_def(DenseIntOrFPElementsAttr)
    res = result_def(TensorType)
    traits = traits_def(Pure())

    def __init__(self, value: DenseIntOrFPElementsAttr) -> None:
        super().__init__(properties={"value": value}, result_types=[value.type])

    def print(self, printer: Printer) -> None:
        printer.print_string(" ")
        if all(not isinstance(v, float) or isfinite(v) for v in self.value.iter_values()):
            printer.print_attribute(self.value)
        else:
            # Upstream cannot parse what it prints of NaN and infinity in a list, but it can parse bytes.
            printer.print_string(f'dense<"0x{self.value.data.data.hex().upper()}"> : ')
            printer.print_attribute(self.value.type)
        printer.print_op_attributes(self.attributes)
        printer.print_string(" : ")
        printer.print_attribute(self.res.type)

    @classmethod
    def parse(cls, parser: Parser) -> ConstantOp:
        value = parser.parse_attribute()
        if not isinstance(value, DenseIntOrFPElementsAttr):
            parser.raise_error("expected dense<...>")
        op = cls(value)
        op.attributes.update(parser.parse_optional_attr_dict())
        parser.parse_punctuation(":")
        parser.parse_type()
        return op


@irdl_op_definition
class SizesOp(IRDLOperation):
    """Sizes as a tensor of i64 of rank 1, or of rank 0 where it is one size."""

    name = "nn.sizes"
    sizes = prop_def(SizesAttr)
    res = result_def(TensorType)
    assembly_format = "$sizes attr-dict `:` type($res)"
    traits = traits_def(Pure())

    def __init__(self, sizes: Sequence[int], *, is_scalar: bool = False) -> None:
        super().__init__(
            properties={"sizes": SizesAttr(tuple(sizes))},
            result_types=[TensorType(i64, [] if is_scalar else [len(sizes)])],
        )

    def verify_(self) -> None:
        count, shape = len(self.sizes.data), shape_of(self.res)
        if element_of(self.res) != i64 or shape not in ((count,), () if count == 1 else (count,)):
            raise VerifyException(f"nn.sizes: {count} sizes are not a {self.res.type}")


@irdl_op_definition
class ReshapeOp(IRDLOperation):
    """The same elements in row-major order under another shape."""

    name = "nn.reshape"
    x = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$x attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, shape: Sequence[int]) -> None:
        super().__init__(operands=[x], result_types=[tensor_type(element_of(x), shape)])

    def verify_(self) -> None:
        if not same_size(size_of(self.x), size_of(self.res)):
            raise VerifyException(
                f"nn.reshape: {shape_of(self.x)} does not have the elements of {shape_of(self.res)}"
            )


@irdl_op_definition
class TransposeOp(IRDLOperation):
    """Dimension i of the result is dimension `permutation[i]` of the operand."""

    name = "nn.transpose"
    x = operand_def(TensorType)
    permutation = prop_def(ArrayAttr[IntegerAttr])
    res = result_def(TensorType)
    assembly_format = "$x $permutation attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, permutation: Sequence[int]) -> None:
        shape = shape_of(x)
        super().__init__(
            operands=[x],
            properties={"permutation": ints(permutation)},
            result_types=[tensor_type(element_of(x), [shape[p] for p in permutation])],
        )

    def verify_(self) -> None:
        if sorted(int_list(self.permutation)) != list(range(len(shape_of(self.x)))):
            raise VerifyException("nn.transpose: not a permutation of the dimensions")


@irdl_op_definition
class BroadcastOp(IRDLOperation):
    """The operand repeated to the result's shape by numpy's rule."""

    name = "nn.broadcast"
    x = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$x attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, shape: Sequence[int]) -> None:
        super().__init__(operands=[x], result_types=[tensor_type(element_of(x), shape)])

    def verify_(self) -> None:
        if broadcast_shapes(shape_of(self.x), shape_of(self.res)) != shape_of(self.res):
            raise VerifyException(
                f"nn.broadcast: {shape_of(self.x)} does not broadcast to {shape_of(self.res)}"
            )


@irdl_op_definition
class SliceOp(IRDLOperation):
    """Result index i reads operand index `starts + i * steps` in each dimension; steps may be negative."""

    name = "nn.slice"
    x = operand_def(TensorType)
    starts = prop_def(IntsAttr)
    steps = prop_def(ArrayAttr[IntegerAttr])
    res = result_def(TensorType)
    assembly_format = "$x `starts` $starts `steps` $steps attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(
        self, x: SSAValue, starts: Sequence[int], sizes: Sequence[int], steps: Sequence[int]
    ) -> None:
        super().__init__(
            operands=[x],
            properties={"starts": sizes_or_ints(starts), "steps": ints(steps)},
            result_types=[tensor_type(element_of(x), sizes)],
        )

    def verify_(self) -> None:
        places = zip(
            int_list(self.starts),
            int_list(self.steps),
            shape_of(self.res),
            shape_of(self.x),
            strict=True,
        )
        for start, step, size, limit in places:
            if size != 0 and not _is_inside(start, start + (size - 1) * step, size, limit):
                raise VerifyException("nn.slice reads outside its operand")


def _is_inside(first: int, last: int, size: int, limit: int) -> bool:
    """Whether elements from `first` to `last` are among `limit` ones.

    Where that depends on symbols, they are where nothing contradicts it: `size` may be 0 then, and `first` anything.
    """
    if not any(map(is_symbolic, (first, last, size, limit))):
        return 0 <= first < limit and 0 <= last < limit
    reached = (limit - 1 - first, limit - 1 - last, first, last)
    return bounds(size)[0] <= 0 or all(bounds(n)[1] >= 0 for n in reached)


@irdl_op_definition
class PadOp(IRDLOperation):
    """Elements put before (`low`), after (`high`) and between (`interior`) those of the operand.

    `mode` says what the elements outside are: `constant` (`value`), `edge` (the nearest), `reflect` (mirrored
    at the edge
    element), `wrap` (from the other end). Elements between are `value` always; `low` and `high` may be negative in mode
    `constant` (elements are cut away).
    """

    name = "nn.pad"
    x = operand_def(TensorType)
    low = prop_def(IntsAttr)
    high = prop_def(IntsAttr)
    interior = prop_def(ArrayAttr[IntegerAttr])
    mode = prop_def(StringAttr)
    value = prop_def(FloatAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$x `low` $low `high` $high `interior` $interior $mode $value attr-dict "
        "`:` type($x) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(
        self,
        x: SSAValue,
        low: Sequence[int],
        high: Sequence[int],
        *,
        interior: Sequence[int] | None = None,
        mode: str = "constant",
        value: float = 0.0,
    ) -> None:
        interior = interior or [0] * len(low)
        shape = [
            lo + hi + n + (maximum(n - 1, 0) * mid if mid else 0)
            for lo, hi, mid, n in zip(low, high, interior, shape_of(x), strict=True)
        ]
        super().__init__(
            operands=[x],
            properties={
                "low": sizes_or_ints(low),
                "high": sizes_or_ints(high),
                "interior": ints(interior),
                "mode": StringAttr(mode),
                "value": float_attr(value),
            },
            result_types=[tensor_type(element_of(x), shape)],
        )

    def verify_(self) -> None:
        if self.mode.data not in ("constant", "edge", "reflect", "wrap"):
            raise VerifyException(f"nn.pad: no such mode {self.mode.data}")


@irdl_op_definition
class ConcatOp(IRDLOperation):
    """Operands one behind another along `axis`."""

    name = "nn.concat"
    xs = var_operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = "$axis `,` $xs attr-dict `:` type($xs) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, xs: Sequence[SSAValue], axis: int) -> None:
        shape = list(shape_of(xs[0]))
        axis = normalize_axis(axis, len(shape))
        shape[axis] = sum(shape_of(x)[axis] for x in xs)
        super().__init__(
            operands=[xs],
            properties={"axis": int_attr(axis)},
            result_types=[tensor_type(element_of(xs[0]), shape)],
        )

    def verify_(self) -> None:
        axis = self.axis.value.data
        rank = len(shape_of(self.res))
        for x in self.xs:
            if len(shape_of(x)) != rank:
                raise VerifyException(f"nn.concat: {x.type} is not of rank {rank}")
            rest = [
                (a, b)
                for d, (a, b) in enumerate(zip(shape_of(x), shape_of(self.res), strict=True))
                if d != axis
            ]
            if not all(same_size(a, b) for a, b in rest) or element_of(x) != element_of(self.res):
                raise VerifyException(f"nn.concat: {x.type} does not fit {self.res.type}")


@irdl_op_definition
class GatherOp(IRDLOperation):
    """`x` read at `indices` along `axis`; the shape of `indices` takes the place of that dimension.

    A negative index counts from the end; one outside the dimension is clamped to it.
    """

    name = "nn.gather"
    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$x `,` $indices `axis` $axis attr-dict `:` type($x) `,` type($indices) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, indices: SSAValue, axis: int) -> None:
        shape = shape_of(x)
        axis = normalize_axis(axis, len(shape))
        super().__init__(
            operands=[x, indices],
            properties={"axis": int_attr(axis)},
            result_types=[
                tensor_type(element_of(x), [*shape[:axis], *shape_of(indices), *shape[axis + 1 :]])
            ],
        )


@irdl_op_definition
class GatherElementsOp(IRDLOperation):
    """Result element i is `x` at i with its index along `axis` replaced by `indices[i]` (ONNX GatherElements)."""

    name = "nn.gather_elements"
    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    axis = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$x `,` $indices `axis` $axis attr-dict `:` type($x) `,` type($indices) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, indices: SSAValue, axis: int) -> None:
        super().__init__(
            operands=[x, indices],
            properties={"axis": int_attr(normalize_axis(axis, len(shape_of(x))))},
            result_types=[tensor_type(element_of(x), shape_of(indices))],
        )


@irdl_op_definition
class GatherNDOp(IRDLOperation):
    """The slices of `x` that the last dimension of `indices` names, after `batch_dims` shared ones (ONNX GatherND)."""

    name = "nn.gather_nd"
    x = operand_def(TensorType)
    indices = operand_def(TensorType)
    batch_dims = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$x `,` $indices `batch_dims` $batch_dims attr-dict "
        "`:` type($x) `,` type($indices) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, indices: SSAValue, batch_dims: int) -> None:
        index_shape, shape = shape_of(indices), shape_of(x)
        result = [*index_shape[:-1], *shape[batch_dims + index_shape[-1] :]]
        super().__init__(
            operands=[x, indices],
            properties={"batch_dims": int_attr(batch_dims)},
            result_types=[tensor_type(element_of(x), result)],
        )


@irdl_op_definition
class IotaOp(IRDLOperation):
    """The index along `axis` at each element."""

    name = "nn.iota"
    axis = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = "$axis attr-dict `:` type($res)"
    traits = traits_def(Pure())

    def __init__(self, type: Attribute, axis: int) -> None:
        super().__init__(properties={"axis": int_attr(axis)}, result_types=[type])


@irdl_op_definition
class ResizeOp(IRDLOperation):
    """`x` resampled along every dimension (ONNX Resize, separable modes).

    Result index i of a dimension reads around position `(i + offset_in) * scale + offset_out` of the operand:
    `scale` and the two offsets
    are given a dimension. `mode` is `nearest` (`rounding`: `floor`, `ceil`, `round_prefer_floor`,
    `round_prefer_ceil`) or `linear`. Positions
    are clamped to the operand.
    """

    name = "nn.resize"
    x = operand_def(TensorType)
    scale = prop_def(ArrayAttr[FloatAttr])
    offset_in = prop_def(ArrayAttr[FloatAttr])
    offset_out = prop_def(ArrayAttr[FloatAttr])
    mode = prop_def(StringAttr)
    rounding = prop_def(StringAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$x $mode $rounding `scale` $scale `offset_in` $offset_in `offset_out` $offset_out attr-dict "
        "`:` type($x) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(
        self,
        x: SSAValue,
        shape: Sequence[int],
        *,
        scale: Sequence[float],
        offset_in: Sequence[float],
        offset_out: Sequence[float],
        mode: str,
        rounding: str = "floor",
    ) -> None:
        def floats(values: Sequence[float]) -> ArrayAttr[FloatAttr]:
            return ArrayAttr([float_attr(v) for v in values])

        super().__init__(
            operands=[x],
            properties={
                "scale": floats(scale),
                "offset_in": floats(offset_in),
                "offset_out": floats(offset_out),
                "mode": StringAttr(mode),
                "rounding": StringAttr(rounding),
            },
            result_types=[tensor_type(element_of(x), shape)],
        )


def depends_on_sizes(op: Operation) -> bool:
    """Whether what an op computes depends on symbols, not on its operands alone."""
    return any(isinstance(value, SizesAttr) for value in op.properties.values()) or any(
        isinstance(r.type, TensorType) and isinstance(r.type.encoding, SizesAttr)
        for r in op.results
    )


DATA_MOVEMENT_OPS = (
    WeightOp, ConstantOp, SizesOp, ReshapeOp, TransposeOp, BroadcastOp, SliceOp, PadOp, ConcatOp, GatherOp,
    GatherElementsOp, GatherNDOp, IotaOp, ResizeOp,
)  # fmt: skip

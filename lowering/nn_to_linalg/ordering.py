"""`nn.top_k` on integer keys.

A key is a signed integer that is less where its element comes first. Floats are read as their bits, so that NaN has a
place and comparisons do not depend on what a GPU makes of it.
"""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.builder import Builder
from xdsl.dialects import arith
from xdsl.dialects.builtin import AnyFloat, Float64Type, IntegerType, f32, i32, i64
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.kernel import RegionOp
from webdnn.dialects.linalg_ext import TopKOp
from webdnn.dialects.nn.ordering import TopKOp as NNTopKOp
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.nn_to_linalg.reduction import first_index, reduce_value
from webdnn.lowering.nn_to_linalg.region_builder import (
    RegionBuilder,
    scalar_constant,
)
from webdnn.lowering.nn_to_linalg.scalars import compare, is_unsigned, select


def key_type(element: Attribute) -> IntegerType:
    """The type of the keys of elements of an `nn` type: 64 bits only where the elements have them."""
    if isinstance(element, IntegerType):
        return i64 if element.width.data > 32 else i32
    return i64 if isinstance(element, Float64Type) else i32


def emit_key(b: Builder, element: Attribute, x: SSAValue, *, largest: bool) -> SSAValue:
    """The key of an element; `element` is its `nn` type (with its sign)."""
    type = key_type(element)
    least = -(1 << type.width.data - 1)
    if isinstance(element, AnyFloat):
        key = _key_of_float(b, x, type)
    else:
        assert isinstance(element, IntegerType)
        key = x
        if element.width.data < type.width.data:
            extend = arith.ExtUIOp if is_unsigned(element) else arith.ExtSIOp
            key = b.insert(extend(x, type)).result
        elif is_unsigned(element):
            key = b.insert(arith.XOrIOp(x, scalar_constant(b, least, type))).result
    return b.insert(arith.XOrIOp(key, scalar_constant(b, -1, type))).result if largest else key


def _key_of_float(b: Builder, x: SSAValue, type: IntegerType) -> SSAValue:
    """Bits without the sign, negated where it is set: so -0 and 0 are one key. All NaNs are another one, above all."""
    assert isinstance(x.type, AnyFloat)
    narrow = x.type.bitwidth < 32
    wide = b.insert(arith.ExtFOp(x, f32)).result if narrow else x
    bits = b.insert(arith.BitcastOp(wide, type)).result
    most = (1 << type.width.data - 1) - 1
    infinity = 0x7F800000 if type == i32 else 0x7FF0000000000000
    size = b.insert(arith.AndIOp(bits, scalar_constant(b, most, type))).result
    zero = scalar_constant(b, 0, type)
    negated = b.insert(arith.SubiOp(zero, size)).result
    ordered = select(b, compare(b, "lt", bits, zero, False), negated, size)
    is_nan = compare(b, "gt", size, scalar_constant(b, infinity, type), False)
    return select(b, is_nan, scalar_constant(b, most, type), ordered)


def keys_region(op: NNTopKOp, element: Attribute, r: RegionBuilder) -> RegionOp:
    """The keys of the operand, a matrix."""
    return r.finish(_keys(op, element, r))


def _keys(op: NNTopKOp, element: Attribute, r: RegionBuilder) -> SSAValue:
    (x,) = r.args
    largest = bool(op.largest.value.data)

    def body(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
        return emit_key(b, element, args[0], largest=largest)

    return r.elementwise([x], shape_of(x), key_type(element), body)


def top_k_region(op: NNTopKOp, r: RegionBuilder) -> RegionOp:
    """The positions of the first keys."""
    (keys,) = r.args
    return r.finish(r.builder.insert(TopKOp(keys, op.k.value.data)).res)


def indices_region(r: RegionBuilder) -> RegionOp:
    """Positions as indices, of 64 bits."""
    (positions,) = r.args
    return r.finish(
        r.elementwise(
            [positions],
            shape_of(positions),
            i64,
            lambda b, args: b.insert(arith.ExtSIOp(args[0], i64)).result,
        )
    )


def first_region(op: NNTopKOp, element: Attribute, r: RegionBuilder) -> RegionOp:
    """The index of the first key alone: the least key, then the least index at which it stands."""
    keys = _keys(op, element, r)
    least = reduce_value(r, "min", keys, [1], key_type(element))

    def is_least(b: Builder, key: SSAValue, best: SSAValue) -> SSAValue:
        return compare(b, "eq", key, best, False)

    return r.finish(first_index(r, keys, least, 1, is_least))

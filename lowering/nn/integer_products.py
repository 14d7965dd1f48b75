"""`integer-products`: convolutions and matrix products of dequantised floats, in integers.

    conv(x * s, w * t)   becomes   conv(x, w) * (s * t)

where `x` and `w` are integers as floats, `s` is one number and `t` one number an output channel, both known now.
Products of integers are exact, those of floats were rounded. Dequantisation moves down through all that works on
integers as well (padding, maximum over a window, ReLU, movement of data), until it meets such an op or a quantisation
with the same scale, with which it cancels.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp, f32, i32
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.dtypes import dense_attr, is_integer
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.nn.base import float_attr, int_list
from webdnn.dialects.sizes.types import element_of, shape_of, size_of, tensor_type
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.lowering.integer_range import FACTOR, fits
from webdnn.lowering.nn.fold_channel_affine import static_values
from webdnn.lowering.nn.integer_ranges import Ranges
from webdnn.lowering.nn.recognize_normalize import erase_dead_ops, number_of
from webdnn.lowering.weights_function import entry_function


@dataclass(frozen=True)
class IntegerProducts(ModulePass):
    """See the module's docstring."""

    name = "integer-products"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _Rewriter(entry_function(op).body.block, weights_of(op)).run()


@dataclass(frozen=True)
class Scaled:
    """A tensor of floats as `whole * scale`: integers, and what broadcasts against them."""

    whole: SSAValue
    scale: SSAValue


class _Rewriter:
    def __init__(self, block: Block, weights: WeightStore) -> None:
        self.block = block
        self.static = static_values(block)
        self.ranges = Ranges(weights)
        self.found: dict[SSAValue, Scaled | None] = {}

    def run(self) -> None:
        for op in list(self.block.ops):
            if isinstance(op, rd.ConvOp | rd.MatmulOp):
                self.visit_product(op)
            elif isinstance(op, ew.RoundOp):
                self.visit_round(op)
        erase_dead_ops(self.block)

    def insert_after(self, op: Operation, place: Operation) -> SSAValue:
        op.location = place.location
        Rewriter.insert_op(op, InsertPoint.after(place))
        if isinstance(op, dm.ConstantOp) or all(v in self.static for v in op.operands):
            self.static.update(op.results)
        return op.results[0]

    def insert_before(self, op: Operation, place: Operation) -> SSAValue:
        result = self.insert_after(op, place)
        op.detach()
        Rewriter.insert_op(op, InsertPoint.before(place))
        return result

    # dequantisation

    def scaled(self, value: SSAValue) -> Scaled | None:
        """A tensor of floats as integers with a scale that is known now, where it is made so."""
        if value not in self.found:
            self.found[value] = self._scaled(value)
        return self.found[value]

    def _scaled(self, value: SSAValue) -> Scaled | None:
        op = value.owner
        if isinstance(op, ew.MulOp):
            for x, scale in ((op.lhs, op.rhs), (op.rhs, op.lhs)):
                if scale in self.static and (whole := _whole(x)) is not None:
                    return Scaled(whole, scale) if shape_of(x) == shape_of(value) else None
            return None
        if not isinstance(op, Operation) or not op.operands:
            return None
        if not _keeps_scale(op):
            return None
        border = _border(op)
        inner = self.scaled(op.operands[0] if border is None else border.x)
        if inner is None:
            return None
        if isinstance(op, dm.TransposeOp) and len(shape_of(inner.scale)) == len(shape_of(value)):
            scale = self.insert_after(dm.TransposeOp(inner.scale, int_list(op.permutation)), op)
            return Scaled(self.moved(op, inner.whole), scale)
        if size_of(inner.scale) != 1:
            return None
        if isinstance(op, ew.ReluOp | rd.ReduceWindowOp) and not (number_of(inner.scale) or 0) > 0:
            return None
        whole = inner.whole
        if border is not None:  # no element is less, so the maximum is one of the others
            whole = self.moved(border, whole, value=float_attr(self.ranges.of(whole)[0]))
        return Scaled(self.moved(op, whole), inner.scale)

    def moved(self, op: Operation, whole: SSAValue, **changed: Attribute) -> SSAValue:
        """What `op` does to floats, done to the integers that they stand for."""
        (result,) = op.results
        new = type(op).create(
            operands=[whole, *op.operands[1:]],
            result_types=[tensor_type(element_of(whole), shape_of(result))],
            properties={**op.properties, **changed},
        )
        return self.insert_after(new, op)

    # what becomes of it

    def visit_round(self, op: ew.UnaryOp) -> None:
        """`round(x * s / s)` is x."""
        division = op.x.owner
        if not isinstance(division, ew.DivOp) or not (number := number_of(division.rhs)):
            return
        if isinstance(division.lhs.owner, ew.AddOp):
            self.divide_terms(division, division.lhs.owner)
            return
        source = self.scaled(division.lhs)
        if source is None or number_of(source.scale) != number or not number > 0:
            return
        if shape_of(division.lhs) == shape_of(op.res) and fits(
            self.ranges.of(source.whole), FACTOR
        ):
            op.res.replace_all_uses_with(self.insert_after(ew.CastOp(source.whole, f32), op))
            Rewriter.erase_op(op)

    def divide_terms(self, division: ew.BinaryOp, sum: ew.BinaryOp) -> None:
        """`(x * s + y * t) / u` is `x * (s / u) + y * (t / u)`: a sum of quantised tensors, without a division."""
        terms = [self.scaled(v) for v in (sum.lhs, sum.rhs)]
        if sum.res.get_user_of_unique_use() is not division:
            return
        products: list[SSAValue] = []
        for term in terms:
            if term is None or size_of(term.scale) != 1 or number_of(term.scale) is None:
                return
        for term in terms:
            assert term is not None
            value = self.insert_before(ew.CastOp(term.whole, f32), division)
            scale = self.insert_before(quotient(term.scale, division.rhs), division)
            products.append(self.insert_before(ew.MulOp(value, scale), division))
        division.res.replace_all_uses_with(self.insert_before(ew.AddOp(*products), division))
        Rewriter.erase_op(division)

    def visit_product(self, op: rd.ConvOp | rd.MatmulOp) -> None:
        x, filter = op.operands
        if element_of(op.res) != f32 or filter not in self.static:
            return
        lhs, rhs = self.scaled(x), self.scaled(filter)
        if lhs is None or rhs is None or size_of(lhs.scale) != 1:
            return
        channels = shape_of(op.res)[-1]
        if (
            size_of(rhs.scale) != 1
            and not size_of(rhs.scale) == channels == shape_of(rhs.scale)[-1]
        ):
            return
        if not all(fits(self.ranges.of(v.whole), FACTOR) for v in (lhs, rhs)):
            return
        product = self.insert_before(self.in_integers(op, lhs.whole, rhs.whole), op)
        scales: list[SSAValue] = []
        for scale in (lhs.scale, rhs.scale):
            shape = [] if size_of(scale) == 1 else [channels]
            reshaped = scale
            if shape_of(scale) != tuple(shape):
                reshaped = self.insert_before(dm.ReshapeOp(scale, shape), op)
            scales.append(reshaped)
        scale = self.insert_before(ew.MulOp(*scales), op)
        value = self.insert_before(ew.CastOp(product, f32), op)
        result = self.insert_before(ew.MulOp(value, scale), op)
        result.name_hint = op.res.name_hint
        op.res.replace_all_uses_with(result)
        Rewriter.erase_op(op)

    def in_integers(
        self, op: rd.ConvOp | rd.MatmulOp, lhs: SSAValue, rhs: SSAValue
    ) -> rd.ConvOp | rd.MatmulOp:
        """The product of integers in 32 bits."""
        lhs, rhs = (
            v if element_of(v) == i32 else self.insert_before(ew.CastOp(v, i32), op)
            for v in (lhs, rhs)
        )
        if isinstance(op, rd.MatmulOp):
            return rd.MatmulOp(lhs, rhs)
        strides, dilations = int_list(op.strides), int_list(op.dilations)
        return rd.ConvOp(lhs, rhs, strides, dilations, op.groups.value.data)


def quotient(lhs: SSAValue, rhs: SSAValue) -> dm.ConstantOp:
    """The quotient of two numbers that are known now."""
    numbers = [np.float32(number_of(v) or 0) for v in (lhs, rhs)]
    return dm.ConstantOp(dense_attr(np.asarray(numbers[0] / numbers[1], np.float32)))


def _whole(value: SSAValue) -> SSAValue | None:
    """The integers that floats are cast from."""
    op = value.owner
    if isinstance(op, ew.CastOp) and element_of(value) == f32 and is_integer(element_of(op.x)):
        return op.x
    return None


def _keeps_scale(op: Operation) -> bool:
    """Whether an op on `x * s` is the same op on x, times s."""
    match op:
        case dm.PadOp():
            return op.mode.data != "constant" or op.value.value.data == 0
        case rd.ReduceWindowOp():
            return op.kind.data == "max"
        case _:
            return isinstance(op, dm.ReshapeOp | dm.TransposeOp | dm.SliceOp | ew.ReluOp)


def _border(op: Operation) -> dm.PadOp | None:
    """The border of minus infinity around the operand of a maximum over a window, if there is one."""
    if not isinstance(op, rd.ReduceWindowOp) or not isinstance(pad := op.x.owner, dm.PadOp):
        return None
    return pad if pad.mode.data == "constant" and pad.value.value.data == -inf else None

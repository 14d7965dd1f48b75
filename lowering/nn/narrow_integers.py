"""`narrow-integers`: factors of integer products in as few bits as they need, and quantised tensors as such factors.

Quantised models take the zero point off in 32 bits before they multiply. What is left of 8 bits less a zero point fits
16 bits, so that a CPU has an instruction for the product, padding is zeros, and nobody needs the zero point any more:

    max(min(round(x / s) + z, 255), 0) as ui8, less z   becomes   max(min(round(x / s), 255 - z), -z) as i16

which is the same number (but for NaN, of which ONNX does not say what it becomes). Factors that are weights become i8
where their type says that they fit, else i16. Every reader of a quantised tensor gets this form; where nobody reads the
8 bits any more, they are not made.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import IntegerType, ModuleOp, f32, i8, i16, i32
from xdsl.ir import Block, Operation, SSAValue
from xdsl.passes import ModulePass
from xdsl.rewriter import InsertPoint, Rewriter

from webdnn.dialects.dtypes import dense_attr, is_integer
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.sizes.types import element_of, shape_of, size_of, tensor_type
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.lowering.integer_range import Range, fits
from webdnn.lowering.nn.fold_channel_affine import static_values
from webdnn.lowering.nn.integer_ranges import MOVES, Ranges
from webdnn.lowering.nn.recognize_normalize import erase_dead_ops, number_of
from webdnn.lowering.weights_function import entry_function

NARROW: tuple[tuple[IntegerType, Range], ...] = ((i8, (-128, 127)), (i16, (-32768, 32767)))


@dataclass(frozen=True)
class NarrowIntegers(ModulePass):
    """See the module's docstring."""

    name = "narrow-integers"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        _Narrower(entry_function(op).body.block, weights_of(op)).run()


@dataclass(frozen=True)
class Quantised:
    """`max(min(moved, high), low)`, cast to 8 bits: `moved` is `rounded + zero_point`, `rounded` are floats without a
    fraction."""

    rounded: SSAValue
    zero_point: SSAValue | None
    moved: SSAValue
    low: float
    high: float


class _Narrower:
    def __init__(self, block: Block, weights: WeightStore) -> None:
        self.block = block
        self.static = static_values(block)
        self.ranges = Ranges(weights)
        self.found: dict[SSAValue, SSAValue | None] = {}
        self.made: dict[SSAValue, SSAValue] = {}
        """Narrow integers that were quantised here, and what they are a cast of."""
        self.quantised: dict[tuple[SSAValue, float | SSAValue | None], SSAValue] = {}

    def run(self) -> None:
        for op in list(self.block.ops):
            if isinstance(op, rd.ConvOp | rd.MatmulOp) and element_of(op.res) == i32:
                self.visit_product(op)
            elif isinstance(op, ew.CastOp) and element_of(op.res) == f32:
                self.visit_cast(op)
        erase_dead_ops(self.block)
        for narrow, wide in self.made.items():
            reader = narrow.get_user_of_unique_use()
            if isinstance(reader, ew.CastOp):  # it is dequantised at once, and nobody keeps it
                reader.operands[0] = wide
        erase_dead_ops(self.block)

    def visit_product(self, op: rd.ConvOp | rd.MatmulOp) -> None:
        lhs, rhs = (self.narrow(v) for v in op.operands)
        if lhs is not None and rhs is not None:
            op.operands[0], op.operands[1] = lhs, rhs

    def visit_cast(self, op: ew.CastOp) -> None:
        """A dequantisation reads the narrow form too."""
        if element_of(op.x) == i32 and op.x not in self.static:
            narrow = self.narrow(op.x)
            if narrow is not None:
                op.operands[0] = narrow

    def insert(self, op: Operation, place: Operation) -> SSAValue:
        """Put a new op behind `place`."""
        op.location = place.location
        Rewriter.insert_op(op, InsertPoint.after(place))
        if op.operands and all(v in self.static for v in op.operands):
            self.static.update(op.results)
        return op.results[0]

    def narrow(self, value: SSAValue) -> SSAValue | None:
        """The same integers in 8 or 16 bits, with a sign; None where they may not fit."""
        if value not in self.found:
            self.found[value] = self._narrow(value)
        return self.found[value]

    def _narrow(self, value: SSAValue) -> SSAValue | None:
        extent = self.ranges.of(value)
        op = value.owner
        fitting = [type for type, range in NARROW if fits(extent, range)]
        if not fitting or not isinstance(op, Operation):
            return None
        if value in self.static:
            return self.insert(ew.CastOp(value, fitting[0]), op)
        narrow = self._narrow_moved(op) or self._narrow_quantised(op)
        if narrow is None:
            source = op.x if isinstance(op, ew.CastOp) and element_of(op.x) in (i8, i16) else value
            narrow = (
                source if element_of(source) == i16 else self.insert(ew.CastOp(source, i16), op)
            )
        self.ranges.known[narrow] = extent
        return narrow

    def _narrow_moved(self, op: Operation) -> SSAValue | None:
        """Data movement and maxima of narrow integers."""
        is_max = isinstance(op, rd.ReduceWindowOp) and op.kind.data in ("max", "min")
        is_pad = isinstance(op, dm.PadOp) and (
            op.mode.data != "constant" or abs(op.value.value.data) < 1 << 15
        )
        if not (is_max or is_pad or isinstance(op, (*MOVES, ew.ReluOp))):
            return None
        source = self.narrow(op.operands[0])
        if source is None or element_of(source) != i16:
            return None
        (result,) = op.results
        new = type(op).create(
            operands=[source, *op.operands[1:]],
            result_types=[tensor_type(i16, shape_of(result))],
            properties=op.properties,
        )
        return self.insert(new, op)

    def _narrow_quantised(self, op: Operation) -> SSAValue | None:
        """What is quantised here, less its zero point."""
        taken: SSAValue | None = None
        source = op
        if isinstance(op, ew.SubOp):
            taken, source = op.rhs, op.lhs.owner
        if not isinstance(source, ew.CastOp) or not isinstance(maker := source.x.owner, ew.CastOp):
            return None
        quantised = _quantised(source.x)
        if quantised is None:
            return None
        number = 0.0 if taken is None else number_of(taken)
        key = (source.x, _origin(taken) if number is None else number)
        if key not in self.quantised:
            made = self._without_zero_point(quantised, taken, number, maker)
            if made is None:
                return None
            self.quantised[key] = made
        return self.quantised[key]

    def _without_zero_point(
        self, q: Quantised, taken: SSAValue | None, number: float | None, place: Operation
    ) -> SSAValue | None:
        """The number that is quantised, less `taken` (`number`, if it is known now), which is its zero point."""
        added = 0.0 if q.zero_point is None else number_of(q.zero_point)
        if number is not None and added is not None:
            if added != number:
                return None
            low, high = int(q.low - number), int(q.high - number)
            cast = q.rounded.owner
            source = cast.x if isinstance(cast, ew.CastOp) and element_of(cast.x) == i16 else None
            if source is not None and fits(self.ranges.of(source), (low, high)):
                return source
            last = self._bounded(q.rounded, low, high, place)
        else:
            if taken is None or q.zero_point is None or _origin(taken) is not _origin(q.zero_point):
                return None
            bounded = self._bounded(q.moved, int(q.low), int(q.high), place)
            zero_point = ew.CastOp(q.zero_point, i32)
            self.insert(zero_point, bounded)
            last = ew.SubOp(bounded.res, zero_point.res)
            self.insert(last, zero_point)
        narrow = self.insert(ew.CastOp(last.res, i16), last)
        self.made[narrow] = last.res
        return narrow

    def _bounded(self, value: SSAValue, low: int, high: int, place: Operation) -> ew.BinaryOp:
        """Floats without a fraction as integers within bounds: cast first, as WebAssembly bounds integers faster."""
        cast = ew.CastOp(value, i32)
        self.insert(cast, place)
        last: ew.CastOp | ew.BinaryOp = cast
        for make, bound in ((ew.MaxOp, low), (ew.MinOp, high)):
            constant = dm.ConstantOp(dense_attr(np.asarray(bound, np.int32)))
            self.insert(constant, last)
            self.static.add(constant.res)
            last = make(last.res, constant.res)
            self.insert(last, constant)
        assert isinstance(last, ew.BinaryOp)
        return last


def _origin(value: SSAValue | None) -> SSAValue | None:
    """The integers of 8 bits that a value is a cast and a reshape of."""
    while value is not None and isinstance(value.owner, ew.CastOp | dm.ReshapeOp):
        element = element_of(value)
        if isinstance(element, IntegerType) and element.width.data == 8:
            break
        value = value.owner.x
    return value


def _quantised(value: SSAValue) -> Quantised | None:
    """A tensor that is quantised to integers from floats."""
    cast = value.owner
    if not isinstance(cast, ew.CastOp) or element_of(cast.x) != f32:
        return None
    least = cast.x.owner
    if not isinstance(least, ew.MinOp) or (high := number_of(least.rhs)) is None:
        return None
    greatest = least.lhs.owner
    if not isinstance(greatest, ew.MaxOp) or (low := number_of(greatest.rhs)) is None:
        return None
    moved = rounded = greatest.lhs
    zero_point = None
    if isinstance(moved.owner, ew.AddOp):
        rounded, zero_point = moved.owner.lhs, moved.owner.rhs
        if size_of(zero_point) != 1:
            return None
    maker = rounded.owner
    is_whole = isinstance(maker, ew.RoundOp) or (
        isinstance(maker, ew.CastOp) and is_integer(element_of(maker.x))
    )
    if not is_whole or shape_of(rounded) != shape_of(value):
        return None
    return Quantised(rounded, zero_point, moved, low, high)

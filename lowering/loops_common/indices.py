"""Indices that may differ between the lanes of a vector, and arithmetic on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xdsl.dialects import arith
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, VectorType, i32
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.linear import Division, Lin, Remainder, is_never_negative

Idx = Lin | tuple[Lin, ...]
"""An index: linear in the lanes, or one expression for each lane."""


def lane_of(index: Idx, lane: int) -> Lin:
    """The index of one lane."""
    return index.at_lane(lane) if isinstance(index, Lin) else index[lane]


def same(a: Lin, b: Lin) -> bool:
    """Whether two indices are equal in their first lane, whatever the values in them."""
    return a.const == b.const and a.terms == b.terms


class Indices:
    """Arithmetic on the indices of `width` lanes; what is not linear becomes ops of the emitter."""

    def __init__(self, emitter: Emitter, width: int) -> None:
        self.emitter = emitter
        self.width = width

    def divide(self, index: Idx, division: Division) -> Idx:
        """What a quotient or a remainder is where its form is `index`."""
        if isinstance(index, Lin) and not index.is_uniform:
            parts = index.divide(division.divisor, self.width)
            if parts is not None:
                return parts[isinstance(division, Remainder)]
        if isinstance(index, tuple) or not index.is_uniform:
            return self._per_lane([index], lambda forms: self._divide_one(forms[0], division))
        return self._divide_one(index, division)

    def _divide_one(self, form: Lin, division: Division) -> Lin:
        if not is_never_negative(division.form):
            value, divisor = self.emitter.value(form), self.emitter.divisor(division.divisor)
            quotient = Lin.of(self.emitter.binary(arith.FloorDivSIOp, value, divisor))
            return (
                form - quotient * division.divisor if isinstance(division, Remainder) else quotient
            )
        if isinstance(division, Remainder):
            return self.emitter.remainder(form, division.divisor)
        return self.emitter.divide(form, division.divisor)[0]

    def add(self, a: Idx, b: Idx) -> Idx:
        """The sum of two indices."""
        if isinstance(a, Lin) and isinstance(b, Lin):
            return a + b
        return self._per_lane([a, b], lambda lins: lins[0] + lins[1])

    def scale(self, a: Idx, factor: int) -> Idx:
        """A multiple of an index."""
        return a * factor if isinstance(a, Lin) else tuple(lane * factor for lane in a)

    def _per_lane(
        self, operands: Sequence[Idx], function: Callable[[Sequence[Lin]], Lin]
    ) -> tuple[Lin, ...]:
        return tuple(function([lane_of(o, lane) for o in operands]) for lane in range(self.width))

    def vector(self, index: Idx) -> SSAValue:
        """An index that differs between lanes, as a vector of i32."""
        emitter = self.emitter
        if isinstance(index, Lin) and is_symbolic(index.lane):
            index = tuple(index.at_lane(lane) for lane in range(self.width))
        if isinstance(index, tuple):
            lanes = [self.to_int(emitter.value(i), i32) for i in index]
            return emitter.pack(lanes)
        base = self.to_int(emitter.value(index.at_lane(0)), i32)
        vector_type = VectorType(i32, [self.width])
        steps = [index.lane * lane for lane in range(self.width)]
        dense = DenseIntOrFPElementsAttr.from_list(vector_type, steps)
        offsets = emitter.pure(("constant", dense), (), lambda: arith.ConstantOp(dense))
        return emitter.binary(arith.AddiOp, emitter.splat(base, self.width), offsets)

    def to_int(self, value: SSAValue, type: Attribute) -> SSAValue:
        """An index as an integer of a type, or an integer as an index."""
        return self.emitter.pure(
            ("index_cast", type), (value,), lambda: arith.IndexCastOp(value, type)
        )

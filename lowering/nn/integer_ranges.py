"""Which integers a tensor can hold, as far as its making tells."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Operation, SSAValue

from webdnn.dialects.dtypes import array_of_dense, is_integer, numpy_dtype
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.sizes.types import element_of, size_of
from webdnn.dialects.weight_store import WeightStore
from webdnn.lowering.integer_range import Range, fits

LOOKED_AT = 1 << 14
"""Weights of at most so many elements are looked at; of larger ones the type alone says what they may hold, so that the
compiled program does not depend on their values."""

MOVES = (dm.ReshapeOp, dm.TransposeOp, dm.SliceOp, dm.BroadcastOp)
"""Ops that hold some elements of their one operand, and no others."""


def type_range(value: SSAValue) -> Range:
    """All that the element type can hold."""
    element = element_of(value)
    if isinstance(element, IntegerType) and element.width.data == 1:
        return 0, 1
    limits = np.iinfo(numpy_dtype(element))
    return int(limits.min), int(limits.max)


@dataclass
class Ranges:
    """Ranges of integer values; `weights` holds the arrays that handles name, where they are at hand."""

    weights: WeightStore
    known: dict[SSAValue, Range] = field(default_factory=dict[SSAValue, Range])

    def of(self, value: SSAValue) -> Range:
        """The range of an integer tensor."""
        if value not in self.known:
            found, whole = self._of(value), type_range(value)
            self.known[value] = found if found is not None and fits(found, whole) else whole
        return self.known[value]

    def _of(self, value: SSAValue) -> Range | None:
        op = value.owner
        match op:
            case dm.ConstantOp():
                return _extent(array_of_dense(op.value))
            case dm.WeightOp():
                key = op.key.data
                if size_of(value) <= LOOKED_AT and key in self.weights:
                    return _extent(self.weights[key])
            case ew.CastOp() if is_integer(element_of(op.x)):
                return self.of(op.x)
            case ew.SubOp():
                lhs, rhs = self.of(op.lhs), self.of(op.rhs)
                return lhs[0] - rhs[1], lhs[1] - rhs[0]
            case ew.ReluOp():
                low, high = self.of(op.x)
                return max(low, 0), max(high, 0)
            case dm.PadOp() if op.mode.data == "constant":
                low, high = self.of(op.x)
                number = int(op.value.value.data)
                return min(low, number), max(high, number)
            case rd.ReduceWindowOp() if op.kind.data in ("max", "min"):
                return self.of(op.x)
            case Operation() if isinstance(op, MOVES):
                return self.of(op.operands[0])
            case _:
                pass
        return None


def _extent(array: np.ndarray) -> Range | None:
    return (int(array.min()), int(array.max())) if array.size else None

"""What a target can do with vectors, and scalar ops done on vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerType, VectorType
from xdsl.ir import Attribute, Operation, SSAValue

from webdnn.dialects import vector_ext
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.expression import Load
from webdnn.lowering.loops_common.linear import Dim

_CASTS: dict[type[Operation], type[vector_ext.SIToFPOp | vector_ext.TruncIOp]] = {
    arith.SIToFPOp: vector_ext.SIToFPOp,
    arith.UIToFPOp: vector_ext.UIToFPOp,
    arith.FPToSIOp: vector_ext.FPToSIOp,
    arith.FPToUIOp: vector_ext.FPToUIOp,
    arith.ExtSIOp: vector_ext.ExtSIOp,
    arith.ExtUIOp: vector_ext.ExtUIOp,
    arith.TruncIOp: vector_ext.TruncIOp,
}  # pyright: ignore[reportAssignmentType]


class VectorUnit(Protocol):
    """What a target can do with vectors. What it cannot is done for each lane by itself."""

    def holds(self, type: Attribute) -> bool:
        """Whether there are vectors of this type (of type index: whether lanes may be numbered in a vector)."""
        ...

    def maps(self, op: Operation) -> bool:
        """Whether an op can be done on vectors."""
        ...

    def loads(self, load: Load, lane: Dim, width: int) -> bool:
        """Whether neighbours in memory that lie along `lane` can be loaded as a vector."""
        ...


def vector_op(
    emitter: Emitter, op: Operation, values: Sequence[SSAValue], type: VectorType
) -> SSAValue:
    """The op on vectors that does what `op` does on scalars; the condition of a select may be one for all lanes."""
    match op:
        case arith.CmpfOp() | arith.CmpiOp():
            number = op.predicate.value.data
            if isinstance(op, arith.CmpfOp):
                cls, name = vector_ext.CmpFOp, vector_ext.FLOAT_PREDICATES[number]
            else:
                cls, name = vector_ext.CmpIOp, vector_ext.INTEGER_PREDICATES[number]
            return emitter.pure((cls, name), values, lambda: cls(name, values[0], values[1]))
        case arith.SelectOp() if isinstance(values[0].type, VectorType):
            select = vector_ext.SelectOp
            return emitter.pure(select, values, lambda: select(*values))
        case _ if (cast := _CASTS.get(op.__class__)) is not None:
            return emitter.pure((cast, type), values, lambda: cast(values[0], type))
        case _:
            return emitter.like(op, values, type)


def resized(emitter: Emitter, value: SSAValue, type: VectorType) -> SSAValue:
    """A vector of signed integers as one of other integers."""
    assert isinstance(value.type, VectorType)
    old, new = value.type.element_type, type.element_type
    if old == new:
        return value
    assert isinstance(old, IntegerType)
    assert isinstance(new, IntegerType)
    cast = vector_ext.ExtSIOp if new.width.data > old.width.data else vector_ext.TruncIOp
    return emitter.pure((cast, type), (value,), lambda: cast(value, type))

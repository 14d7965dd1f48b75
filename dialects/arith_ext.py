"""What MLIR's `arith` has and xDSL's lacks.

The name and the meaning are MLIR's, so the dialect can go the day that upstream has the op.
"""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import AnyFloatConstr, VectorType
from xdsl.ir import Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure


@irdl_op_definition
class RemFOp(IRDLOperation):
    """`arith.remf`: the remainder of `lhs / rhs`, with the sign of `lhs`, exactly (C's `fmod`), of floats or vectors of
    them.

    NaN where `lhs` is infinite, where `rhs` is 0, and where either is NaN; `lhs` where `rhs` alone is infinite.
    """

    name = "arith_ext.remf"
    T: ClassVar = VarConstraint("T", AnyFloatConstr | VectorType.constr(AnyFloatConstr))
    lhs = operand_def(T)
    rhs = operand_def(T)
    result = result_def(T)

    assembly_format = "$lhs `,` $rhs attr-dict `:` type($result)"
    traits = traits_def(Pure())

    def __init__(self, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(operands=[lhs, rhs], result_types=[lhs.type])


ArithExt = Dialect("arith_ext", [RemFOp])

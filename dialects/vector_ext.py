"""What xDSL's `arith` says of scalars only, for one-dimensional vectors.

Comparisons, select and conversions. In MLIR these are the same `arith` ops; xDSL 0.74 constrains
them to scalars. Names and meaning are those of `arith`, so the dialect can go the day that upstream
accepts vectors. A truth value is a `vector<Nxi1>`.
"""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from xdsl.dialects.builtin import (
    I1,
    AnyFloatConstr,
    IndexTypeConstr,
    SignlessIntegerConstraint,
    StringAttr,
    VectorType,
    i1,
    i16,
    i32,
)
from xdsl.ir import Attribute, Dialect, SSAValue
from xdsl.irdl import (
    AnyAttr,
    EqAttrConstraint,
    IRDLOperation,
    VarConstraint,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

INTEGER_PREDICATES = ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge")
FLOAT_PREDICATES = (
    "false", "oeq", "ogt", "oge", "olt", "ole", "one", "ord",
    "ueq", "ugt", "uge", "ult", "ule", "une", "uno", "true",
)  # fmt: skip


class _CompareOp(IRDLOperation, ABC):
    PREDICATES: ClassVar[tuple[str, ...]] = ()

    predicate = prop_def(StringAttr)
    res = result_def(VectorType[I1])

    assembly_format = "$predicate $lhs `,` $rhs attr-dict `:` type($lhs) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, predicate: str, lhs: SSAValue, rhs: SSAValue) -> None:
        assert isinstance(lhs.type, VectorType)
        super().__init__(
            operands=[lhs, rhs],
            result_types=[VectorType(i1, lhs.type.shape)],
            properties={"predicate": StringAttr(predicate)},
        )

    def verify_(self) -> None:
        if self.predicate.data not in self.PREDICATES:
            raise VerifyException(f"{self.name}: unknown predicate {self.predicate.data}")
        lhs, res = self.operands[0].type, self.res.type
        assert isinstance(lhs, VectorType)
        if lhs.shape != res.shape:
            raise VerifyException(f"{self.name}: operands and result differ in their shape")


@irdl_op_definition
class CmpIOp(_CompareOp):
    """`arith.cmpi` on vectors; `predicate` is one of `INTEGER_PREDICATES`."""

    name = "vector_ext.cmpi"
    PREDICATES: ClassVar = INTEGER_PREDICATES
    T: ClassVar = VarConstraint("T", VectorType.constr(SignlessIntegerConstraint | IndexTypeConstr))
    lhs = operand_def(T)
    rhs = operand_def(T)


@irdl_op_definition
class CmpFOp(_CompareOp):
    """`arith.cmpf` on vectors; `predicate` is one of `FLOAT_PREDICATES`."""

    name = "vector_ext.cmpf"
    PREDICATES: ClassVar = FLOAT_PREDICATES
    T: ClassVar = VarConstraint("T", VectorType.constr(AnyFloatConstr))
    lhs = operand_def(T)
    rhs = operand_def(T)


@irdl_op_definition
class SelectOp(IRDLOperation):
    """Element by element: `lhs` where the condition is true, else `rhs`."""

    name = "vector_ext.select"
    T: ClassVar = VarConstraint("T", AnyAttr())

    cond = operand_def(VectorType[I1])
    lhs = operand_def(T)
    rhs = operand_def(T)
    res = result_def(T)

    assembly_format = "$cond `,` $lhs `,` $rhs attr-dict `:` type($cond) `,` type($res)"
    traits = traits_def(Pure())

    def __init__(self, cond: SSAValue, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(operands=[cond, lhs, rhs], result_types=[lhs.type])

    def verify_(self) -> None:
        cond, res = self.cond.type, self.res.type
        assert isinstance(cond, VectorType)
        if not isinstance(res, VectorType) or cond.shape != res.shape:
            raise VerifyException("vector_ext.select: condition and result differ in their shape")


_Integers = VectorType.constr(SignlessIntegerConstraint | IndexTypeConstr)
_Floats = VectorType.constr(AnyFloatConstr)


class _CastOp(IRDLOperation, ABC):
    res = result_def(VectorType)

    assembly_format = "$input attr-dict `:` type($input) `to` type($res)"
    traits = traits_def(Pure())

    def __init__(self, input: SSAValue, type: Attribute) -> None:
        super().__init__(operands=[input], result_types=[type])

    def verify_(self) -> None:
        source, res = self.operands[0].type, self.res.type
        assert isinstance(source, VectorType)
        if source.shape != res.shape:
            raise VerifyException(f"{self.name}: operand and result differ in their shape")


@irdl_op_definition
class SIToFPOp(_CastOp):
    """`arith.sitofp` on vectors."""

    name = "vector_ext.sitofp"
    input = operand_def(_Integers)


@irdl_op_definition
class UIToFPOp(_CastOp):
    """`arith.uitofp` on vectors."""

    name = "vector_ext.uitofp"
    input = operand_def(_Integers)


@irdl_op_definition
class FPToSIOp(_CastOp):
    """`arith.fptosi` on vectors: toward zero."""

    name = "vector_ext.fptosi"
    input = operand_def(_Floats)


@irdl_op_definition
class FPToUIOp(_CastOp):
    """`arith.fptoui` on vectors: toward zero."""

    name = "vector_ext.fptoui"
    input = operand_def(_Floats)


@irdl_op_definition
class ExtSIOp(_CastOp):
    """`arith.extsi` on vectors."""

    name = "vector_ext.extsi"
    input = operand_def(_Integers)


@irdl_op_definition
class ExtUIOp(_CastOp):
    """`arith.extui` on vectors."""

    name = "vector_ext.extui"
    input = operand_def(_Integers)


@irdl_op_definition
class TruncIOp(_CastOp):
    """`arith.trunci` on vectors."""

    name = "vector_ext.trunci"
    input = operand_def(_Integers)


@irdl_op_definition
class DotOp(IRDLOperation):
    """Products of 16-bit integers, added in pairs to 32-bit ones: `acc[i] + lhs[2i] * rhs[2i] + lhs[2i+1] * rhs[2i+1]`.

    Exact but for the sum, which wraps around (WebAssembly's `i32x4.dot_i16x8_s`, x86's `pmaddwd`).
    """

    name = "vector_ext.dot"
    F: ClassVar = VarConstraint("F", VectorType.constr(EqAttrConstraint(i16)))
    T: ClassVar = VarConstraint("T", VectorType.constr(EqAttrConstraint(i32)))

    lhs = operand_def(F)
    rhs = operand_def(F)
    acc = operand_def(T)
    res = result_def(T)

    assembly_format = "$lhs `,` $rhs `,` $acc attr-dict `:` type($lhs) `,` type($acc)"
    traits = traits_def(Pure())

    def __init__(self, lhs: SSAValue, rhs: SSAValue, acc: SSAValue) -> None:
        super().__init__(operands=[lhs, rhs, acc], result_types=[acc.type])

    def verify_(self) -> None:
        lhs, acc = self.lhs.type, self.acc.type
        assert isinstance(lhs, VectorType) and isinstance(acc, VectorType)
        if lhs.get_shape() != (2 * acc.get_shape()[0],):
            raise VerifyException("vector_ext.dot: each lane of the sum takes two products")


VectorExt = Dialect(
    "vector_ext",
    [
        CmpIOp,
        CmpFOp,
        SelectOp,
        SIToFPOp,
        UIToFPOp,
        FPToSIOp,
        FPToUIOp,
        ExtSIOp,
        ExtUIOp,
        TruncIOp,
        DotOp,
    ],
)

"""What xDSL's `llvm` dialect cannot say yet: instructions that it has no op for, or none for vectors or threads.

Names and meaning are those of MLIR's `llvm` dialect (`llvm.extractelement`, `llvm.uitofp`; `llvm.fcmp`
and `llvm.select` on vectors). They live in a dialect of their own because a dialect belongs to
whoever defines it.
"""

from __future__ import annotations

from typing import ClassVar

from xdsl.dialects.builtin import (
    I1,
    AnyFloatConstr,
    SignlessIntegerConstraint,
    StringAttr,
    VectorType,
    i1,
    i32,
)
from xdsl.dialects.llvm import LLVMPointerType
from xdsl.ir import Attribute, Dialect, SSAValue
from xdsl.irdl import (
    AnyAttr,
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

PREDICATES = (
    "oeq", "ogt", "oge", "olt", "ole", "one", "ord",
    "ueq", "ugt", "uge", "ult", "ule", "une", "uno",
)  # fmt: skip


@irdl_op_definition
class ExtractElementOp(IRDLOperation):
    """One element of a vector; an index out of range gives poison."""

    name = "llvm_ext.extractelement"

    vector = operand_def(VectorType)
    index = operand_def(SignlessIntegerConstraint)
    res = result_def()

    assembly_format = (
        "$vector `[` $index `:` type($index) `]` attr-dict `:` type($vector) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(self, vector: SSAValue, index: SSAValue) -> None:
        assert isinstance(vector.type, VectorType)
        super().__init__(operands=[vector, index], result_types=[vector.type.element_type])


@irdl_op_definition
class SelectOp(IRDLOperation):
    """Element by element: `lhs` where the condition is true, else `rhs`."""

    name = "llvm_ext.select"
    T: ClassVar = VarConstraint("T", AnyAttr())

    cond = operand_def(VectorType[I1])
    lhs = operand_def(T)
    rhs = operand_def(T)
    res = result_def(T)

    assembly_format = "$cond `,` $lhs `,` $rhs attr-dict `:` type($cond) `,` type($res)"
    traits = traits_def(Pure())

    def __init__(self, cond: SSAValue, lhs: SSAValue, rhs: SSAValue) -> None:
        super().__init__(operands=[cond, lhs, rhs], result_types=[lhs.type])


@irdl_op_definition
class FCmpOp(IRDLOperation):
    """Compares vectors of floats element by element; `predicate` is one of LLVM's, as `"olt"`."""

    name = "llvm_ext.fcmp"
    T: ClassVar = VarConstraint("T", VectorType.constr(AnyFloatConstr))

    predicate = prop_def(StringAttr)
    lhs = operand_def(T)
    rhs = operand_def(T)
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
        if self.predicate.data not in PREDICATES:
            raise VerifyException(f"unknown predicate {self.predicate.data}")


@irdl_op_definition
class UIToFPOp(IRDLOperation):
    """The float nearest to an unsigned integer."""

    name = "llvm_ext.uitofp"

    arg = operand_def(SignlessIntegerConstraint | VectorType.constr(SignlessIntegerConstraint))
    res = result_def(AnyFloatConstr | VectorType.constr(AnyFloatConstr))

    assembly_format = "$arg attr-dict `:` type($arg) `to` type($res)"
    traits = traits_def(Pure())

    def __init__(self, arg: SSAValue, type: Attribute) -> None:
        super().__init__(operands=[arg], result_types=[type])


@irdl_op_definition
class FreezeOp(IRDLOperation):
    """A value that is not poison: `arg`, or an arbitrary one in place of poison."""

    name = "llvm_ext.freeze"
    T: ClassVar = VarConstraint("T", AnyAttr())

    arg = operand_def(T)
    res = result_def(T)

    assembly_format = "$arg attr-dict `:` type($arg)"
    traits = traits_def(Pure())

    def __init__(self, arg: SSAValue) -> None:
        super().__init__(operands=[arg], result_types=[arg.type])


@irdl_op_definition
class AtomicAddOp(IRDLOperation):
    """Adds to an i32 in memory that threads share, and gives what it was before (`llvm.atomicrmw add ... seq_cst`)."""

    name = "llvm_ext.atomic_add"

    address = operand_def(LLVMPointerType)
    value = operand_def(i32)
    res = result_def(i32)

    assembly_format = "$value `,` $address attr-dict `:` type($address)"

    def __init__(self, value: SSAValue, address: SSAValue) -> None:
        super().__init__(operands=[address, value], result_types=[i32])


@irdl_op_definition
class AtomicCompareExchangeOp(IRDLOperation):
    """Puts a value into an i32 of memory that threads share if it is what is expected there, and gives what it was
    before (`llvm.cmpxchg ... seq_cst seq_cst`)."""

    name = "llvm_ext.atomic_compare_exchange"

    address = operand_def(LLVMPointerType)
    expected = operand_def(i32)
    value = operand_def(i32)
    res = result_def(i32)

    assembly_format = "$expected `,` $value `,` $address attr-dict `:` type($address)"

    def __init__(self, address: SSAValue, expected: SSAValue, value: SSAValue) -> None:
        super().__init__(operands=[address, expected, value], result_types=[i32])


@irdl_op_definition
class AtomicLoadOp(IRDLOperation):
    """An i32 of memory that threads share (`llvm.load atomic ... seq_cst`)."""

    name = "llvm_ext.atomic_load"

    address = operand_def(LLVMPointerType)
    res = result_def(i32)

    assembly_format = "$address attr-dict `:` type($address)"

    def __init__(self, address: SSAValue) -> None:
        super().__init__(operands=[address], result_types=[i32])


@irdl_op_definition
class AtomicStoreOp(IRDLOperation):
    """Puts an i32 into memory that threads share (`llvm.store atomic ... seq_cst`)."""

    name = "llvm_ext.atomic_store"

    value = operand_def(i32)
    address = operand_def(LLVMPointerType)

    assembly_format = "$value `,` $address attr-dict `:` type($address)"

    def __init__(self, value: SSAValue, address: SSAValue) -> None:
        super().__init__(operands=[value, address])


LLVMExt = Dialect(
    "llvm_ext",
    [
        ExtractElementOp,
        SelectOp,
        FCmpOp,
        UIToFPOp,
        FreezeOp,
        AtomicAddOp,
        AtomicCompareExchangeOp,
        AtomicLoadOp,
        AtomicStoreOp,
    ],
)

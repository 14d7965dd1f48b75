"""Elementwise `nn` ops. Operands broadcast as in numpy; nothing else about them is implicit: element types must
agree."""

from __future__ import annotations

from abc import ABC
from typing import TypeVar, cast

from xdsl.dialects.builtin import TensorType, i1
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.nn.base import broadcast_shapes
from webdnn.dialects.sizes.types import element_of, shape_of, tensor_type


class ElementwiseOp(IRDLOperation, ABC):
    """An op whose result element depends on the operand elements at the same (broadcast) index alone."""

    def verify_(self) -> None:
        expected = broadcast_shapes(*(shape_of(v) for v in self.operands))
        if shape_of(self.results[0]) != expected:
            raise VerifyException(f"{self.name}: the result's shape must be {expected}")


class UnaryOp(ElementwiseOp, ABC):
    """One operand; the result has its type."""

    x = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$x attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue | Operation) -> None:
        super().__init__(operands=[x], result_types=[tensor_type(element_of(x), shape_of(x))])


class PredicateOp(ElementwiseOp, ABC):
    """One operand; the result is a truth value."""

    x = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$x attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue | Operation) -> None:
        super().__init__(operands=[x], result_types=[tensor_type(i1, shape_of(x))])


class BinaryOp(ElementwiseOp, ABC):
    """Two operands of one element type; the result has it too."""

    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, lhs: SSAValue | Operation, rhs: SSAValue | Operation) -> None:
        shape = broadcast_shapes(shape_of(lhs), shape_of(rhs))
        super().__init__(
            operands=[lhs, rhs], result_types=[tensor_type(self.result_element(lhs), shape)]
        )

    @classmethod
    def result_element(cls, lhs: SSAValue | Operation) -> Attribute:
        return element_of(lhs)

    def verify_(self) -> None:
        super().verify_()
        if element_of(self.lhs) != element_of(self.rhs):
            raise VerifyException(
                f"{self.name}: operands of {element_of(self.lhs)} and {element_of(self.rhs)}"
            )


class CompareOp(BinaryOp, ABC):
    """Two operands of one element type; the result is a truth value."""

    @classmethod
    def result_element(cls, lhs: SSAValue | Operation) -> Attribute:
        return i1


_ElementwiseT = TypeVar("_ElementwiseT", bound=ElementwiseOp)


def _unary(op_name: str, meaning: str) -> type[UnaryOp]:
    return _define(UnaryOp, op_name, meaning)


def _binary(op_name: str, meaning: str) -> type[BinaryOp]:
    return _define(BinaryOp, op_name, meaning)


def _define(base: type[_ElementwiseT], op_name: str, meaning: str) -> type[_ElementwiseT]:
    class_name = "".join(p.capitalize() for p in op_name.split("_")) + "Op"
    namespace = {"name": f"nn.{op_name}", "__doc__": meaning, "__module__": __name__}
    return irdl_op_definition(cast("type[_ElementwiseT]", type(class_name, (base,), namespace)))


AbsOp = _unary("abs", "|x|.")
NegOp = _unary("neg", "-x; wraps around for integers.")
SignOp = _unary("sign", "-1, 0 or 1; NaN stays NaN.")
ReluOp = _unary("relu", "max(x, 0); NaN stays NaN.")
SigmoidOp = _unary("sigmoid", "1 / (1 + exp(-x)).")
SqrtOp = _unary("sqrt", "Square root.")
ReciprocalOp = _unary("reciprocal", "1 / x.")
ExpOp = _unary("exp", "e to the x.")
LogOp = _unary("log", "Natural logarithm.")
ErfOp = _unary("erf", "The error function.")
SinOp = _unary("sin", "Sine.")
CosOp = _unary("cos", "Cosine.")
TanOp = _unary("tan", "Tangent.")
AsinOp = _unary("asin", "Inverse sine.")
AcosOp = _unary("acos", "Inverse cosine.")
AtanOp = _unary("atan", "Inverse tangent.")
SinhOp = _unary("sinh", "Hyperbolic sine.")
CoshOp = _unary("cosh", "Hyperbolic cosine.")
TanhOp = _unary("tanh", "Hyperbolic tangent.")
AsinhOp = _unary("asinh", "Inverse hyperbolic sine.")
AcoshOp = _unary("acosh", "Inverse hyperbolic cosine.")
AtanhOp = _unary("atanh", "Inverse hyperbolic tangent.")
FloorOp = _unary("floor", "The greatest integer not above x.")
CeilOp = _unary("ceil", "The least integer not below x.")
RoundOp = _unary("round", "The nearest integer; halves go to the even one.")
TruncOp = _unary("trunc", "The integer part.")
NotOp = _unary("not", "Every bit inverted; on truth values, logical not.")

IsNanOp: type[PredicateOp] = _define(PredicateOp, "is_nan", "Whether x is NaN.")
IsInfOp: type[PredicateOp] = _define(PredicateOp, "is_inf", "Whether x is +inf or -inf.")

AddOp = _binary("add", "Sum; wraps around for integers.")
SubOp = _binary("sub", "Difference; wraps around for integers.")
MulOp = _binary("mul", "Product; wraps around for integers.")
DivOp = _binary("div", "Quotient; towards zero for integers, 0 where an integer is divided by 0.")
FloorModOp = _binary(
    "floor_mod",
    "Remainder with the sign of the divisor (Python's %); 0 for an integer divisor of 0.",
)
TruncModOp = _binary(
    "trunc_mod",
    "Remainder with the sign of the dividend (C's fmod); 0 for an integer divisor of 0.",
)
PowOp = _binary("pow", "lhs to the rhs, as C's pow; for integers exact with wrap-around.")
MaxOp = _binary("max", "The greater; NaN where either is NaN.")
MinOp = _binary("min", "The lesser; NaN where either is NaN.")
AndOp = _binary("and", "Bitwise and.")
OrOp = _binary("or", "Bitwise or.")
XorOp = _binary("xor", "Bitwise exclusive or.")
ShlOp = _binary("shl", "Shift left; 0 where the distance is the width or more.")
ShrOp = _binary(
    "shr",
    "Shift right (arithmetic for signed integers); only the sign is left where the distance is the width or more.",
)

EqualOp: type[CompareOp] = _define(CompareOp, "equal", "lhs == rhs.")
LessOp: type[CompareOp] = _define(CompareOp, "less", "lhs < rhs.")
LessEqualOp: type[CompareOp] = _define(CompareOp, "less_equal", "lhs <= rhs.")


@irdl_op_definition
class SelectOp(ElementwiseOp):
    """`on_true` where `cond` holds, else `on_false`."""

    name = "nn.select"
    cond = operand_def(TensorType)
    on_true = operand_def(TensorType)
    on_false = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = (
        "$cond `,` $on_true `,` $on_false attr-dict `:` "
        "type($cond) `,` type($on_true) `,` type($on_false) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(self, cond: SSAValue, on_true: SSAValue, on_false: SSAValue) -> None:
        shape = broadcast_shapes(shape_of(cond), shape_of(on_true), shape_of(on_false))
        super().__init__(
            operands=[cond, on_true, on_false],
            result_types=[tensor_type(element_of(on_true), shape)],
        )


@irdl_op_definition
class CastOp(ElementwiseOp):
    """The value in another element type. Float to integer truncates and saturates (NaN gives 0); integer to integer
    wraps around; to a truth value: x != 0. `saturate` has no effect on other casts."""

    name = "nn.cast"
    x = operand_def(TensorType)
    res = result_def(TensorType)
    assembly_format = "$x attr-dict `:` type($x) `->` type($res)"
    traits = traits_def(Pure())

    def __init__(self, x: SSAValue, element: Attribute) -> None:
        super().__init__(operands=[x], result_types=[tensor_type(element, shape_of(x))])


UNARY_OPS: tuple[type[UnaryOp], ...] = (
    AbsOp, NegOp, SignOp, ReluOp, SigmoidOp, SqrtOp, ReciprocalOp, ExpOp, LogOp, ErfOp, SinOp, CosOp, TanOp, AsinOp,
    AcosOp, AtanOp, SinhOp, CoshOp, TanhOp, AsinhOp, AcoshOp, AtanhOp, FloorOp, CeilOp, RoundOp, TruncOp, NotOp,
)  # fmt: skip
PREDICATE_OPS: tuple[type[PredicateOp], ...] = (IsNanOp, IsInfOp)
BINARY_OPS: tuple[type[BinaryOp], ...] = (
    AddOp, SubOp, MulOp, DivOp, FloorModOp, TruncModOp, PowOp, MaxOp, MinOp, AndOp, OrOp, XorOp, ShlOp, ShrOp,
    EqualOp, LessOp, LessEqualOp,
)  # fmt: skip
ELEMENTWISE_OPS = (*UNARY_OPS, *PREDICATE_OPS, *BINARY_OPS, SelectOp, CastOp)

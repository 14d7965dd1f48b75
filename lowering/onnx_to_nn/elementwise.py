"""Arithmetic, comparisons, logic, casts: ONNX operators that work on one element at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from xdsl.dialects.builtin import IntegerType
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import element_of_onnx, is_computable, is_float
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import element_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

UNARY: dict[str, type[ew.ElementwiseOp]] = {
    "Abs": ew.AbsOp,
    "Acos": ew.AcosOp,
    "Acosh": ew.AcoshOp,
    "Asin": ew.AsinOp,
    "Asinh": ew.AsinhOp,
    "Atan": ew.AtanOp,
    "Atanh": ew.AtanhOp,
    "BitwiseNot": ew.NotOp,
    "Ceil": ew.CeilOp,
    "Cos": ew.CosOp,
    "Cosh": ew.CoshOp,
    "Erf": ew.ErfOp,
    "Exp": ew.ExpOp,
    "Floor": ew.FloorOp,
    "IsNaN": ew.IsNanOp,
    "Log": ew.LogOp,
    "Neg": ew.NegOp,
    "Not": ew.NotOp,
    "Reciprocal": ew.ReciprocalOp,
    "Relu": ew.ReluOp,
    "Round": ew.RoundOp,
    "Sigmoid": ew.SigmoidOp,
    "Sign": ew.SignOp,
    "Sin": ew.SinOp,
    "Sinh": ew.SinhOp,
    "Sqrt": ew.SqrtOp,
    "Tan": ew.TanOp,
    "Tanh": ew.TanhOp,
}

BINARY: dict[str, type[ew.ElementwiseOp]] = {
    "Add": ew.AddOp,
    "And": ew.AndOp,
    "BitwiseAnd": ew.AndOp,
    "BitwiseOr": ew.OrOp,
    "BitwiseXor": ew.XorOp,
    "Div": ew.DivOp,
    "Equal": ew.EqualOp,
    "Less": ew.LessOp,
    "LessOrEqual": ew.LessEqualOp,
    "Mul": ew.MulOp,
    "Or": ew.OrOp,
    "Sub": ew.SubOp,
    "Xor": ew.XorOp,
}

SWAPPED: dict[str, type[ew.ElementwiseOp]] = {
    "Greater": ew.LessOp,
    "GreaterOrEqual": ew.LessEqualOp,
}

VARIADIC: dict[str, type[ew.ElementwiseOp]] = {
    "Max": ew.MaxOp,
    "Min": ew.MinOp,
    "Sum": ew.AddOp,
}


def _operator(op: type[ew.ElementwiseOp]) -> Callable[[Node, NNBuilder], SSAValue]:
    return lambda node, b: b(op, *node.tensors)


def _swapped(op: type[ew.ElementwiseOp]) -> Callable[[Node, NNBuilder], SSAValue]:
    return lambda node, b: b(op, node[1], node[0])


def _variadic(op: type[ew.ElementwiseOp]) -> Callable[[Node, NNBuilder], SSAValue]:
    def lower(node: Node, b: NNBuilder) -> SSAValue:
        result, *rest = node.tensors
        for operand in rest:
            result = b(op, result, operand)
        return result

    return lower


for _name, _op in (UNARY | BINARY).items():
    # Before opset 7 broadcasting was asked for by an attribute and had another rule.
    onnx_lowering(_name, since=7 if _name in ("Add", "Div", "Mul", "Sub") else 1)(_operator(_op))
for _name, _op in SWAPPED.items():
    onnx_lowering(_name)(_swapped(_op))
for _name, _op in VARIADIC.items():
    onnx_lowering(_name)(_variadic(_op))


@onnx_lowering("Mean")
def mean(node: Node, b: NNBuilder) -> SSAValue:
    total, *rest = node.tensors
    for operand in rest:
        total = b(ew.AddOp, total, operand)
    return b(ew.MulOp, total, 1.0 / (1 + len(rest)))


@onnx_lowering("Identity")
def identity(node: Node, b: NNBuilder) -> list[SSAValue | list[SSAValue] | None]:
    return [node.operands[0]]


@onnx_lowering("Dropout", static=[2])
def dropout(node: Node, b: NNBuilder) -> list[SSAValue]:
    """At inference it gives its operand; `training_mode` draws random numbers."""
    if node.has(2) and bool(node.known(2)):
        raise Unsupported("training_mode is on", "export the model for inference")
    mask_element = IntegerType(1) if node.version >= 10 else node.element()
    mask = [b.filled(1, node.shape(), mask_element)] if node.wants(1) else []
    return [node[0], *mask]


@onnx_lowering("Where")
def where(node: Node, b: NNBuilder) -> SSAValue:
    return b(ew.SelectOp, node[0], node[1], node[2])


@onnx_lowering("Pow")
def pow_(node: Node, b: NNBuilder) -> SSAValue:
    base, exponent = node[0], node[1]
    element = element_of(base)
    known = node.constant(1)
    if known is not None and known.size == 1 and is_float(element):
        value, rank = float(known.item()), len(known.shape)
        if rank <= node.rank() and value in (1.0, 2.0, 3.0, 0.5, -1.0):
            return _small_power(base, value, b)
    if is_float(element) or not is_float(element_of(exponent)):
        return b(ew.PowOp, base, b.cast(exponent, element))
    wide = element_of(exponent)
    return b.cast(b(ew.PowOp, b.cast(base, wide), exponent), element)


def _small_power(x: SSAValue, exponent: float, b: NNBuilder) -> SSAValue:
    if exponent == 0.5:
        return b(ew.SqrtOp, x)
    if exponent == -1.0:
        return b(ew.ReciprocalOp, x)
    result = x
    for _ in range(int(exponent) - 1):
        result = b(ew.MulOp, result, x)
    return result


@onnx_lowering("Mod")
def mod(node: Node, b: NNBuilder) -> SSAValue:
    return b(ew.TruncModOp if node.int("fmod") else ew.FloorModOp, node[0], node[1])


@onnx_lowering("BitShift")
def bit_shift(node: Node, b: NNBuilder) -> SSAValue:
    return b(ew.ShlOp if node.str("direction") == "LEFT" else ew.ShrOp, node[0], node[1])


@onnx_lowering("IsInf")
def is_inf(node: Node, b: NNBuilder) -> SSAValue:
    x = node[0]
    positive, negative = node.int("detect_positive", 1), node.int("detect_negative", 1)
    infinite = b(ew.IsInfOp, x)
    if positive and negative:
        return infinite
    if not positive and not negative:
        return b.filled(0, node.shape(), IntegerType(1))
    sign = b(ew.LessOp, 0.0, x) if positive else b(ew.LessOp, x, 0.0)
    return b(ew.AndOp, infinite, sign)


@onnx_lowering("Clip")
def clip(node: Node, b: NNBuilder) -> SSAValue:
    """Bounds were attributes before opset 11. Where they cross, the upper one wins."""
    x = node[0]
    low: SSAValue | float | None = node.optional(1)
    high: SSAValue | float | None = node.optional(2)
    if node.version < 11:
        greatest = float(np.finfo(np.float32).max)
        low = node.float("min", -greatest)
        high = node.float("max", greatest)
        low, high = (None if abs(v) >= greatest else v for v in (low, high))
    if low is not None:
        x = b(ew.MaxOp, x, low)
    return x if high is None else b(ew.MinOp, x, high)


def cast_to(x: SSAValue, element: Attribute, node: Node, b: NNBuilder) -> SSAValue:
    """A cast; from and to the small storage formats (float8, int4) only of what is computed from weights."""
    for type in (element, element_of(x)):
        if not is_computable(type) and not b.is_constant(x):
            raise Unsupported(f"there is no run-time arithmetic on elements of type {type}")
    return b.cast(x, element)


@onnx_lowering("Cast")
def cast(node: Node, b: NNBuilder) -> SSAValue:
    return cast_to(node[0], element_of_onnx(node.int("to")), node, b)


@onnx_lowering("CastLike")
def cast_like(node: Node, b: NNBuilder) -> SSAValue:
    return cast_to(node[0], node.element(1), node, b)

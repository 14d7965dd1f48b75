"""Sizes as values of a kernel: arithmetic on its size operands."""

from __future__ import annotations

from xdsl.dialects.builtin import IndexType
from xdsl.ir import SSAValue

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.arithmetic import compute
from webdnn.dialects.sizes.expression import Symbol
from webdnn.lowering.target_wgsl.values import Emitter, Value


class SizeValues:
    """Emits what computes sizes from the size operands of a kernel; each size once."""

    def __init__(self, kernel: FuncOp, emitter: Emitter) -> None:
        self._emitter = emitter
        self._operands: dict[Symbol, SSAValue] = dict(
            zip(kernel.symbols, kernel.size_operands, strict=True)
        )
        self._known: dict[int, Value] = {}

    def of(self, size: int) -> Value:
        """The value of a size."""
        if (value := self._known.get(size)) is None:
            value = self._known[size] = compute(size, self)
        return value

    # `webdnn.dialects.sizes.expression.Arithmetic`

    def number(self, value: int) -> Value:
        return self._emitter.value(self._emitter.constant(value, IndexType()))

    def symbol(self, symbol: Symbol) -> Value:
        return self._emitter.value(self._operands[symbol])

    def add(self, a: Value, b: Value) -> Value:
        return a + b

    def subtract(self, a: Value, b: Value) -> Value:
        return a - b

    def multiply(self, a: Value, b: Value) -> Value:
        return a * b

    def divide(self, a: Value, b: Value) -> Value:
        return a // b

    def maximum(self, a: Value, b: Value) -> Value:
        return a.maximum(b)

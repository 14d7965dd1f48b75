"""Intervals of integer values: which numbers an index can be, given the grid, the workgroup and the loops' bounds."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import arith, gpu, scf
from xdsl.dialects.builtin import IndexType, IntegerAttr, IntegerType
from xdsl.ir import Attribute, BlockArgument, Operation, SSAValue

from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.questions import at_most
from webdnn.lowering.value_notation import element_type

Range = tuple[int, int]
"""The least and the greatest value, both included."""


def type_range(type: Attribute) -> Range:
    """All values of a (signed) integer type; an `index` is an `i32` in WGSL."""
    element = element_type(type)
    width = 32 if isinstance(element, IndexType) else 64
    if isinstance(element, IntegerType):
        width = element.width.data
    if width == 1:
        return 0, 1
    return -(1 << (width - 1)), (1 << (width - 1)) - 1


class Ranges:
    """The intervals of a kernel's integer values, found on demand and remembered.

    The interval of an operation is that of exact arithmetic: it may exceed the type, which then
    means that the operation may wrap around.
    """

    def __init__(self, kernel: FuncOp) -> None:
        self._grid = [at_most(size) for size in kernel.grid_sizes] or _sizes(())
        self._workgroup = _sizes(kernel.workgroup.data if kernel.workgroup else ())
        self._known: dict[SSAValue, Range] = {
            operand: (symbol.low, symbol.high)
            for symbol, operand in zip(kernel.symbols, kernel.size_operands, strict=True)
        }

    def of(self, value: SSAValue) -> Range:
        """The interval of a value."""
        if value not in self._known:
            self._known[value] = type_range(value.type)  # for values that depend on themselves
            self._known[value] = self._find(value)
        return self._known[value]

    def fits(self, value: SSAValue, type: Attribute) -> bool:
        """Whether a value surely is one of a type."""
        low, high = self.of(value)
        least, greatest = type_range(type)
        return least <= low and high <= greatest

    def _find(self, value: SSAValue) -> Range:
        if isinstance(value, BlockArgument):
            loop = value.block.parent_op()
            if isinstance(loop, scf.ForOp) and value.index == 0:
                low, high = self.of(loop.lb)[0], self.of(loop.ub)[1] - 1
                return low, max(low, high)
            return type_range(value.type)
        op = value.owner
        assert isinstance(op, Operation)
        match op:
            case arith.ConstantOp() if isinstance(op.value, IntegerAttr):
                return op.value.value.data, op.value.value.data
            case gpu.BlockIdOp():
                return 0, self._grid[_axis(op.dimension)] - 1
            case gpu.GridDimOp():
                return 0, self._grid[_axis(op.dimension)]
            case gpu.ThreadIdOp():
                return 0, self._workgroup[_axis(op.dimension)] - 1
            case gpu.GlobalIdOp():
                axis = _axis(op.dimension)
                return 0, self._grid[axis] * self._workgroup[axis] - 1
            case arith.IndexCastOp() | arith.ExtSIOp():
                return self.of(op.input)
            case arith.ExtUIOp():
                return self._unsigned(op.input)
            case arith.SelectOp():
                return _union(self.of(op.lhs), self.of(op.rhs))
            case _ if len(op.operands) == 2 and len(op.results) == 1:
                return self._binary(op, value)
            case _:
                return type_range(value.type)

    def _unsigned(self, value: SSAValue) -> Range:
        low, high = self.of(value)
        if low >= 0:
            return low, high
        least, greatest = type_range(value.type)
        return 0, greatest - least

    def _binary(self, op: Operation, value: SSAValue) -> Range:
        (a, b), (c, d) = self.of(op.operands[0]), self.of(op.operands[1])
        match op:
            case arith.AddiOp():
                return a + c, b + d
            case arith.SubiOp():
                return a - d, b - c
            case arith.MuliOp():
                return _hull([a * c, a * d, b * c, b * d])
            case arith.MinSIOp():
                return min(a, c), min(b, d)
            case arith.MaxSIOp():
                return max(a, c), max(b, d)
            case arith.DivSIOp() | arith.DivUIOp() | arith.FloorDivSIOp() if a >= 0 and c > 0:
                return a // d, b // c
            case arith.RemSIOp() | arith.RemUIOp() if a >= 0 and c > 0:
                return 0, min(b, d - 1)
            case arith.FloorDivSIOp() if c == d and c > 0:
                return a // c, b // c
            case arith.RemSIOp() if c > 0:
                return -(d - 1), d - 1
            case arith.AndIOp() if c >= 0:
                return 0, d
            case _:
                return type_range(value.type)


def _sizes(attributes: Sequence[IntegerAttr]) -> tuple[int, ...]:
    return tuple(a.value.data for a in attributes)


def _axis(dimension: gpu.DimensionAttr) -> int:
    return "xyz".index(str(dimension.data))


def _union(a: Range, b: Range) -> Range:
    return min(a[0], b[0]), max(a[1], b[1])


def _hull(values: Sequence[int]) -> Range:
    return min(values), max(values)

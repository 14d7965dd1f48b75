"""What divides an index: enough of an analysis to find aligned vector accesses, and the quotient as new arithmetic."""

from __future__ import annotations

from math import gcd

from xdsl.dialects import arith, scf
from xdsl.dialects.builtin import IntegerAttr
from xdsl.ir import Block, BlockArgument, Operation, SSAValue

from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.target_wgsl.values import Emitter


def constant_value(value: SSAValue) -> int | None:
    """The number that an integer value always is, if it comes straight from a constant."""
    owner = value.owner
    if isinstance(owner, arith.ConstantOp) and isinstance(owner.value, IntegerAttr):
        return owner.value.value.data
    return None


class Divisibility:
    """Largest known divisors of integer values, memoised; 0 is divisible by everything."""

    def __init__(self) -> None:
        self._divisors: dict[SSAValue, int] = {}
        self._quotients: dict[tuple[SSAValue, int], SSAValue] = {}

    def divisor(self, value: SSAValue) -> int:
        """A number that divides the value in every invocation and iteration (0 for the constant 0)."""
        if value not in self._divisors:
            self._divisors[value] = 1  # for loop-carried values that depend on themselves
            self._divisors[value] = abs(self._find(value))
        return self._divisors[value]

    def divides(self, number: int, value: SSAValue) -> bool:
        """Whether `number` is known to divide `value`."""
        return self.divisor(value) % number == 0

    def _find(self, value: SSAValue) -> int:
        owner = value.owner
        if isinstance(value, BlockArgument):
            loop = value.block.parent_op()
            if isinstance(loop, scf.ForOp) and value.index == 0:
                return gcd(self.divisor(loop.lb), self.divisor(loop.step))
            if isinstance(loop, FuncOp) and value.index < len(symbols := loop.symbols):
                return symbols[value.index].unit
            return 1
        match owner:
            case arith.ConstantOp() if isinstance(owner.value, IntegerAttr):
                return owner.value.value.data
            case arith.AddiOp() | arith.SubiOp() | arith.MinSIOp() | arith.MaxSIOp():
                return gcd(self.divisor(owner.lhs), self.divisor(owner.rhs))
            case arith.RemSIOp() | arith.RemUIOp():
                return gcd(self.divisor(owner.lhs), self.divisor(owner.rhs))
            case arith.MuliOp():
                return self.divisor(owner.lhs) * self.divisor(owner.rhs)
            case arith.ShLIOp() if (shift := constant_value(owner.rhs)) is not None:
                return self.divisor(owner.lhs) << shift
            case arith.DivSIOp() | arith.DivUIOp() if by := constant_value(owner.rhs):
                dividend = self.divisor(owner.lhs)
                return dividend // by if by > 0 and dividend % by == 0 else 1
            case arith.SelectOp():
                return gcd(self.divisor(owner.lhs), self.divisor(owner.rhs))
            case arith.IndexCastOp():
                return self.divisor(owner.input)
            case _:
                return 1

    def quotient(self, value: SSAValue, number: int) -> SSAValue:
        """`value / number` for a power of two that divides it; products and sums are divided in place."""
        key = (value, number)
        if key not in self._quotients:
            result = self._quotient(value, number)
            if result.name_hint is None and value.name_hint is not None:
                result.name_hint = f"{value.name_hint}_div{number}"
            self._quotients[key] = result
        return self._quotients[key]

    def _quotient(self, value: SSAValue, number: int) -> SSAValue:
        emitter = _emitter_after(value)
        owner = value.owner
        if (constant := constant_value(value)) is not None:
            return emitter.constant(constant // number, value.type)
        if isinstance(owner, arith.AddiOp | arith.SubiOp) and all(
            self.divides(number, o) for o in owner.operands
        ):
            lhs, rhs = (self.quotient(o, number) for o in owner.operands)
            make = arith.AddiOp if isinstance(owner, arith.AddiOp) else arith.SubiOp
            return emitter.add(make(lhs, rhs))
        if isinstance(owner, arith.MuliOp):
            for this, other in ((owner.rhs, owner.lhs), (owner.lhs, owner.rhs)):
                if self.divides(number, this):
                    divided = self.quotient(this, number)
                    if constant_value(divided) == 1:
                        return other
                    return emitter.add(arith.MuliOp(other, divided))
        if isinstance(owner, arith.SelectOp) and all(
            self.divides(number, o) for o in owner.operands[1:]
        ):
            if_true, if_false = (self.quotient(o, number) for o in owner.operands[1:])
            return emitter.add(arith.SelectOp(owner.cond, if_true, if_false))
        # The quotient is exact, so a shift gives it, whatever the sign is.
        shift = number.bit_length() - 1
        return emitter.add(arith.ShRSIOp(value, emitter.constant(shift, value.type)))


def _emitter_after(value: SSAValue) -> Emitter:
    owner = value.owner
    if isinstance(owner, Operation):
        block = owner.parent_block()
        following = owner.next_op
    else:
        block = owner
        following = owner.first_op
    assert isinstance(block, Block)
    return Emitter(block, following)

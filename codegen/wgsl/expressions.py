"""WGSL expressions: their text, and what is needed to put them into larger ones."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum


class Level(IntEnum):
    """How tightly an expression binds. WGSL forbids mixing the operators of `OTHER` without parentheses."""

    OTHER = 0
    """comparison, shift, bitwise and logical operators"""
    ADD = 1
    MULTIPLY = 2
    UNARY = 3
    PRIMARY = 4


_NOTHING: frozenset[str] = frozenset()
_ATOM = re.compile(r"\w+(\.[xyzw])?")


@dataclass(frozen=True, slots=True)
class Expr:
    """An expression.

    Args:
        text: its WGSL text.
        level: how tightly it binds.
        reads: the mutable variables (loop-carried values) it reads, by name.
        volatile: whether it loads from memory that the kernel writes, so it must not move over a
            write.
        literal: whether it is built from literals alone; WGSL evaluates such expressions at compile
            time and refuses overflow.
        splat: of a vector with equal elements, the element: WGSL adds and multiplies vectors and
            scalars, which is shorter.
    """

    text: str
    level: Level = Level.PRIMARY
    reads: frozenset[str] = field(default=_NOTHING)
    volatile: bool = False
    literal: bool = False
    splat: Expr | None = None

    @property
    def is_atom(self) -> bool:
        """Whether it is a name, a literal or a component of a name: free to repeat."""
        return self.literal or (
            self.level is Level.PRIMARY and _ATOM.fullmatch(self.text) is not None
        )

    def at(self, level: Level) -> str:
        """The text as an operand that must bind at least as tightly as `level`."""
        return self.text if self.level >= level else f"({self.text})"

    @property
    def argument(self) -> str:
        """The text as an argument of a call.

        Comparisons are put in parentheses, for `f(a < b, c > d)` reads as a template list.
        """
        return self.at(Level.ADD) if "<" in self.text else self.text


def combine(text: str, level: Level, parts: Iterable[Expr], *, literal: bool = False) -> Expr:
    """An expression `text` made of `parts`."""
    reads = _NOTHING
    volatile = False
    for part in parts:
        if part.reads:
            reads = reads | part.reads
        volatile = volatile or part.volatile
    return Expr(text, level, reads, volatile, literal)


def binary(symbol: str, lhs: Expr, rhs: Expr) -> Expr:
    """`lhs symbol rhs`, left-associative, with the parentheses that WGSL needs."""
    match symbol:
        case "+" | "-":
            level, left, right = Level.ADD, Level.ADD, Level.MULTIPLY
        case "*" | "/" | "%":
            level, left, right = Level.MULTIPLY, Level.MULTIPLY, Level.UNARY
        case "<<" | ">>" | "&" | "|" | "^":
            level, left, right = Level.OTHER, Level.UNARY, Level.UNARY
        case _:
            level, left, right = Level.OTHER, Level.ADD, Level.ADD
    return combine(f"{lhs.at(left)} {symbol} {rhs.at(right)}", level, (lhs, rhs))


def arithmetic(symbol: str, lhs: Expr, rhs: Expr) -> Expr:
    """`+`, `-`, `*` or `/`, where one operand may be a splat that is written as its element."""
    if lhs.splat is not None and rhs.splat is None:
        lhs = lhs.splat
    elif rhs.splat is not None and lhs.splat is None:
        rhs = rhs.splat
    if symbol in "+*":
        # Both commute exactly; on the left an operand needs no parentheses, and a variable is updated by `+=`.
        own = Level.ADD if symbol == "+" else Level.MULTIPLY
        if lhs.level is not own and (rhs.level is own or (rhs.is_atom and rhs.reads)):
            lhs, rhs = rhs, lhs
    return binary(symbol, lhs, rhs)


def call(function: str, *arguments: Expr) -> Expr:
    """`function(arguments)`."""
    text = ", ".join(a.argument for a in arguments)
    return combine(f"{function}({text})", Level.PRIMARY, arguments)


def unary(symbol: str, operand: Expr) -> Expr:
    """`-x` or `!x`."""
    return combine(f"{symbol}{operand.at(Level.PRIMARY)}", Level.UNARY, (operand,))

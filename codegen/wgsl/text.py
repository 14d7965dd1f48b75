"""What the printer decides about the text alone: names, annotations, short assignments."""

from __future__ import annotations

from xdsl.dialects import func, gpu, memref, scf
from xdsl.dialects.builtin import IndexType, IntegerType, VectorType
from xdsl.ir import BlockArgument, Operation, SSAValue

from webdnn.codegen.wgsl.expressions import Expr, Level
from webdnn.codegen.wgsl.operations import element_type
from webdnn.codegen.wgsl.types import wgsl_type

_LONGEST = 100
"""An expression longer than this gets a name."""

_WHOLE_LINES = (memref.StoreOp, scf.YieldOp, func.ReturnOp)
"""What takes a line of its own for each operand, so that a long expression may stand there."""


def literal_expr(text: str, literal: bool) -> Expr:
    level = Level.UNARY if text.startswith("-") else Level.PRIMARY
    return Expr(text, level, literal=literal)


def wished_name(value: SSAValue) -> str:
    """What to call a value: as the IR does, else after what it is."""
    if value.name_hint is not None:
        return value.name_hint
    match value.owner:
        case gpu.ThreadIdOp() as op:
            return f"t{op.dimension.data.value}"
        case gpu.BlockIdOp() as op:
            return f"b{op.dimension.data.value}"
        case _:
            pass
    match element_type(value.type):
        case IndexType():
            return "n"
        case IntegerType() as type:
            return "p" if type.width.data == 1 else "k"
        case _:
            return "v"


def may_be_inlined(expr: Expr, user: Operation) -> bool:
    return len(expr.text) <= _LONGEST or isinstance(user, _WHOLE_LINES)


def annotation(arg: BlockArgument, init: Expr) -> str:
    """The type of a variable whose initial value is a scalar literal is spelled out."""
    if init.literal and not isinstance(arg.type, VectorType):
        return f": {wgsl_type(arg.type)}"
    return ""


def assignment(name: str, text: str) -> str:
    """`x += y` for `x = x + y`, where that is the same: no further sum may follow."""
    for symbol, breaks in (("+", "+-"), ("-", "+-"), ("*", "+-*/%")):
        prefix = f"{name} {symbol} "
        if text.startswith(prefix) and not _has_operator(text[len(prefix) :], breaks):
            return f"{name} {symbol}= {text[len(prefix) :]};"
    return f"{name} = {text};"


def _has_operator(text: str, symbols: str) -> bool:
    """Whether one of the binary operators stands outside of parentheses."""
    depth = 0
    for before, character in zip(" " + text, text, strict=False):
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif depth == 0 and before == " " and character in symbols:
            return True
    return False

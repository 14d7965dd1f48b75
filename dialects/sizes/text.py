"""The text of sizes in IR files, in the names that ONNX files give to dimensions, and on the command line.

A size reads `s[1 to 512 likely 128] * 384 + 1`. The range of a symbol stands wherever the symbol does, so that any
piece of IR can be read, and means the same, by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from xdsl.context import Context
from xdsl.parser import AttrParser, Parser
from xdsl.utils.lexer import Position

from webdnn.dialects.sizes.expression import Symbol, maximum, minimum, written

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$.]*")
_KEYWORDS = frozenset({"max", "min", "floordiv", "ceildiv", "mod", "to", "by", "likely"})

Resolve = Callable[[str, Position], Symbol]
"""The symbol of a name that stands without a range."""


def size_text(value: int) -> str:
    """The text of a size with the ranges of its symbols."""
    return written(value, symbol_text)


def symbol_text(symbol: Symbol) -> str:
    """A symbol with its range."""
    name = symbol.name
    if not _IDENTIFIER.fullmatch(name) or name in _KEYWORDS:
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        name = f'"{escaped}"'
    by = f" by {symbol.unit}" if symbol.unit != 1 else ""
    likely = f" likely {symbol.likely}" if symbol.likely != symbol.high else ""
    return f"{name}[{symbol.low} to {symbol.high}{by}{likely}]"


def parse_size_text(text: str) -> int:
    """The size of a text in which symbols have ranges.

    Raises:
        ParseError: it is none.
    """
    return parse_size(Parser(Context(), text))


def parse_size(parser: AttrParser, resolve: Resolve | None = None) -> int:
    """Parse a size.

    Args:
        resolve: what a symbol without a range is; without it each one has a range.
    """
    value = _parse_product(parser, resolve)
    while True:
        if parser.parse_optional_punctuation("+") is not None:
            value = value + _parse_product(parser, resolve)
        elif parser.parse_optional_punctuation("-") is not None:
            value = value - _parse_product(parser, resolve)
        else:
            return value


def _parse_product(parser: AttrParser, resolve: Resolve | None) -> int:
    value = _parse_factor(parser, resolve)
    while True:
        position = parser.pos
        try:
            if parser.parse_optional_punctuation("*") is not None:
                value = value * _parse_factor(parser, resolve)
            elif parser.parse_optional_keyword("floordiv") is not None:
                value = value // _parse_factor(parser, resolve)
            elif parser.parse_optional_keyword("ceildiv") is not None:
                value = -(-value // _parse_factor(parser, resolve))
            elif parser.parse_optional_keyword("mod") is not None:
                value = value % _parse_factor(parser, resolve)
            else:
                return value
        except ZeroDivisionError:
            parser.raise_error("a size is divided by 0", position)


def _parse_factor(parser: AttrParser, resolve: Resolve | None) -> int:
    if (number := parser.parse_optional_integer(allow_boolean=False)) is not None:
        return number
    if parser.parse_optional_punctuation("(") is not None:
        value = parse_size(parser, resolve)
        parser.parse_punctuation(")")
        return value
    for keyword, combine in (("max", maximum), ("min", minimum)):
        if parser.parse_optional_keyword(keyword) is not None:
            return combine(
                *parser.parse_comma_separated_list(
                    parser.Delimiter.PAREN, lambda: parse_size(parser, resolve)
                )
            )
    return parse_symbol(parser, resolve).size


def parse_symbol(parser: AttrParser, resolve: Resolve | None = None) -> Symbol:
    """Parse a symbol with its range, or (where there is `resolve`) without one."""
    position = parser.pos
    name = parser.parse_optional_str_literal()
    if name is None:
        name = parser.expect(parser.parse_optional_identifier, "a size: a number or a symbol")
    if parser.parse_optional_punctuation("[") is None:
        if resolve is None:
            parser.raise_error(f"the range of {name} is missing: {name}[1 to 512]", position)
        return resolve(name, position)
    low = parser.parse_integer(allow_boolean=False)
    parser.parse_keyword("to")
    high = parser.parse_integer(allow_boolean=False)
    unit = parser.parse_integer(allow_boolean=False) if parser.parse_optional_keyword("by") else 1
    likely = (
        parser.parse_integer(allow_boolean=False) if parser.parse_optional_keyword("likely") else -1
    )
    parser.parse_punctuation("]")
    try:
        return Symbol(name, low, high, unit, likely)
    except ValueError as error:
        parser.raise_error(str(error), position)

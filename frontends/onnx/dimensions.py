"""What a user says of the dimensions of a model: numbers, ranges and names (`seq=1..512@128`, `x=1,3,h:64..1024,w`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TypeAlias

from xdsl.context import Context
from xdsl.parser import Parser
from xdsl.utils.exceptions import ParseError
from xdsl.utils.lexer import Position

from webdnn.dialects.errors import WebDNNError, listed
from webdnn.dialects.sizes.expression import Symbol, symbols_of
from webdnn.dialects.sizes.range import Range, parse_range
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.text import parse_size

DEFAULT_LOW, DEFAULT_HIGH = 1, 1024
"""The range of a size of which nothing is said."""

Dims: TypeAlias = Mapping[str, int | str]
"""What dimensions are, by their names: a number, a range (`"1..512:8@128"`), the name of another one, or an expression
of others (`"past + seq"`)."""

_NAMED = re.compile(r"([^:,=\d.-][^:,=]*?)(?::(.+))?")


@dataclass(frozen=True)
class Named:
    """A size that is called `name` ("" for what the model calls it), with its range where it is said."""

    name: str
    range: Range | None = None

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.name, self.range) if part)


def parse_dimension(value: int | str, where: str) -> int | Named:
    """One size of a shape: a number, `h`, `h:64..1024`, or `64..1024`.

    Raises:
        WebDNNError: it is none of these.
    """
    if not isinstance(value, str):
        return int(value)
    text = value.strip()
    if re.fullmatch(r"-?\d+", text):
        return int(text)
    if (found := parse_range(text, where)) is not None:
        return Named("", found)
    match = _NAMED.fullmatch(text)
    if match is not None:
        name, rest = match[1].strip(), match[2]
        found = None if rest is None else parse_range(rest, where)
        if rest is None or found is not None:
            return Named(name, found)
    raise WebDNNError(
        f"'{value}' is not a size",
        where=where,
        hint="write a number, a name, or a name and its range: h:64..1024, w:64..1024:32@224",
    )


class Dimensions:
    """The sizes that the names of dimensions stand for.

    Args:
        given: what the user says of names.

    Raises:
        WebDNNError: what is said is not of the form that `Dims` has.
    """

    def __init__(self, given: Dims) -> None:
        self._meanings: dict[str, tuple[int | Range | str, str]] = {}
        self._defaults: dict[str, int] = {}
        self._open: list[str] = []
        self.assumed: dict[str, Symbol] = {}
        """The names of which nothing is said, with the range that they got."""
        for name, value in given.items():
            where = f"{name}={value}"
            meaning = parse_dimension(value, where)
            if isinstance(meaning, int):
                self.say(name, meaning, where)
            elif not meaning.name:
                assert meaning.range is not None
                self.say(name, meaning.range, where)
            elif meaning.range is None:
                self.say(name, meaning.name, where)
            else:
                raise WebDNNError(
                    f"dimension '{name}' is given another name and a range",
                    where=where,
                    hint=f"write {name}={meaning.name} and {meaning.name}={meaning.range}",
                )

    def say(self, name: str, meaning: int | Range | str, where: str) -> None:
        """What a name stands for: a number, a range, or what another name (or an expression of some) stands for.

        Raises:
            WebDNNError: it contradicts what was said before.
        """
        if meaning == name:
            return
        if isinstance(meaning, int) and not 0 <= meaning < 2**63:
            raise WebDNNError(f"the size of dimension '{name}' is {meaning}", where=where)
        known, before = self._meanings.setdefault(name, (meaning, where))
        if known == meaning:
            return
        if isinstance(known, str) and not _is_expression(known):
            self.say(known, meaning, where)
            return
        if isinstance(meaning, str) and not _is_expression(meaning):
            # Of two names for one size that one is kept of which something was said.
            self.say(meaning, known, before)
            return
        if isinstance(known, Range) and isinstance(meaning, int) and _holds(known, meaning):
            self._meanings[name] = meaning, where
            return
        if isinstance(known, int) and isinstance(meaning, Range) and _holds(meaning, known):
            return
        raise WebDNNError(
            f"dimension '{name}' is given two sizes: {known} by {before} and {meaning} by {where}",
            why="a symbol has one size in the whole model",
        )

    def expect(self, name: str, likely: int) -> None:
        """The size to optimise for where nothing is said of a name."""
        self._defaults.setdefault(name, likely)

    def final_name(self, name: str) -> str:
        """The name that stands for the same size and for no other name.

        Raises:
            WebDNNError: names stand for each other in a circle.
        """
        seen = [name]
        while isinstance(meaning := self._meanings.get(name, (0, ""))[0], str):
            if _is_expression(meaning):
                break
            name = meaning
            if name in seen:
                raise WebDNNError("dimensions are said to be each other", where=seen)
            seen.append(name)
        return name

    def is_said(self, name: str) -> bool:
        """Whether the user says what a name stands for."""
        return name in self._meanings

    def size(self, name: str) -> int:
        """The size that a name stands for; of one of which nothing is said a symbol of the default range."""
        name = self.final_name(name)
        meaning = self._meanings.get(name, (None, ""))[0]
        if isinstance(meaning, int):
            return meaning
        if isinstance(meaning, Range):
            likely = -1 if meaning.likely is None else meaning.likely
            return Symbol(name, meaning.low, meaning.high, meaning.unit, likely).size
        if meaning is not None:
            if name in self._open:
                raise WebDNNError("dimensions are said to be each other", where=self._open)
            self._open.append(name)
            size = expression_size(meaning, self)
            self._open.pop()
            return size
        likely = min(self._defaults.get(name, DEFAULT_HIGH), DEFAULT_HIGH)
        symbol = Symbol(name, DEFAULT_LOW, DEFAULT_HIGH, likely=likely)
        self.assumed[name] = symbol
        return symbol.size

    def check_names(self, known: Iterable[str]) -> None:
        """Check that the user speaks of names that there are.

        Raises:
            WebDNNError: there is no dimension of a name; it says which ones there are, those that are like it first.
        """
        names = list(dict.fromkeys(known))
        for name, (meaning, where) in self._meanings.items():
            for each in (name, *(names_in(meaning) if isinstance(meaning, str) else [])):
                if each not in names and not (each != name and self.is_said(each)):
                    near = get_close_matches(each, names, n=3, cutoff=0.4)
                    near += [n for n in names if n not in near]
                    raise WebDNNError(
                        f"the model has no dimension named '{each}'",
                        where=where,
                        hint=f"its open dimensions are {listed([repr(n) for n in near])}"
                        if names
                        else "all sizes of its inputs are fixed",
                    )


def _is_expression(text: str) -> bool:
    return names_in(text) != [text]


def _holds(range: Range, size: int) -> bool:
    return range.low <= size <= range.high and size % range.unit == 0


def names_in(text: str) -> list[str]:
    """The names in what a model calls a dimension, where that is an expression of others (`past + 1`); else itself."""
    found: list[str] = []
    size = _parse(text, found)
    return list(dict.fromkeys(found)) if size is not None and found else [text]


def expression_size(text: str, dimensions: Dimensions) -> int:
    """The size that an expression of names is; the names may stand for numbers."""
    names: list[str] = []
    size = _parse(text, names)
    if size is None:
        return dimensions.size(text)
    values = {name: dimensions.size(name) for name in names}
    return evaluate(size, values) if list(symbols_of(size)) else size


def _parse(text: str, names: list[str]) -> int | None:
    """The size that a text says, its names put into `names`; None where it says none."""

    def resolve(name: str, position: Position) -> Symbol:
        names.append(name)
        return Symbol(name, 0, 2**31)

    if "<" in text or ">" in text:
        return None
    # `//` would begin a comment; Python and sympy write it for what MLIR calls floordiv.
    spelled = re.sub(r"\b(Max|Min)\(", lambda m: m[0].lower(), text.replace("//", " floordiv "))
    try:
        parser = Parser(Context(), f"<{spelled}>")
        sizes = parser.parse_comma_separated_list(
            parser.Delimiter.ANGLE, lambda: parse_size(parser, resolve)
        )
    except (ParseError, WebDNNError, ValueError):
        return None
    return sizes[0] if len(sizes) == 1 else None

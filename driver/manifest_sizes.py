"""Sizes in a manifest that a run sets: expressions of the model's symbols, written, checked and computed.

An expression is a number, the name of a symbol, or `[operator, operand, ...]`: `+`, `*` and `max` of two or more, and
`/`, which rounds down, of two. `runtime-ts/src/sizes.ts` computes the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.binding import bind_shapes
from webdnn.dialects.sizes.expression import Atom, Maximum, Quotient, Symbol, is_symbolic, maximum

Expression: TypeAlias = Any
"""`int | str | list[Expression]`, as JSON has it."""

MOST_OPERANDS = 10_000
"""Of one expression, with all that it consists of."""
DEEPEST = 64
SECTIONS = ("wasm", "webgpu")
"""The back ends whose sections have expressions."""
_MOST = 2**53 - 1
"""What JavaScript computes exactly."""


def expression_of(size: int) -> Expression:
    """The expression of a size."""
    if not is_symbolic(size):
        return int(size)
    terms: list[Expression] = []
    for monomial, c in size.terms:
        factors: list[Expression] = []
        for atom in monomial:
            if isinstance(atom, Symbol) and atom.unit != 1:
                if c % atom.unit:
                    factors.append(["/", atom.name, atom.unit])
                    continue
                c //= atom.unit
            factors.append(_atom(atom))
        if c != 1 or not factors:
            factors.append(c)
        terms.append(factors[0] if len(factors) == 1 else ["*", *factors])
    return terms[0] if len(terms) == 1 else ["+", *terms]


def _atom(atom: Atom) -> Expression:
    match atom:
        case Symbol():
            return atom.name
        case Quotient():
            return ["/", expression_of(atom.dividend), expression_of(atom.divisor)]
        case Maximum():
            return ["max", *(expression_of(size) for size in atom.sizes)]


def symbol_entry(symbol: Symbol) -> dict[str, Any]:
    """What a manifest says of a symbol."""
    return {
        "name": symbol.name,
        "low": symbol.low,
        "high": symbol.high,
        "multiple": symbol.unit,
        "likely": symbol.likely,
    }


OPERATORS: Mapping[str, Callable[[int, int], int]] = {
    "+": lambda a, b: a + b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a // b,
    "max": maximum,
}


def value_of(expression: Expression, values: Mapping[str, int]) -> int:
    """The number that an expression is; a size, where values of symbols are sizes.

    Raises:
        ValueError: it is none that JavaScript computes exactly, or something is divided by 0.
    """
    if isinstance(expression, int):
        return expression
    if isinstance(expression, str):
        return values[expression]
    operator, *operands = expression
    try:
        result = reduce(OPERATORS[operator], (value_of(each, values) for each in operands))
    except ZeroDivisionError as error:
        raise ValueError("a size is divided by 0") from error
    if not is_symbolic(result) and abs(result) > _MOST:
        raise ValueError("a size is too large")
    return result


def expression_problem(expression: Expression, known: Mapping[str, int]) -> str | None:
    """What is wrong with the form of an expression of some symbols; None if nothing is."""
    left = [(expression, 1)]
    count = 0
    while left:
        each, depth = left.pop()
        count += 1
        if depth > DEEPEST or count > MOST_OPERANDS:
            return "is an expression that is too long"
        if isinstance(each, str):
            if each not in known:
                return f"has a symbol {each!r}, which is not known there"
        elif isinstance(each, list):
            operator, *operands = each
            if not (isinstance(operator, str) and operator in OPERATORS):
                return f"has an operator {operator!r}"
            if operator == "/" and len(operands) != 2:
                return "divides two sizes"
            left += [(operand, depth + 1) for operand in operands]
    return None


def names_in(expression: Expression) -> set[str]:
    """The names in an expression that has no problem."""
    if isinstance(expression, list):
        return {name for each in expression[1:] for name in names_in(each)}
    return {expression} if isinstance(expression, str) else set()


def expression_text(expression: Expression) -> str:
    """An expression for people."""
    if not isinstance(expression, list):
        return str(expression)
    operator, *operands = expression
    texts = [expression_text(each) for each in operands]
    return f"max({', '.join(texts)})" if operator == "max" else f"({f' {operator} '.join(texts)})"


def shape_text(shape: Sequence[Expression]) -> str:
    """A shape for people."""
    return f"[{', '.join(expression_text(size) for size in shape)}]"


def likely_values(manifest: Mapping[str, Any]) -> dict[str, int]:
    """The likely value of each symbol of a manifest."""
    return {symbol["name"]: symbol["likely"] for symbol in manifest.get("symbols", ())}


def sizes_for(manifest: Mapping[str, Any], dims: Mapping[str, int]) -> dict[str, int]:
    """The values of symbols for a run that somebody chooses.

    Args:
        dims: the values of some; others have their likely ones.

    Raises:
        WebDNNError: there is no such symbol, or it is never that.
    """
    values = likely_values(manifest)
    if unknown := [name for name in dims if name not in values]:
        known = ", ".join(values)
        raise WebDNNError(
            f"the package has no size {unknown[0]!r} that is open",
            hint=f"it has {known}" if known else "all its sizes are fixed",
        )
    for symbol in manifest.get("symbols", ()):
        name, low, high = symbol["name"], symbol["low"], symbol["high"]
        found = dims.get(name, low)
        if not low <= found <= high or found % symbol["multiple"]:
            multiple = symbol["multiple"]
            raise WebDNNError(
                f"{name} cannot be {found}",
                why=f"it is {low} to {high}"
                + (f", in multiples of {multiple}" if multiple > 1 else ""),
            )
    return {**values, **dims}


def tensors_at(
    manifest: Mapping[str, Any], role: str, dims: Mapping[str, int]
) -> list[dict[str, Any]]:
    """The inputs or outputs of a manifest with numbers in their shapes: see `sizes_for`.

    Args:
        role: `inputs` or `outputs`.
    """
    values = sizes_for(manifest, dims)
    return [_tensor_at(tensor, values) for tensor in manifest[role]]


def bound_values(
    manifest: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
    known: Mapping[str, int] | None = None,
    role: str = "inputs",
) -> dict[str, int]:
    """The value of each symbol of a manifest, from the shapes of the inputs of a run.

    Args:
        known: the values that the states of the model say.
        role: `states`, where the shapes are those of states: the values of their symbols alone.

    Raises:
        WebDNNError: a shape does not fit, a size is out of range, or two inputs contradict each other.
    """
    symbols = {
        symbol["name"]: Symbol(
            symbol["name"], symbol["low"], symbol["high"], symbol["multiple"], symbol["likely"]
        ).size
        for symbol in manifest.get("symbols", ())
    }
    key = "name" if role == "inputs" else "input"
    declared = {
        tensor[key]: [value_of(size, symbols) for size in tensor["shape"]]
        for tensor in manifest.get(role, ())
    }
    values = bind_shapes(declared, shapes, known)
    if role == "states":
        return values
    # a symbol of one value is a number
    return {name: values.get(name, size) for name, size in symbols.items()}


def manifest_at(
    manifest: dict[str, Any], values: Mapping[str, int], turn: int = 0
) -> dict[str, Any]:
    """A manifest with numbers in the place of expressions; itself, if it has no symbols and no states.

    Args:
        turn: 0 or 1, where states have changed places.

    Raises:
        ValueError: an expression is no size.
    """
    if not manifest.get("symbols") and not manifest.get("states"):
        return manifest
    backends = dict(manifest["backends"])
    for name, section in manifest["backends"].items():
        if name not in SECTIONS:
            continue
        known = {**values, **({section["turn"]: turn} if "turn" in section else {})}
        for definition in section.get("definitions", ()):
            known[definition["name"]] = value_of(definition["size"], known)
        backends[name] = _section_at(section, known)
    return {
        **manifest,
        **{
            role: [_tensor_at(t, values) for t in manifest[role]]
            for role in ("inputs", "outputs", "states")
            if role in manifest
        },
        "backends": backends,
    }


def state_sizes(
    manifest: Mapping[str, Any], values: Mapping[str, int]
) -> dict[str, tuple[int, ...]]:
    """The shape of each state for some values of symbols, by the name of its input."""
    return {
        state["input"]: tuple(_length(size, values) for size in state["shape"])
        for state in manifest.get("states", ())
    }


def tensor_dtype(tensor: Mapping[str, Any]) -> np.dtype[Any]:
    """numpy's name of the elements of an input, output or state."""
    name = tensor["dtype"]
    return np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)


def _tensor_at(tensor: Mapping[str, Any], values: Mapping[str, int]) -> dict[str, Any]:
    return {**tensor, "shape": [_length(size, values) for size in tensor["shape"]]}


def _length(expression: Expression, values: Mapping[str, int]) -> int:
    value = value_of(expression, values)
    if value < 0:
        raise ValueError(f"{expression_text(expression)} is {value}")
    return value


def _section_at(section: Mapping[str, Any], values: Mapping[str, int]) -> dict[str, Any]:
    def place(entry: Mapping[str, Any]) -> dict[str, Any]:
        keys = [key for key in ("offset", "bytes") if key in entry]
        return {**entry, **{key: _length(entry[key], values) for key in keys}}

    def lengths(sizes: Sequence[Expression]) -> list[int]:
        return [_length(size, values) for size in sizes]

    def launch(entry: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {
            key: lengths(entry[key]) for key in ("workgroups", "sizes") if key in entry
        }
        if "bindings" in entry:
            found["bindings"] = [place(each) for each in entry["bindings"]]
        return {**entry, **found}

    result = {
        **section,
        "inputs": [place(entry) for entry in section["inputs"]],
        "outputs": [place(entry) for entry in section["outputs"]],
        "launches": [launch(entry) for entry in section["launches"]],
    }
    for name in ("arena", "seed"):
        if name in section:
            result[name] = place(section[name])
    if "buffers" in section:
        result["buffers"] = [place(entry) for entry in section["buffers"]]
    if "table" in section:
        result["table"] = {**section["table"], "words": lengths(section["table"]["words"])}
    return result

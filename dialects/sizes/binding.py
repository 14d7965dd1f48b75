"""The values of symbols, from the shapes of the arrays that a program is run on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.expression import Symbol, as_symbol, is_symbolic, unique_symbols
from webdnn.dialects.sizes.substitution import evaluate


def bind_shapes(
    declared: Mapping[str, Sequence[int]],
    given: Mapping[str, Sequence[int]],
    known: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """The values of symbols by their names.

    Args:
        declared: the sizes that each input is to have, by its name.
        given: the shape that its array has.
        known: the values of symbols that the states of the model say.

    Raises:
        WebDNNError: a shape does not fit its sizes, or a size is outside the range of its symbol; it names the input,
            the dimension and the range.
    """
    values = dict(known or {})
    owners = {name: f"{name} is {value} in the state" for name, value in values.items()}
    for name, sizes in declared.items():
        shape = given[name]
        if len(sizes) != len(shape):
            raise WebDNNError(
                f"input '{name}' has the shape {list(shape)}, and {len(sizes)} dimensions are needed",
                why=f"its sizes are [{', '.join(map(str, sizes))}]",
            )
        for axis, (size, found) in enumerate(zip(sizes, shape, strict=True)):
            symbol = as_symbol(size)
            if symbol is not None and symbol.name not in values:
                _check_range(symbol, found, f"dimension {axis} of input '{name}'")
                values[symbol.name] = found
                owners[symbol.name] = f"{symbol} is {found} by input '{name}'"
    for name, sizes in declared.items():
        for axis, (size, found) in enumerate(zip(sizes, given[name], strict=True)):
            where = f"dimension {axis} of input '{name}'"
            _solve(size, found, where, values, owners)
            wanted = evaluate(size, values)
            if wanted != found:
                by = [owners[symbol.name] for symbol in unique_symbols([size])]
                needed = f"{size} = {wanted}" if is_symbolic(size) else f"{wanted}"
                raise WebDNNError(
                    f"{where} is {found}, and must be {needed}", why=", ".join(dict.fromkeys(by))
                )
    return values


def _solve(
    size: int, found: int, where: str, values: dict[str, int], owners: dict[str, str]
) -> None:
    """Find the only symbol of an expression that has no value yet, where it stands there times a number."""
    unknown = [symbol for symbol in unique_symbols([size]) if symbol.name not in values]
    if not unknown:
        return
    if len(unknown) == 1:
        (symbol,) = unknown
        zero, one = (evaluate(size, {**values, symbol.name: n * symbol.unit}) for n in (0, 1))
        if one != zero and (found - zero) % (one - zero) == 0:
            value = (found - zero) // (one - zero) * symbol.unit
            if evaluate(size, {**values, symbol.name: value}) == found:
                _check_range(symbol, value, f"{symbol} by {where}")
                values[symbol.name] = value
                owners[symbol.name] = f"{symbol} is {value} by {where}"
                return
    raise WebDNNError(
        f"the size of {where} does not say what {unknown[0]} is",
        why=f"it is to be {size}, and no dimension is {unknown[0]} alone",
        hint=f"bind it: --dim {unknown[0]}={unknown[0].likely}",
    )


def _check_range(symbol: Symbol, value: int, where: str) -> None:
    if symbol.low <= value <= symbol.high and value % symbol.unit == 0:
        return
    unit = f", and a multiple of {symbol.unit}" if symbol.unit != 1 else ""
    raise WebDNNError(
        f"{where} is {value}, and '{symbol}' is {symbol.low} to {symbol.high}{unit}",
        hint=f"compile the model for more sizes: --dim {symbol}={min(symbol.low, value)}..{max(symbol.high, value)}",
    )

"""What the shapes of a program's inputs say of its symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.sizes.expression import Symbol, as_symbol, evaluate, is_symbolic


def bind_shapes(
    declared: Mapping[str, Sequence[int]], given: Mapping[str, Sequence[int]]
) -> dict[str, int]:
    """The values of all symbols that are dimensions of inputs, by their names.

    Args:
        declared: the sizes of each input, by its name.
        given: the shapes of the tensors that are given for them.

    Raises:
        WebDNNError: a shape contradicts what is declared, or another shape; names the input and the dimension.
    """
    values: dict[str, int] = {}
    owners: dict[str, str] = {}
    for name, sizes in declared.items():
        shape = given[name]
        if len(shape) != len(sizes):
            raise WebDNNError(
                f"input '{name}' has {len(shape)} dimensions and not {len(sizes)}",
                why=f"it is {list(sizes)}",
            )
        for axis, (size, number) in enumerate(zip(sizes, shape, strict=True)):
            where = f"dimension {axis} of input '{name}'"
            symbol = as_symbol(size)
            if symbol is not None:
                _check_range(symbol, number, where)
                owner = owners.setdefault(symbol.name, where)
                if values.setdefault(symbol.name, number) != number:
                    raise WebDNNError(
                        f"{where} is {number}, and {owner} is {values[symbol.name]}",
                        why=f"both are {symbol.name}",
                    )
            elif not is_symbolic(size) and size != number:
                raise WebDNNError(f"{where} is {number} and not {size}")
    for name, sizes in declared.items():
        for axis, (size, number) in enumerate(zip(sizes, given[name], strict=True)):
            if is_symbolic(size) and evaluate(size, values) != number:
                raise WebDNNError(
                    f"dimension {axis} of input '{name}' is {number} and not {evaluate(size, values)}",
                    why=f"it is {size}",
                )
    return values


def _check_range(symbol: Symbol, number: int, where: str) -> None:
    if symbol.low <= number <= symbol.high and number % symbol.unit == 0:
        return
    multiple = f", in multiples of {symbol.unit}" if symbol.unit != 1 else ""
    raise WebDNNError(
        f"{where} is {number}", why=f"{symbol.name} is {symbol.low} to {symbol.high}{multiple}"
    )

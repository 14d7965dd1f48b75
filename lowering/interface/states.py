"""`keep-states`: outputs that the next run takes as inputs stay where they are from one run to the next."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError, listed
from webdnn.dialects.onnx import INPUT_NAMES, OUTPUT_NAMES, STATES, strings_of
from webdnn.dialects.sizes.expression import Symbol, as_symbol, bounds
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.interface.names import position_in
from webdnn.lowering.interface.pairs import parse_pairs
from webdnn.lowering.weights_function import entry_function

_PAST = ("past_key_values", "past")
_PRESENT = ("present", "present_key_values")
"""How names of caches begin among the inputs and among the outputs of decoders: `past_key_values.0.key` becomes
`present.0.key` (Optimum, ONNX Runtime GenAI), `past_key_self_0` becomes `present_key_self_0`."""


def parse_states(values: Iterable[str]) -> dict[str, str]:
    """`["past=present"]` as `{"past": "present"}`.

    Raises:
        WebDNNError: a value is not of this form, or an input is named twice.
    """
    return parse_pairs(
        values,
        "--state {} names no state",
        "write --state INPUT=OUTPUT",
        "the input '{}' is given two states",
    )


def usual_states(inputs: Sequence[str], outputs: Sequence[str]) -> dict[str, str]:
    """The states of a model by the names that exporters of decoders give to caches."""
    found: dict[str, str] = {}
    for name in inputs:
        names = [
            present + name.removeprefix(past)
            for past in _PAST
            if name.startswith(past)
            for present in _PRESENT
        ]
        output = next((each for each in names if each in outputs), None)
        if output is not None and output not in found.values():
            found[name] = output
    return found


def next_sizes(
    states: Iterable[tuple[Sequence[int], Sequence[int]]],
) -> dict[Symbol, int]:
    """What the symbols of states are in the next run, by what they are in this one: only those that change.

    Args:
        states: the shape before a run and after it, for each state.

    Raises:
        ValueError: a state does not come back in a shape that the next run takes.
    """
    found: dict[Symbol, int] = {}
    kept: set[Symbol] = set()
    for before, after in states:
        if len(before) != len(after):
            raise ValueError(f"it has {len(before)} dimensions, and comes back with {len(after)}")
        for axis, (size, following) in enumerate(zip(before, after, strict=True)):
            symbol = as_symbol(size)
            if size == following:
                kept |= {symbol} if symbol else set()
            elif symbol is None:
                raise ValueError(f"dimension {axis} is {size}, and comes back as {following}")
            elif found.setdefault(symbol, following) != following:
                raise ValueError(f"{symbol} would become {found[symbol]} and {following}")
    for symbol in kept & found.keys():
        raise ValueError(f"{symbol} would become {found[symbol]}, and stay what it is")
    return found


@dataclass(frozen=True)
class KeepStates(ModulePass):
    """Writes the pairs on `@main`: see `webdnn.dialects.onnx.STATES`.

    `pairs` are names of inputs and outputs (`past=present`). `where_they_fit`: those that cannot be states stay inputs
    and outputs, and so do those that would not begin empty.
    """

    name = "keep-states"

    pairs: tuple[str, ...]
    where_they_fit: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        function = entry_function(op)
        pairs = parse_states(self.pairs)
        if self.where_they_fit:
            pairs = _fitting(function, pairs)
        else:
            _check(function, pairs)
        if pairs:
            function.attributes[STATES] = ArrayAttr(
                ArrayAttr([StringAttr(past), StringAttr(present)])
                for past, present in pairs.items()
            )


def _shapes(
    function: FuncOp, pairs: Mapping[str, str]
) -> dict[str, tuple[Sequence[int], Sequence[int]]]:
    """The shapes before and after a run, by the name of the input.

    Raises:
        WebDNNError: there is no such input or output, or their types differ.
    """
    inputs, outputs = strings_of(function, INPUT_NAMES), strings_of(function, OUTPUT_NAMES)
    results = function.function_type.outputs.data
    found: dict[str, tuple[Sequence[int], Sequence[int]]] = {}
    for past, present in pairs.items():
        before = function.body.block.args[position_in(inputs, "input", past)]
        after = results[position_in(outputs, "output", present)]
        if element_of(before) != element_of(after):
            why = f"the one has elements of {element_of(before)}, the other of {element_of(after)}"
            raise _not_a_state(past, present, why)
        found[past] = shape_of(before), shape_of(after)
    return found


def _not_a_state(past: str, present: str, why: str) -> WebDNNError:
    return WebDNNError(
        f"the output '{present}' is no state for the input '{past}'",
        where=past,
        why=why,
        hint="leave it out, and give the input to each run",
    )


def _check(function: FuncOp, pairs: Mapping[str, str]) -> None:
    """Check that all pairs can be states, together.

    Raises:
        WebDNNError: one cannot.
    """
    presents = [*pairs.values()]
    for present in presents:
        if presents.count(present) > 1:
            twice = [past for past, other in pairs.items() if other == present]
            raise WebDNNError(f"the output '{present}' is given to two states", where=listed(twice))
    shapes = _shapes(function, pairs)
    done: list[tuple[Sequence[int], Sequence[int]]] = []
    growing: dict[Symbol, int] = {}
    for past, each in shapes.items():
        done.append(each)
        try:
            growing = next_sizes(done)
        except ValueError as error:
            raise _not_a_state(past, pairs[past], str(error)) from None
    for symbol, size in growing.items():
        if bounds(size)[0] > symbol.high:
            raise WebDNNError(
                f"no state fits: {symbol} is {symbol.low} to {symbol.high}, and {size} after a run",
                where=[*pairs],
                hint=f"give it a wider range: --dim {symbol}=0..{2 * bounds(size)[0]}",
            )
        if symbol.low > 0:
            warnings.warn(
                f"{symbol} is at least {symbol.low}, so states begin with as many elements, which are 0; a cache "
                f"begins with none: --dim {symbol}=0..{symbol.high}",
                stacklevel=2,
            )


def _fitting(function: FuncOp, pairs: Mapping[str, str]) -> dict[str, str]:
    """Those of the pairs that can be states, together, and are empty at first or of fixed shape."""
    found: dict[str, str] = {}
    for past, present in pairs.items():
        try:
            shapes = _shapes(function, {**found, past: present})
            growing = next_sizes(shapes.values())
        except (WebDNNError, ValueError):
            continue
        if all(s.low == 0 and bounds(size)[0] <= s.high for s, size in growing.items()):
            found[past] = present
    return found

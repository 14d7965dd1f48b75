"""What `@main` says of the inputs and outputs of a model, at every level above `plan`."""

from __future__ import annotations

from xdsl.dialects.builtin import ArrayAttr, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Operation, SSAValue

INPUT_NAMES = "webdnn.input_names"
"""Attribute of `@main`: the model's names of its inputs, a list of strings."""
OUTPUT_NAMES = "webdnn.output_names"
"""Attribute of `@main`: the model's names of its outputs, a list of strings."""
INPUT_DTYPES = "webdnn.input_dtypes"
"""Attribute of `@main`: the inputs' element types as packages spell them (`"float32"`), a list of strings."""
OUTPUT_DTYPES = "webdnn.output_dtypes"
"""Attribute of `@main`: the outputs' element types as packages spell them, a list of strings."""
INPUT_SYMBOLS = "webdnn.input_symbols"
"""Attribute of `@main`: the symbols of each input's dimensions, a list of lists of strings (`""`: none)."""
OUTPUT_SYMBOLS = "webdnn.output_symbols"
"""Attribute of `@main`: the symbols of each output's dimensions, a list of lists of strings."""

STATES = "webdnn.states"
"""Attribute of `@main`: the names of an input and of an output for each state, a list of lists of two strings. What a
run gives as that output, the next run takes as that input."""

SEED = "webdnn.seed"
"""Attribute of `@main`: its last argument is the seed of a run, which has no name and is none of the inputs."""


def inputs_and_seed(main: FuncOp) -> tuple[list[SSAValue], SSAValue | None]:
    """The arguments of `@main` that are inputs of the model, and the one that is the seed of a run, if there is one."""
    arguments: list[SSAValue] = [*main.body.block.args]
    return (arguments[:-1], arguments[-1]) if SEED in main.attributes else (arguments, None)


def states_of(main: FuncOp) -> list[tuple[int, int]]:
    """The states of a model: which input each is, and which output."""
    inputs, outputs = strings_of(main, INPUT_NAMES), strings_of(main, OUTPUT_NAMES)
    return [(inputs.index(i), outputs.index(o)) for i, o in string_lists_of(main, STATES)]


def strings_of(op: Operation, key: str) -> list[str]:
    """The strings of an attribute that is a list of them; none where the op has no such attribute."""
    return _strings(op.attributes.get(key))


def string_lists_of(op: Operation, key: str) -> list[list[str]]:
    """The lists of strings of an attribute that is a list of these; none where the op has no such attribute."""
    attr = op.attributes.get(key)
    return [_strings(a) for a in attr.data] if isinstance(attr, ArrayAttr) else []


def _strings(attr: Attribute | None) -> list[str]:
    if not isinstance(attr, ArrayAttr):
        return []
    return [s.data for s in attr.data if isinstance(s, StringAttr)]


def example_size(axis: int, rank: int) -> int:
    """A size that a dimension of an input often has: those of one picture, of a few, or of one sequence."""
    if axis == 0:
        return 1
    if rank < 4:
        return 128
    return 3 if axis == 1 else 224 if rank == 4 else 16

"""Which inputs of the model a value is computed from, so that a message can say which of them to bind."""

from __future__ import annotations

from xdsl.dialects.builtin import TensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import BlockArgument, Operation, SSAValue

from webdnn.dialects.dtypes import is_float
from webdnn.dialects.onnx import INPUT_NAMES, OnnxOp, strings_of
from webdnn.dialects.sizes.types import size_of

_MOST_ELEMENTS = 64
"""An input of more elements is data, and no setting."""

_SHAPE_ONLY = {"Shape", "Size"}


def binding_hint(value: SSAValue) -> str:
    """How to make a value of the `onnx` level known when compiling, where it is computed from small inputs alone."""
    arguments = _arguments_behind(value)
    names = [_input_name(argument) for argument in arguments if _is_setting(argument)]
    if not names or len(names) < len(arguments):
        return ""
    options = " ".join(f"--value {name}=..." for name in names)
    items = ", ".join(f"{name!r}: ..." for name in names)
    return f"bind what it is computed from, if that is always the same: {options} (in Python values={{{items}}})"


def _arguments_behind(value: SSAValue) -> list[BlockArgument]:
    """The arguments of the function that a value is computed from."""
    found: dict[BlockArgument, None] = {}
    seen: set[SSAValue] = set()
    pending = [value]
    while pending:
        value = pending.pop()
        if value in seen:
            continue
        seen.add(value)
        owner: Operation | None
        if isinstance(value, BlockArgument):
            owner = value.block.parent_op()
            if isinstance(owner, FuncOp):
                found[value] = None
                continue
        else:
            owner = value.owner if isinstance(value.owner, Operation) else None
        if owner is None or (
            isinstance(owner, OnnxOp) and not owner.domain and owner.op_type in _SHAPE_ONLY
        ):
            continue
        pending.extend(operand for inner in owner.walk() for operand in inner.operands)
    return sorted(found, key=lambda argument: argument.index)


def _is_setting(argument: BlockArgument) -> bool:
    """Whether an input has a name and may be the same at each run: a single number, or a few that are no floats."""
    type = argument.type
    if not isinstance(type, TensorType) or any(n < 0 for n in type.get_shape()):
        return False
    most = 1 if is_float(type.element_type) else _MOST_ELEMENTS
    return size_of(type) <= most and bool(_input_name(argument))


def _input_name(argument: BlockArgument) -> str:
    """The name of an input in the model; empty where IR was written without names."""
    function = argument.block.parent_op()
    assert isinstance(function, FuncOp)
    names = strings_of(function, INPUT_NAMES)
    return names[argument.index] if argument.index < len(names) else ""

"""What `@main` calls its inputs and outputs: finding, replacing, and `rename-interface`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ArrayAttr, ModuleOp, StringAttr
from xdsl.dialects.func import FuncOp
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError, listed
from webdnn.dialects.onnx import INPUT_NAMES, OUTPUT_NAMES, string_lists_of, strings_of
from webdnn.lowering.interface.pairs import parse_pairs
from webdnn.lowering.weights_function import entry_function

_ROLES = {INPUT_NAMES: "input", OUTPUT_NAMES: "output"}


def position(function: FuncOp, key: str, name: str) -> int:
    """Which input or output (by `key`, INPUT_NAMES or OUTPUT_NAMES) has a name; "" stands for the only one.

    Raises:
        WebDNNError: none has it, or there are several.
    """
    return position_in(strings_of(function, key), _ROLES[key], name)


def position_in(names: Sequence[str], role: str, name: str) -> int:
    """The place of a name among those of the inputs or outputs; "" stands for the only one.

    Raises:
        WebDNNError: it is not among them, or there are several.
    """
    known = f"its {role}s are {listed([repr(n) for n in names])}" if names else "it has none"
    if not name:
        if len(names) == 1:
            return 0
        raise WebDNNError(f"the model has {len(names)} {role}s", hint=f"name one: {known}")
    if name not in names:
        raise WebDNNError(f"the model has no {role} named {name!r}", hint=known)
    return names.index(name)


def replace_string(function: FuncOp, key: str, index: int, *values: str) -> None:
    """Put strings in the place of one in an attribute that is a list of them."""
    found = strings_of(function, key)
    found[index : index + 1] = values
    function.attributes[key] = _strings(found)


def replace_strings(function: FuncOp, key: str, index: int, *values: Sequence[str]) -> None:
    """Put lists of strings in the place of one in an attribute that is a list of these."""
    found = string_lists_of(function, key)
    found[index : index + 1] = map(list, values)
    function.attributes[key] = ArrayAttr(_strings(each) for each in found)


def _strings(values: Iterable[str]) -> ArrayAttr[StringAttr]:
    return ArrayAttr(StringAttr(value) for value in values)


def parse_renamings(values: Iterable[str], option: str = "") -> dict[str, str]:
    """`["StatefulPartitionedCall:1=notes"]` as `{"StatefulPartitionedCall:1": "notes"}`. What is behind the last `=`
    is the new name: an old one may hold any.

    Raises:
        WebDNNError: a value is not of this form, or renames what another one does.
    """
    problem, twice = f"{option} {{}} renames nothing", "'{}' is given two new names: '{}' and '{}'"
    return parse_pairs(values, problem, "write OLD=NEW", twice, at_last=True)


def renamed(names: Sequence[str], role: str, renamings: Mapping[str, str]) -> list[str]:
    """Names of inputs or outputs after renaming.

    Args:
        names: the names before.
        role: `input` or `output`, for messages.
        renamings: new names by the old ones.

    Raises:
        WebDNNError: nothing has an old name, a new one is empty, or two would have one name.
    """
    for old, new in renamings.items():
        position_in(names, role, old or "?")
        if not new:
            raise WebDNNError(f"the {role} {old!r} would have no name")
    found = [renamings.get(name, name) for name in names]
    for index, name in enumerate(found):
        if name in found[:index]:
            both = [names[found.index(name)], names[index]]
            raise WebDNNError(
                f"two {role}s would be named {name!r}",
                where=both,
                hint=f"give them different names: --rename-{role} OLD=NEW",
            )
    return found


@dataclass(frozen=True)
class RenameInterface(ModulePass):
    """New names for all inputs, and all outputs, of `@main`, in their order; none leave them as they are."""

    name = "rename-interface"

    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        function = entry_function(op)
        for key, new in ((INPUT_NAMES, self.inputs), (OUTPUT_NAMES, self.outputs)):
            count = len(strings_of(function, key))
            if new and len(new) != count:
                raise WebDNNError(f"there are {len(new)} names for {count} {_ROLES[key]}s")
            if new:
                function.attributes[key] = _strings(new)

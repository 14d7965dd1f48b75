"""The names of a model's nodes in the locations of the IR."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence

from xdsl.dialects.builtin import ArrayAttr, FusedLoc, NameLoc
from xdsl.ir import Attribute, Operation, SSAValue


def location_names(location: Attribute) -> Iterator[str]:
    """The names in a location: `Conv_3` and `Relu_4` of `loc(fused["Conv_3", "Relu_4"])`."""
    if isinstance(location, NameLoc):
        yield location.desc.data
    elif isinstance(location, FusedLoc) and isinstance(location.locations, ArrayAttr):
        for part in location.locations.data:
            yield from location_names(part)


def operations_at(error: BaseException) -> Iterator[Operation]:
    """The operations, and the owners of values, that code held when it raised an exception; innermost frame first."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    for frame in reversed(frames):
        for held in frame.f_locals.values():
            op = held.owner if isinstance(held, SSAValue) else held
            if isinstance(op, Operation):
                yield op


def nodes_at(error: BaseException) -> Sequence[str]:
    """The nodes that code was at when it raised an exception: those of the first operation with a location."""
    for op in operations_at(error):
        if names := list(location_names(op.location)):
            return list(dict.fromkeys(names))
    return ()

"""The names of a model's nodes in the locations of the IR."""

from __future__ import annotations

from collections.abc import Iterator

from xdsl.dialects.builtin import ArrayAttr, FusedLoc, NameLoc
from xdsl.ir import Attribute


def location_names(location: Attribute) -> Iterator[str]:
    """The names in a location: `Conv_3` and `Relu_4` of `loc(fused["Conv_3", "Relu_4"])`."""
    if isinstance(location, NameLoc):
        yield location.desc.data
    elif isinstance(location, FusedLoc) and isinstance(location.locations, ArrayAttr):
        for part in location.locations.data:
            yield from location_names(part)

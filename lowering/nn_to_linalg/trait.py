"""The lowering of an `nn` op that brings it along, because it is of no dialect here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from xdsl.ir import Operation
from xdsl.traits import OpTrait

from webdnn.dialects import kernel
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.foreign_code import foreign_errors, place_of
from webdnn.dialects.locations import location_names
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, signless


@dataclass(frozen=True)
class LinalgLowering(OpTrait):
    """How an op of level `nn` becomes structured ops.

    Attributes:
        function: gets the op and a builder whose arguments are the op's operands, on which integers are signless, and
            gives `builder.finish(result)`.
    """

    function: Callable[[Any, RegionBuilder], kernel.RegionOp]

    def lower(self, op: Operation, region: RegionBuilder) -> kernel.RegionOp:
        """The region of an op.

        Raises:
            WebDNNError: the function raises an exception, or gives a region that is not valid, or one of other types
                than the op's.
        """
        what, where = f"the lowering of {op.name} to linalg", [*location_names(op.location)]
        with foreign_errors(what, self.function, where):
            lowered = self.function(op, region)
            lowered.verify()
        found = [result.type for result in lowered.results]
        wanted = [signless(result.type) for result in op.results]
        if found != wanted:
            raise WebDNNError(
                f"{what} gives {_listed(found)}, and the op is of {_listed(wanted)}",
                where=[*where, place_of(self.function)],
            )
        return lowered


def _listed(types: list[Any]) -> str:
    return ", ".join(map(str, types)) or "nothing"

"""The numpy meaning of an op that brings it along, because it is of none of the dialects here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.ir import Operation
from xdsl.traits import OpTrait

from webdnn.dialects.dtypes import Array


@dataclass(frozen=True)
class NumpyMeaning(OpTrait):
    """What an op computes.

    Attributes:
        function: of an `nn` op: gets the op and the arrays of its operands. Of an ONNX operator: gets the arrays, None
            for an operand that is absent, and the attributes as keywords. It gives the array of the result, or a list
            of them where there are several.
    """

    function: Callable[..., Array | Sequence[Array]]


def is_nn(op: Operation) -> bool:
    """Whether an op of level `nn` is run in numpy where its operands are known, as those of the `nn` dialect are."""
    return op.name.startswith("nn.") or op.get_trait(NumpyMeaning) is not None

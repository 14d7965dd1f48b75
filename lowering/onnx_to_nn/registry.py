"""The lowerings by operator. Adding an operator is one decorated function in a file of its family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import onnx
from xdsl.ir import SSAValue
from xdsl.traits import OpTrait

from webdnn.dialects.onnx import OnnxOp
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.node import Node, Value

Results = SSAValue | Sequence[Value]
"""What a lowering gives: the result, or the results in the order of the schema."""
Lowering = Callable[[Node, NNBuilder], Results]

FAMILIES = (
    "elementwise",
    "activation",
    "convolution",
    "pooling",
    "shape",
    "indexing",
    "reduction",
    "normalisation",
    "matmul",
    "resize",
    "quantisation",
    "attention",
    "recurrent",
    "einsum",
    "sorting",
    "scatter",
    "control_flow",
    "sequences",
    "signal",
    "sampling",
    "random_numbers",
)
"""The modules of this package that hold lowerings."""


@dataclass(frozen=True)
class Entry:
    """One registered lowering."""

    since: int
    function: Lowering
    static: tuple[int, ...]


@dataclass(frozen=True)
class NNLowering(OpTrait):
    """The lowering that the class of an operator brings along, because ONNX does not define that operator."""

    entry: Entry


_LOWERINGS: dict[tuple[str, str], list[Entry]] = {}


def onnx_lowering(
    *op_types: str, since: int = 1, domain: str = "", static: Sequence[int] = ()
) -> Callable[[Lowering], Lowering]:
    """Register a function as the lowering of operators.

    The function gets the node and a builder and gives the lowered result, or a list of them. It raises `Unsupported`
    where the node cannot be expressed.

    Args:
        op_types: the operators.
        since: the first version that this is the lowering of.
        domain: their domain.
        static: the operands whose values must be known at compile time (`node.known(i)`).
    """

    def register(function: Lowering) -> Lowering:
        for op_type in op_types:
            versions = _LOWERINGS.setdefault((domain, op_type), [])
            versions.append(Entry(since, function, tuple(static)))
            versions.sort(key=lambda entry: -entry.since)
        return function

    return register


def find_lowering(op: type[OnnxOp] | OnnxOp) -> Entry | None:
    """The lowering of an op's version, or None where there is none."""
    if (own := op.get_trait(NNLowering)) is not None:
        return own.entry
    load_families()
    for entry in _LOWERINGS.get((op.domain, op.op_type), ()):
        if entry.since <= op.since_version:
            return entry
    return None


@cache
def load_families() -> None:
    """Import all families, which registers their lowerings."""
    for family in FAMILIES:
        import_module(f"webdnn.lowering.onnx_to_nn.{family}")


def lowered_operators() -> list[tuple[str, str]]:
    """(domain, operator) of everything that has a lowering, sorted."""
    load_families()
    return sorted(_LOWERINGS)


def _is_function(schema: Any) -> bool:
    # The type stubs of the onnx package lack these two.
    return bool(schema.has_function or schema.has_context_dependent_function)


@cache
def inlined_operators() -> tuple[str, ...]:
    """The operators without a lowering that ONNX defines as functions of others: the front end is to inline these."""
    load_families()
    return tuple(
        sorted(
            schema.name
            for schema in onnx.defs.get_all_schemas()
            if schema.domain == ""
            and not schema.deprecated
            and _is_function(schema)
            and ("", schema.name) not in _LOWERINGS
        )
    )

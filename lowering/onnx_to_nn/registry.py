"""The lowerings by operator. Adding an operator is one decorated function in a file of its family."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module

from xdsl.ir import SSAValue

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
)
"""The modules of this package that hold lowerings."""

_LOWERINGS: dict[tuple[str, str], list[tuple[int, Lowering]]] = {}


def onnx_lowering(
    *op_types: str, since: int = 1, domain: str = ""
) -> Callable[[Lowering], Lowering]:
    """Register a function as the lowering of operators from version `since` of their domain on.

    The function gets the node and a builder and gives the lowered result, or a list of them. It raises `Unsupported`
    where the node cannot be expressed.
    """

    def register(function: Lowering) -> Lowering:
        for op_type in op_types:
            versions = _LOWERINGS.setdefault((domain, op_type), [])
            versions.append((since, function))
            versions.sort(key=lambda entry: -entry[0])
        return function

    return register


def find_lowering(op: type[OnnxOp] | OnnxOp) -> Lowering | None:
    """The lowering of an op's version, or None where there is none."""
    load_families()
    for since, function in _LOWERINGS.get((op.domain, op.op_type), ()):
        if since <= op.since_version:
            return function
    return None


def load_families() -> None:
    """Import all families, which registers their lowerings."""
    for family in FAMILIES:
        import_module(f"webdnn.lowering.onnx_to_nn.{family}")


def lowered_operators() -> list[tuple[str, str]]:
    """(domain, operator) of everything that has a lowering, sorted."""
    load_families()
    return sorted(_LOWERINGS)

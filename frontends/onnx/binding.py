"""Binds the sizes that a user gives (`--shape image=1,3,256,256`) to the inputs of a model and to its symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import GraphProto, TensorShapeProto, TypeProto, ValueInfoProto

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.graphs import all_graphs

_ANONYMOUS = ("", "?", "-1", "None", "unk")
"""Names of dimensions that say nothing: two dimensions of one of these names need not be equal."""


def bind_shapes(
    graph: GraphProto, inputs: Sequence[str], shapes: Mapping[str, Sequence[int]]
) -> None:
    """Put the given sizes into `graph`, which is changed: into the inputs, and wherever the same symbols stand.

    Args:
        graph: the main graph.
        inputs: the names of the inputs that a user may bind (initializers are none).
        shapes: sizes by the name of an input.

    Raises:
        WebDNNError: there is no such input, the rank is wrong, a size contradicts a fixed one, or a symbol gets two
            sizes.
    """
    unknown = [name for name in shapes if name not in inputs]
    if unknown:
        raise WebDNNError(
            f"the model has no input named {', '.join(repr(n) for n in unknown)}",
            hint=f"its inputs are {', '.join(repr(n) for n in inputs)}",
        )
    symbols: dict[str, tuple[int, str]] = {}
    for value in graph.input:
        if value.name in shapes:
            _bind_input(value, [int(n) for n in shapes[value.name]], symbols)
    sizes = {symbol: size for symbol, (size, _) in symbols.items()}
    if sizes:
        for inner in all_graphs(graph):
            for values in (inner.input, inner.value_info, inner.output):
                for value in values:
                    _substitute(value.type, sizes)


def _bind_input(
    value: ValueInfoProto, sizes: list[int], symbols: dict[str, tuple[int, str]]
) -> None:
    name = value.name
    if value.type.WhichOneof("value") != "tensor_type":
        raise WebDNNError(f"input '{name}' is not a tensor and has no shape to bind")
    given = f"{name}={','.join(map(str, sizes))}"
    if any(size < 0 for size in sizes):
        raise WebDNNError(f"the sizes of input '{name}' must not be negative", where=given)
    if any(size >= 2**63 for size in sizes):
        raise WebDNNError(
            f"the sizes of input '{name}' are too large",
            where=given,
            why="ONNX keeps them in 64 bits",
        )
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        for size in sizes:
            tensor.shape.dim.add().dim_value = size
        tensor.shape.SetInParent()
        return
    dims = tensor.shape.dim
    declared = describe_shape(tensor.shape)
    if len(dims) != len(sizes):
        raise WebDNNError(
            f"input '{name}' has {len(dims)} dimensions, and {len(sizes)} sizes were given",
            where=given,
            why=f"the model declares {declared}",
        )
    for axis, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            if dim.dim_value != size:
                raise WebDNNError(
                    f"dimension {axis} of input '{name}' is {dim.dim_value} in the model, not {size}",
                    where=given,
                    why=f"the model declares {declared}",
                )
            continue
        symbol = dim.dim_param
        if symbol not in _ANONYMOUS:
            known, owner = symbols.setdefault(symbol, (size, name))
            if known != size:
                raise WebDNNError(
                    f"dimension '{symbol}' is given two sizes: {known} by input '{owner}' and {size} by input '{name}'",
                    why="a symbol has one size in the whole model",
                )
        dim.dim_value = size


def describe_shape(shape: TensorShapeProto) -> str:
    """A shape as people write it: `[1, 3, h, w]`."""
    return f"[{', '.join(d.dim_param or (str(d.dim_value) if d.HasField('dim_value') else '?') for d in shape.dim)}]"


def _substitute(type: TypeProto, sizes: Mapping[str, int]) -> None:
    kind = type.WhichOneof("value")
    if kind == "tensor_type":
        for dim in type.tensor_type.shape.dim if type.tensor_type.HasField("shape") else ():
            if dim.HasField("dim_param") and dim.dim_param in sizes:
                dim.dim_value = sizes[dim.dim_param]
    elif kind == "sequence_type":
        _substitute(type.sequence_type.elem_type, sizes)
    elif kind == "optional_type":
        _substitute(type.optional_type.elem_type, sizes)

"""Binds what a user gives to the inputs of a model: sizes (`--shape image=1,3,256,256`), which its symbols get too, and
values (`--value sr=16000`), which make constants of inputs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeAlias

from onnx import GraphProto, TensorShapeProto, TypeProto, ValueInfoProto

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import MOST_LISTED, WebDNNError, listed
from webdnn.dialects.onnx.attributes import tensor_to_proto
from webdnn.frontends.onnx.graphs import all_graphs
from webdnn.frontends.onnx.tensors import KEPT_ELEMENTS
from webdnn.frontends.onnx.values import InputValue, typed_array

ANONYMOUS = ("", "?", "-1", "None", "unk")
"""Names of dimensions that say nothing: two dimensions of one of these names need not be equal."""

_SHOWN_ELEMENTS = 16
"""A value of more elements is not written out in a message."""


@dataclass(frozen=True)
class Bindings:
    """What a user gives to the inputs of a model, by their names.

    Attributes:
        shapes: sizes.
        arrays: values, of the types that the model declares.
    """

    shapes: Mapping[str, Sequence[int]]
    arrays: Mapping[str, Array]

    def describe(self) -> list[str]:
        """What was given, as a user writes it."""
        return [self.describe_one(name) for name in {**self.shapes, **self.arrays}]

    def describe_one(self, name: str) -> str:
        array = self.arrays.get(name)
        if array is None:
            return f"{name}={','.join(map(str, self.shapes[name]))}"
        if array.size > _SHOWN_ELEMENTS:
            return f"{name}=(an array of shape {list(array.shape)})"
        return f"{name}={array.tolist()}"


Shapes: TypeAlias = Mapping[str, Sequence[int]] | Sequence[Sequence[int]]
"""Sizes of inputs: by their names, or in the order of the model's inputs."""


def shapes_by_name(inputs: Sequence[str], shapes: Shapes) -> Mapping[str, Sequence[int]]:
    """Sizes by the names of the inputs.

    Raises:
        WebDNNError: there are more of them than inputs.
    """
    if isinstance(shapes, Mapping):
        return shapes
    if len(shapes) > len(inputs):
        raise WebDNNError(
            f"shapes of {len(shapes)} inputs are given, and the model has {len(inputs)}",
            hint=f"its inputs are {', '.join(inputs) or 'none'}",
        )
    return dict(zip(inputs, shapes, strict=False))


def bindings_of(
    graph: GraphProto,
    inputs: Sequence[str],
    shapes: Shapes,
    values: Mapping[str, InputValue],
) -> Bindings:
    """The bindings that a user gives to the inputs of `graph`.

    Args:
        graph: the main graph.
        inputs: the names of the inputs that a user may bind (initializers are none).
        shapes: sizes by the name of an input, or in the order of `inputs`.
        values: values by the name of an input.

    Raises:
        WebDNNError: there is no such input, it is no tensor, a value does not fit its type, or an input is given sizes
            and a value of other sizes.
    """
    shapes = shapes_by_name(inputs, shapes)
    _check_known(inputs, [*shapes, *values])
    types = {value.name: value.type for value in graph.input}
    for name in {**shapes, **values}:
        if types[name].WhichOneof("value") != "tensor_type":
            raise WebDNNError(
                f"input '{name}' is not a tensor: it has no shape to bind, and can be given no value"
            )
    arrays = {
        name: typed_array(name, value, types[name].tensor_type.elem_type)
        for name, value in values.items()
    }
    for name in shapes.keys() & arrays.keys():
        if tuple(shapes[name]) != arrays[name].shape:
            raise WebDNNError(
                f"input '{name}' is given the shape {list(shapes[name])} "
                f"and a value of shape {list(arrays[name].shape)}",
                hint="give the value alone",
            )
    return Bindings({name: [int(n) for n in sizes] for name, sizes in shapes.items()}, arrays)


def bind(graph: GraphProto, bindings: Bindings) -> dict[str, Array]:
    """Put sizes and values into `graph`, which is changed.

    Sizes go into the inputs, and wherever the same symbols stand. An input with a small value becomes an initializer;
    one with a big value stays, as weights do that were taken out of the model, and its array is given back.

    Raises:
        WebDNNError: a rank is wrong, a size contradicts a fixed one, or a symbol gets two sizes.
    """
    symbols: dict[str, tuple[int, str]] = {}
    for value in graph.input:
        if value.name in bindings.shapes or value.name in bindings.arrays:
            _bind_sizes(value, bindings, symbols)
    sizes = {symbol: size for symbol, (size, _) in symbols.items()}
    if sizes:
        for inner in all_graphs(graph):
            for values in (inner.input, inner.value_info, inner.output):
                for value in values:
                    _substitute(value.type, sizes)
    small = {n: array for n, array in bindings.arrays.items() if array.size <= KEPT_ELEMENTS}
    for index in reversed(range(len(graph.input))):
        name = graph.input[index].name
        if name in small:
            graph.initializer.append(tensor_to_proto(small[name], name))
            del graph.input[index]
    return {name: array for name, array in bindings.arrays.items() if name not in small}


def _check_known(inputs: Sequence[str], names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in inputs]
    if not unknown:
        return
    nearest = list(inputs)
    if len(inputs) > MOST_LISTED:
        nearest.sort(key=lambda name: -SequenceMatcher(a=name, b=unknown[0]).ratio())
    raise WebDNNError(
        f"the model has no input named {listed([repr(n) for n in unknown])}",
        hint=f"its inputs are {listed([repr(n) for n in nearest])}" if inputs else "it has none",
    )


def _bind_sizes(
    value: ValueInfoProto, bindings: Bindings, symbols: dict[str, tuple[int, str]]
) -> None:
    """Put the sizes of an input into its type, and those of its symbols into `symbols`."""
    name = value.name
    array = bindings.arrays.get(name)
    sizes = list(bindings.shapes[name] if array is None else array.shape)
    given = bindings.describe_one(name)
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
    why = f"the model declares {describe_shape(tensor.shape)}"
    if len(dims) != len(sizes):
        what = f"{len(sizes)} sizes were given" if array is None else f"its value has {len(sizes)}"
        is_bare = array is not None and array.size == 1 and len(dims) == 1
        raise WebDNNError(
            f"input '{name}' has {len(dims)} dimension{'s' * (len(dims) != 1)}, and {what}",
            where=given,
            why=why,
            hint=f"write '{name}=[{given.partition('=')[2]}]'" if is_bare else "",
        )
    for axis, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
        if dim.HasField("dim_value") and dim.dim_value >= 0:
            if dim.dim_value != size:
                raise WebDNNError(
                    f"dimension {axis} of input '{name}' is {dim.dim_value} in the model, not {size}",
                    where=given,
                    why=why,
                )
            continue
        symbol = dim.dim_param
        if symbol not in ANONYMOUS:
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

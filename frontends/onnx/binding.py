"""Binds what a user gives to the inputs of a model: sizes (`--shape image=1,3,h:64..1024,256`, `--dim seq=1..512`),
which its symbols get too, and values (`--value sr=16000`), which make constants of inputs."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TypeAlias

from onnx import GraphProto, TensorShapeProto, TypeProto, ValueInfoProto

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import MOST_LISTED, WebDNNError, listed
from webdnn.dialects.onnx import example_size
from webdnn.dialects.onnx.attributes import tensor_to_proto
from webdnn.dialects.sizes.expression import Symbol, is_symbolic
from webdnn.frontends.onnx.dimensions import (
    Dimensions,
    Dims,
    Named,
    expression_size,
    names_in,
    parse_dimension,
)
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
        shapes: sizes: numbers, or names with or without a range.
        arrays: values, of the types that the model declares.
        dims: what names of dimensions stand for.
    """

    shapes: Mapping[str, Sequence[int | Named]]
    arrays: Mapping[str, Array]
    dims: Dims

    def describe(self) -> list[str]:
        """What was given, as a user writes it."""
        named = [f"{name}={value}" for name, value in self.dims.items()]
        return [*(self.describe_one(name) for name in {**self.shapes, **self.arrays}), *named]

    def describe_one(self, name: str) -> str:
        array = self.arrays.get(name)
        if array is None:
            return f"{name}={','.join(map(str, self.shapes[name]))}"
        if array.size > _SHOWN_ELEMENTS:
            return f"{name}=(an array of shape {list(array.shape)})"
        return f"{name}={array.tolist()}"


Shapes: TypeAlias = Mapping[str, Sequence[int | str]] | Sequence[Sequence[int | str]]
"""Sizes of inputs: by their names, or in the order of the model's inputs. Each is a number, or a name, a range or both
(`"h"`, `"64..1024"`, `"h:64..1024:32@224"`)."""


@dataclass(frozen=True)
class Bound:
    """What binding found.

    Attributes:
        arrays: big values, by the names of inputs.
        sizes: of each input that has a rank, its sizes: numbers, or expressions of symbols.
        assumed: in words, which range a size has of which nothing was said.
    """

    arrays: Mapping[str, Array]
    sizes: Mapping[str, tuple[int, ...]]
    assumed: Sequence[str]


def shapes_by_name(inputs: Sequence[str], shapes: Shapes) -> Mapping[str, Sequence[int | str]]:
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
    dims: Dims,
) -> Bindings:
    """The bindings that a user gives to the inputs of `graph`.

    Args:
        graph: the main graph.
        inputs: the names of the inputs that a user may bind (initializers are none).
        shapes: sizes by the name of an input, or in the order of `inputs`.
        values: values by the name of an input.
        dims: what names of dimensions stand for.

    Raises:
        WebDNNError: there is no such input, it is no tensor, something given is no size, a value does not fit its type,
            or an input is given sizes and a value of other sizes.
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
    given = {
        name: [parse_dimension(n, f"{name}={','.join(map(str, sizes))}") for n in sizes]
        for name, sizes in shapes.items()
    }
    for name in given.keys() & arrays.keys():
        if tuple(given[name]) != arrays[name].shape:
            raise WebDNNError(
                f"input '{name}' is given the shape {list(shapes[name])} "
                f"and a value of shape {list(arrays[name].shape)}",
                hint="give the value alone",
            )
    return Bindings(given, arrays, dims)


def bind(graph: GraphProto, inputs: Sequence[str], bindings: Bindings) -> Bound:
    """Put sizes and values into `graph`, which is changed.

    Sizes that are numbers go into the inputs, and wherever the same symbols stand; so do the names of symbols that are
    called otherwise. An input with a small value becomes an initializer; one with a big value stays, as weights do that
    were taken out of the model, and its array is given back.

    Args:
        graph: the main graph.
        inputs: the names of the inputs that are no weights.
        bindings: what is given.

    Raises:
        WebDNNError: a rank is wrong, a size contradicts a fixed one, a symbol gets two sizes, or there is none of a
            name that sizes are given by.
    """
    dimensions = Dimensions(bindings.dims)
    open_inputs = [value for value in graph.input if value.name in inputs]
    for value in open_inputs:
        if value.name in bindings.shapes or value.name in bindings.arrays:
            _bind_sizes(value, bindings, dimensions)
    names = {value.name: declared_sizes(value) for value in open_inputs}
    whole = {name for dims in names.values() for name in dims if isinstance(name, str)}
    parts = {text: names_in(text) for text in whole}
    whole -= {text for text, inner in parts.items() if inner != [text] and whole.issuperset(inner)}
    dimensions.check_names(
        [name for text in parts for name in ([text] if text in whole else parts[text])]
        + [name for given in bindings.shapes.values() for name in _given_names(given)]
    )
    sizes: dict[str, tuple[int, ...]] = {}
    for value in open_inputs:
        dims = names[value.name]
        for axis, name in enumerate(dims):
            if isinstance(name, str):
                dimensions.expect(dimensions.final_name(name), example_size(axis, len(dims)))
        if value.type.tensor_type.HasField("shape"):
            sizes[value.name] = tuple(
                n
                if isinstance(n, int)
                else dimensions.size(n)
                if n in whole
                else expression_size(n, dimensions)
                for n in dims
            )
    spelled = {
        text: dimensions.size(text) if text in whole else expression_size(text, dimensions)
        for text in parts
    }
    for inner in all_graphs(graph):
        for values in (inner.input, inner.value_info, inner.output):
            for value in values:
                _substitute(value.type, spelled, dimensions)
    for value in open_inputs:
        for dim, size in zip(
            value.type.tensor_type.shape.dim, sizes.get(value.name, ()), strict=False
        ):
            if not is_symbolic(size):
                dim.dim_value = size
    small = {n: array for n, array in bindings.arrays.items() if array.size <= KEPT_ELEMENTS}
    for index in reversed(range(len(graph.input))):
        name = graph.input[index].name
        if name in small:
            graph.initializer.append(tensor_to_proto(small[name], name))
            del graph.input[index]
    big = {name: array for name, array in bindings.arrays.items() if name not in small}
    return Bound(big, sizes, [_assumed(symbol, names) for symbol in dimensions.assumed.values()])


def declared_sizes(value: ValueInfoProto) -> list[int | str]:
    """The sizes that an input declares, and the names of those that are open: `x_d2` where it gives none itself."""
    return [
        dim.dim_value
        if dim.HasField("dim_value") and dim.dim_value >= 0
        else f"{value.name}_d{axis}"
        if dim.dim_param in ANONYMOUS
        else dim.dim_param
        for axis, dim in enumerate(value.type.tensor_type.shape.dim)
    ]


def _given_names(sizes: Sequence[int | Named]) -> list[str]:
    return [size.name for size in sizes if isinstance(size, Named) and size.name]


def _assumed(symbol: Symbol, names: Mapping[str, Sequence[int | str]]) -> str:
    owners = [name for name, dims in names.items() if symbol.name in dims]
    of = f" of input '{owners[0]}'" if owners else ""
    option = shlex.quote(f"{symbol.name}={symbol.low}..{symbol.high // 2}")
    return f"size '{symbol.name}'{of} is {symbol.low} to {symbol.high}: --dim {option} changes that"


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


def _bind_sizes(value: ValueInfoProto, bindings: Bindings, dimensions: Dimensions) -> None:
    """Put the sizes of an input into its type, and what they say of symbols into `dimensions`."""
    name = value.name
    array = bindings.arrays.get(name)
    sizes = list(bindings.shapes[name] if array is None else array.shape)
    given = bindings.describe_one(name)
    numbers = [size for size in sizes if isinstance(size, int)]
    if any(size < 0 for size in numbers):
        raise WebDNNError(f"the sizes of input '{name}' must not be negative", where=given)
    if any(size >= 2**63 for size in numbers):
        raise WebDNNError(
            f"the sizes of input '{name}' are too large",
            where=given,
            why="ONNX keeps them in 64 bits",
        )
    tensor = value.type.tensor_type
    is_unranked = not tensor.HasField("shape")
    tensor.shape.SetInParent()
    dims = tensor.shape.dim
    if is_unranked:
        dims.extend(TensorShapeProto.Dimension() for _ in sizes)
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
        if symbol in ANONYMOUS:
            symbol = f"{name}_d{axis}"
            if isinstance(size, Named):
                dim.dim_param = symbol = size.name or symbol
        owner = f"input '{name}'"
        if isinstance(size, int):
            if dim.dim_param in ANONYMOUS:
                dim.dim_value = size
            else:
                dimensions.say(symbol, size, owner)
            continue
        if size.name:
            dimensions.say(symbol, size.name, owner)
        if size.range is not None:
            dimensions.say(size.name or symbol, size.range, owner)


def describe_shape(shape: TensorShapeProto) -> str:
    """A shape as people write it: `[1, 3, h, w]`."""
    return f"[{', '.join(d.dim_param or (str(d.dim_value) if d.HasField('dim_value') else '?') for d in shape.dim)}]"


def _substitute(type: TypeProto, sizes: Mapping[str, int], dimensions: Dimensions) -> None:
    """Put numbers, and the names that stand for the same sizes, in the place of names."""
    kind = type.WhichOneof("value")
    if kind == "tensor_type":
        for dim in type.tensor_type.shape.dim if type.tensor_type.HasField("shape") else ():
            if dim.HasField("dim_param") and dim.dim_param in sizes:
                size = sizes[dim.dim_param]
                if is_symbolic(size):
                    dim.dim_param = dimensions.final_name(dim.dim_param)
                else:
                    dim.dim_value = size
    elif kind == "sequence_type":
        _substitute(type.sequence_type.elem_type, sizes, dimensions)
    elif kind == "optional_type":
        _substitute(type.optional_type.elem_type, sizes, dimensions)

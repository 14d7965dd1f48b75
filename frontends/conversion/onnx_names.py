"""Gives the inputs, outputs and sizes of a converted model the names that its user knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import onnx


def rename_values(model: onnx.ModelProto, names: Mapping[str, str]) -> None:
    """Rename values of the main graph, wherever they stand in it or in graphs inside of it."""
    _rename(model.graph, names)


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            ends[:] = [names.get(name, name) for name in ends]
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                _rename(inner, names)


def all_graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and all graphs inside it, outer ones first."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from all_graphs(inner)


def _defined(graph: onnx.GraphProto) -> Iterator[str]:
    """The values that a graph, and those inside of it, have beside their inputs."""
    for inner in all_graphs(graph):
        yield from (tensor.name for tensor in inner.initializer)
        for node in inner.node:
            yield from node.output


def rename_interface(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> None:
    """Give the inputs and outputs these names, in their order. A value that has such a name gets another one.

    Raises:
        ValueError: there are not as many.
    """
    values = [*model.graph.input, *model.graph.output]
    wanted = dict(zip((v.name for v in values), (*inputs, *outputs), strict=True))
    taken = {*_defined(model.graph)} & {*wanted.values()}
    aside = {name: f"{name}__inner" for name in taken - wanted.keys()}
    rename_values(model, {**aside, **wanted})


def name_sizes(model: onnx.ModelProto) -> None:
    """Give the open dimensions of inputs names to bind them by: `batch` the first one, `NAME_dimN` the others."""
    for value in model.graph.input:
        for axis, dim in enumerate(value.type.tensor_type.shape.dim):
            if not dim.HasField("dim_value"):
                dim.dim_param = "batch" if axis == 0 else f"{value.name}_dim{axis}"

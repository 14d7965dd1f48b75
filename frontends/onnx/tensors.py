"""Takes the weights out of a model, so that no later step copies, converts or prints them.

What is left in the model are tensors small enough to matter for shapes (axes, sizes, scales). The others become inputs
of the graph under their own names, and their data a table of arrays.
"""

from __future__ import annotations

from collections import Counter

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto

from webdnn.dialects.dtypes import Array
from webdnn.dialects.onnx.attributes import tensor_to_proto
from webdnn.frontends.onnx.graphs import all_graphs, all_nodes
from webdnn.frontends.onnx.tensor_data import TensorReader, element_count, is_external

KEPT_ELEMENTS = 64
"""Tensors of up to this many elements stay in the model: shape inference reads them."""


def detach_weights(graph: GraphProto, reader: TensorReader) -> dict[str, Array]:
    """Take all big tensors out of `graph`, which is changed, and give their arrays by name.

    Big initializers and Constant nodes become inputs of the main graph, also those of its subgraphs as long as no other
    value has their name. No external data is left afterwards, and no sparse initializer.

    Args:
        graph: the main graph of a model.
        reader: gives the arrays of its tensors.

    Raises:
        WebDNNError: external data is missing or unusable, or a tensor's data does not fit its shape.
    """
    arrays: dict[str, Array] = {}
    definitions = _count_definitions(graph)

    def take(name: str, array: Array) -> bool:
        if definitions[name] == 1:
            arrays[name] = array
        return definitions[name] == 1

    for inner in all_graphs(graph):
        for sparse in inner.sparse_initializer:
            inner.initializer.append(tensor_to_proto(reader.dense(sparse), sparse.values.name))
        del inner.sparse_initializer[:]
        for index in reversed(range(len(inner.initializer))):
            tensor = inner.initializer[index]
            array = _array_if_big(tensor, reader)
            if array is not None and take(tensor.name, array):
                del inner.initializer[index]
            elif array is not None:
                tensor.CopyFrom(tensor_to_proto(array, tensor.name))
        for index in reversed(range(len(inner.node))):
            node = inner.node[index]
            tensor = constant_tensor(node)
            array = None if tensor is None else _array_if_big(tensor, reader)
            if array is not None and take(node.output[0], array):
                del inner.node[index]
            elif tensor is not None and array is not None:
                tensor.CopyFrom(tensor_to_proto(array))
    arrays = dict(reversed(arrays.items()))  # In the order of the file.
    declared = {value.name for value in graph.input}
    for name, array in arrays.items():
        if name not in declared:
            enum = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            graph.input.append(onnx.helper.make_tensor_value_info(name, enum, array.shape))
    return arrays


def constant_tensor(node: NodeProto) -> TensorProto | None:
    """The tensor of a Constant node, None for every other node and for a Constant with another kind of value."""
    if node.op_type == "Constant" and node.domain in ("", "ai.onnx"):
        for attribute in node.attribute:
            if attribute.name == "value":
                return attribute.t
    return None


def external_locations(model: ModelProto) -> list[str]:
    """The files that the tensors of a model are in, each once, as the model names them."""
    entries = [entry for tensor in _external_tensors(model) for entry in tensor.external_data]
    return list(dict.fromkeys(entry.value for entry in entries if entry.key == "location"))


def embed_external(model: ModelProto, reader: TensorReader) -> None:
    """Put the data of all tensors into the model, which is changed.

    Raises:
        WebDNNError: external data is missing or unusable.
    """
    for tensor in _external_tensors(model):
        tensor.CopyFrom(tensor_to_proto(reader.array(tensor), tensor.name))


def _external_tensors(model: ModelProto) -> list[TensorProto]:
    tensors: list[TensorProto] = []
    nodes = [*all_nodes(model.graph), *(node for f in model.functions for node in f.node)]
    for graph in all_graphs(model.graph):
        tensors += [*graph.initializer]
        tensors += [t for s in graph.sparse_initializer for t in (s.values, s.indices)]
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        tensors += [attribute.t, *attribute.tensors]
    return [tensor for tensor in tensors if is_external(tensor)]


def _count_definitions(graph: GraphProto) -> Counter[str]:
    """How many graphs define a value of each name; subgraphs beside each other may use the same one."""
    counts: Counter[str] = Counter()
    for inner in all_graphs(graph):
        names = {value.name for value in inner.input}
        names.update(tensor.name for tensor in inner.initializer)
        names.update(tensor.values.name for tensor in inner.sparse_initializer)
        for node in inner.node:
            names.update(node.output)
        counts.update(names)
    return counts


def _array_if_big(tensor: TensorProto, reader: TensorReader) -> Array | None:
    """The array of a tensor that is big; None where it is small, and then its data lies in the tensor."""
    is_big = element_count(tensor) > KEPT_ELEMENTS
    if is_big:
        return reader.array(tensor)
    if is_external(tensor):
        tensor.CopyFrom(tensor_to_proto(reader.array(tensor), tensor.name))
    return None

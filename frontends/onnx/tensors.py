"""Takes the weights out of a model, so that no later step copies, converts or prints them.

What is left in the model are tensors small enough to matter for shapes (axes, sizes, scales). The others become inputs of
the graph under their own names, and their data a table of arrays.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import GraphProto, NodeProto, SparseTensorProto, TensorProto

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx.attributes import tensor_to_proto
from webdnn.frontends.onnx.graphs import all_graphs, all_nodes

Array = npt.NDArray[Any]

KEPT_ELEMENTS = 64
"""Tensors of up to this many elements stay in the model: shape inference reads them."""


def detach_weights(graph: GraphProto, folder: Path | None) -> dict[str, Array]:
    """Take all big tensors out of `graph`, which is changed, and give their arrays by name.

    Args:
        graph: the main graph of a model. Big initializers and Constant nodes of it, and those in its subgraphs whose names are
            unique, become inputs of it.
        folder: where external data lies, or None where there is no place to look.

    Raises:
        WebDNNError: external data is missing, too short or outside the folder, or a tensor's data does not fit its shape.
    """
    arrays: dict[str, Array] = {}
    counts = _definition_counts(graph)
    for inner in all_graphs(graph):
        is_main = inner is graph
        for tensor in list(inner.initializer):
            array = _small_or_array(tensor, folder)
            if array is not None and (is_main or counts[tensor.name] == 1):
                arrays[tensor.name] = array
                inner.initializer.remove(tensor)
            elif array is not None:
                tensor.CopyFrom(tensor_to_proto(array, tensor.name))
        for sparse in inner.sparse_initializer:
            inner.initializer.append(tensor_to_proto(_dense(sparse, folder), sparse.values.name))
        del inner.sparse_initializer[:]
        for node in list(inner.node):
            tensor = _constant_tensor(node)
            if tensor is None:
                continue
            array = _small_or_array(tensor, folder)
            if array is not None and counts[node.output[0]] == 1:
                arrays[node.output[0]] = array
                inner.node.remove(node)
            elif array is not None:
                tensor.CopyFrom(tensor_to_proto(array))
    _declare(graph, arrays)
    return arrays


def _definition_counts(graph: GraphProto) -> dict[str, int]:
    counts: dict[str, int] = {}

    def count(names: Iterable[str]) -> None:
        for name in names:
            counts[name] = counts.get(name, 0) + 1

    for inner in all_graphs(graph):
        inputs = [value.name for value in inner.input]
        count(inputs)
        count(t.name for t in inner.initializer if t.name not in set(inputs))
        count(t.values.name for t in inner.sparse_initializer)
    count(name for node in all_nodes(graph) for name in node.output)
    return counts


def _declare(graph: GraphProto, arrays: dict[str, Array]) -> None:
    declared = {value.name for value in graph.input}
    for name, array in arrays.items():
        if name not in declared:
            enum = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            graph.input.append(onnx.helper.make_tensor_value_info(name, enum, array.shape))


def _constant_tensor(node: NodeProto) -> TensorProto | None:
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    for attribute in node.attribute:
        if attribute.name == "value":
            return attribute.t
    return None


def _small_or_array(tensor: TensorProto, folder: Path | None) -> Array | None:
    """The array of a tensor that is big; None where it is small, and then its data lies in the tensor."""
    is_external = tensor.data_location == TensorProto.EXTERNAL
    size = int(np.prod(tensor.dims, dtype=np.int64)) if tensor.dims else 1
    if not is_external and size <= KEPT_ELEMENTS:
        return None
    array = external_array(tensor, folder) if is_external else inline_array(tensor)
    if size > KEPT_ELEMENTS:
        return array
    tensor.CopyFrom(tensor_to_proto(array, tensor.name))
    return None


def inline_array(tensor: TensorProto) -> Array:
    """The array of a tensor whose data is in the model.

    Raises:
        WebDNNError: the data does not fit the shape, or the type is unknown.
    """
    try:
        return onnx.numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise WebDNNError(
            "the data of a tensor does not fit its type and shape",
            where=tensor.name or "a Constant node",
            why=str(error),
        ) from None


def external_array(tensor: TensorProto, folder: Path | None) -> Array:
    """The memory-mapped array of a tensor whose data is in another file.

    Raises:
        WebDNNError: the file is missing, too short, or not in the model's folder.
    """
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    name = tensor.name or "a Constant node"
    if folder is None:
        raise WebDNNError(
            f"the data of tensor '{name}' is in another file ('{location}'), and the model came without a folder",
            where=name,
            hint="give the path of the model file",
        )
    path = (folder / location).resolve()
    if not location or not path.is_relative_to(folder):
        raise WebDNNError(
            f"the external data file '{location}' is outside the model's folder",
            where=name,
            why="a model may only read files that lie beside it",
            hint="move the data into the model's folder",
        )
    if not path.is_file():
        raise WebDNNError(
            f"the external data file '{location}' is missing",
            where=name,
            hint=f"put it into {folder}",
        )
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type))
    count = int(np.prod(tensor.dims, dtype=np.int64)) if tensor.dims else 1
    bits = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4}
    bits |= {TensorProto.INT2: 2, TensorProto.UINT2: 2}
    packed = bits.get(tensor.data_type)
    length = count * dtype.itemsize if packed is None else (count * packed + 7) // 8
    offset = int(entries.get("offset", "0") or 0)
    declared = int(entries.get("length", "0") or 0)
    have = path.stat().st_size - offset
    if have < length or (declared and declared < length):
        raise WebDNNError(
            f"the external data file '{location}' is too short",
            where=name,
            why=f"the tensor needs {length} bytes at {offset}, and there are {max(0, have)}",
        )
    if count == 0:
        return np.empty(tuple(tensor.dims), dtype)
    if packed is not None:
        copy = TensorProto(data_type=tensor.data_type, dims=tensor.dims)
        copy.raw_data = bytes(np.memmap(path, np.uint8, "r", offset, (length,)))
        return onnx.numpy_helper.to_array(copy)
    return np.memmap(path, dtype, "r", offset, tuple(tensor.dims))


def _dense(sparse: SparseTensorProto, folder: Path | None) -> Array:
    parts: list[Array] = []
    for tensor in (sparse.values, sparse.indices):
        is_external = tensor.data_location == TensorProto.EXTERNAL
        parts.append(external_array(tensor, folder) if is_external else inline_array(tensor))
    values, indices = parts
    dense = np.zeros(tuple(sparse.dims), values.dtype)
    if indices.ndim == 1:
        dense.reshape(-1)[indices] = values
    else:
        dense[tuple(indices.T)] = values
    return dense


__all__ = ["KEPT_ELEMENTS", "detach_weights", "external_array", "inline_array"]

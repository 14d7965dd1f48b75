"""The ONNX graph as it grows, and one layer's view of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, helper, numpy_helper

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.schema import enum_name
from webdnn.frontends.caffe.weights import Floats, shape_of, values_of

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

MOST = 2**31 - 1
"""As many numbers a blob of Caffe can have."""

UNKNOWN = -1
"""Stands for a size that is known only when the model runs."""


@dataclass(frozen=True)
class Blob:
    """A value of the graph.

    Attributes:
        name: its name in the graph.
        shape: its sizes; `UNKNOWN` ones in what no layer can read.
    """

    name: str
    shape: Shape


class Graph:
    """A GraphProto in which nodes and constants are put, with names that differ.

    Constants are written where they stay: of large networks a copy is half a gigabyte.
    """

    def __init__(self, proto: GraphProto, reserved: Sequence[str]) -> None:
        self.proto = proto
        self._names = set(reserved)
        self._node_names: set[str] = set()
        self._constants: dict[str, int] = {}

    @property
    def nodes(self) -> Sequence[NodeProto]:
        return self.proto.node

    def add_node(self, node: NodeProto) -> None:
        self.proto.node.append(node)

    def unique(self, name: str) -> str:
        """A name for a value that none has yet."""
        return unique(name, self._names)

    def unique_node(self, name: str) -> str:
        """A name for a node that none has yet."""
        return unique(name, self._node_names)

    def constant(self, name: str, array: Array) -> Blob:
        blob = Blob(self.unique(name), array.shape)
        self._constants[blob.name] = len(self.proto.initializer)
        tensor = self.proto.initializer.add(name=blob.name, dims=array.shape)
        tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
        tensor.raw_data = array.tobytes()
        return blob

    def value_of(self, blob: Blob) -> Array | None:
        """The numbers of a constant, None of what is computed."""
        index = self._constants.get(blob.name)
        return None if index is None else numpy_helper.to_array(self.proto.initializer[index])


def unique(name: str, taken: set[str]) -> str:
    """The name itself where it is not among those that are taken, else with a number after it; it is taken then."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name}#{number}"
    taken.add(candidate)
    return candidate


class Layer:
    """A layer that is being converted: its parameters, what it reads, its trained numbers, and the way to add nodes.

    Attributes:
        proto: the LayerParameter.
        name: its name, which no other layer has.
        bottoms: what it reads.
    """

    def __init__(
        self, proto: Any, name: str, bottoms: Sequence[Blob], blobs: Sequence[Any], graph: Graph
    ) -> None:
        self.proto = proto
        self.name = name
        self.type: str = proto.type
        self.bottoms = list(bottoms)
        self.graph = graph
        self._blobs = blobs
        self._first_node = len(graph.nodes)

    @property
    def x(self) -> Blob:
        """What the layer reads first."""
        return self.bottoms[0]

    def error(self, what: str, *, why: str = "", hint: str = "") -> WebDNNError:
        return WebDNNError(f"layer '{self.name}' ({self.type}): {what}", why=why, hint=hint)

    def need_bottoms(self, least: int, most: int | None = None) -> None:
        """Check how many blobs the layer reads.

        Raises:
            WebDNNError: fewer than `least`, or more than `most` (`least` where that is None).
        """
        most = least if most is None else most
        count = len(self.bottoms)
        if not least <= count <= most:
            wanted = f"{least}" if least == most else f"{least} to {most}"
            raise self.error(f"it reads {count} blobs, and must read {wanted}")

    def need_tops(self, most: int = 1) -> None:
        count = len(self.proto.top)
        if not 1 <= count <= most:
            raise self.error(f"it makes {count} blobs, and must make {'up to ' * (most > 1)}{most}")

    def need_sizes(self, shape: Shape) -> None:
        """Check that a blob can have this shape."""
        if any(size < 1 for size in shape) or math.prod(shape) > MOST:
            raise self.error(
                f"a blob cannot have the shape {shape}",
                why=f"sizes are positive, and there are up to {MOST} numbers",
            )

    def need_rank(self, rank: int) -> None:
        if len(self.x.shape) != rank:
            raise self.error(
                f"it needs an input of {rank} axes", why=f"the shape is {self.x.shape}"
            )

    def enum(self, message: Any, field: str) -> str:
        return enum_name(message, field)

    def axis(self, axis: int, rank: int | None = None) -> int:
        """An axis of the first bottom, counted from its front.

        Raises:
            WebDNNError: it has no such axis.
        """
        rank = len(self.x.shape) if rank is None else rank
        if not -rank <= axis < rank:
            raise self.error(
                f"there is no axis {axis}", why=f"the shape of what it reads is {self.x.shape}"
            )
        return axis % rank

    # Trained numbers

    @property
    def weight_count(self) -> int:
        return len(self._blobs)

    def need_weights(self, *counts: int) -> None:
        if self.weight_count not in counts:
            wanted = " or ".join(map(str, counts))
            raise self.error(
                f"the trained network has {self.weight_count} blobs of weights for it, not {wanted}",
                hint="give the .caffemodel that was trained with this network",
            )

    def weight_shape(self, index: int) -> Shape:
        return shape_of(self._blobs[index])

    def weight(self, index: int, shape: Shape) -> Floats:
        """The trained numbers of this shape; old files have ones before it.

        Raises:
            WebDNNError: the blob is of another shape, or damaged.
        """
        found = self.weight_shape(index)
        if _without_ones(found) != _without_ones(shape):
            raise self.error(
                f"its weights {index} have the shape {found}, not {shape}",
                why="the network and the shapes of its inputs give the latter",
                hint="give the .caffemodel that was trained with this network",
            )
        return self.raw_weight(index).reshape(shape)

    def raw_weight(self, index: int) -> Floats:
        """The trained numbers in the shape that the file says.

        Raises:
            WebDNNError: there are not as many as the shape says.
        """
        try:
            return values_of(self._blobs[index]).reshape(self.weight_shape(index))
        except ValueError as error:
            raise self.error(f"its weights {index} are damaged", why=str(error)) from None

    # Nodes

    def constant(self, array: Array, role: str = "constant") -> Blob:
        return self.graph.constant(f"{self.name}/{role}", array)

    def scalar(self, value: float) -> Blob:
        return self.constant(np.array(value, np.float32))

    def op(self, op_type: str, *inputs: Blob | None, shape: Shape, **attributes: Any) -> Blob:
        """Add a node with one output of this shape."""
        return self.ops(op_type, inputs, [shape], **attributes)[0]

    def ops(
        self,
        op_type: str,
        inputs: Sequence[Blob | None],
        shapes: Sequence[Shape],
        **attributes: Any,
    ) -> list[Blob]:
        """Add a node with outputs of these shapes."""
        outputs = [Blob(self.graph.unique(f"{self.name}/{op_type}:0"), shape) for shape in shapes]
        self.graph.add_node(
            helper.make_node(
                op_type,
                [blob.name if blob is not None else "" for blob in inputs],
                [blob.name for blob in outputs],
                **attributes,
            )
        )
        return outputs

    def same(self, op_type: str, *inputs: Blob | None, **attributes: Any) -> Blob:
        """Add a node whose output has the shape of its first input."""
        assert inputs[0] is not None
        return self.op(op_type, *inputs, shape=inputs[0].shape, **attributes)

    def ints(self, *values: int) -> Blob:
        return self.constant(np.array(values, np.int64), "sizes")

    def reshape(self, x: Blob, shape: Shape) -> Blob:
        """The blob in another shape; itself where it has that already."""
        return x if x.shape == shape else self.op("Reshape", x, self.ints(*shape), shape=shape)

    def reduce(self, op_type: str, x: Blob, axes: Sequence[int], keep: bool) -> Blob:
        shape = tuple(
            1 if axis in axes else size
            for axis, size in enumerate(x.shape)
            if keep or axis not in axes
        )
        return self.op(op_type, x, self.ints(*axes), shape=shape, keepdims=int(keep))

    def finish(self, results: Sequence[Blob], names: Sequence[str]) -> list[Blob]:
        """Give the results that nodes of this layer make their names in the graph, and the nodes theirs."""
        nodes = self.graph.nodes[self._first_node :]
        made = {name for node in nodes for name in node.output}
        renamed: dict[str, str] = {}
        for blob, name in zip(results, names, strict=True):
            if blob.name in made:
                renamed.setdefault(blob.name, name)
        for node in nodes:
            _rename(node.input, renamed)
            _rename(node.output, renamed)
            single = len(nodes) == 1
            node.name = self.graph.unique_node(
                self.name if single else f"{self.name}/{node.op_type}"
            )
        return [Blob(renamed.get(blob.name, blob.name), blob.shape) for blob in results]


def _without_ones(shape: Shape) -> Shape:
    """The shape from the first size on that is not 1."""
    first = next((index for index, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]


def _rename(names: Any, renamed: dict[str, str]) -> None:
    for index, name in enumerate(names):
        if name in renamed:
            names[index] = renamed[name]

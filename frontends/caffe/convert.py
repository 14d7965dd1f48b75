"""Converts a Caffe network to ONNX."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

from webdnn.dialects.errors import WebDNNError, listed, shortened
from webdnn.frontends.caffe.files import is_caffemodel, is_prototxt, locate, read
from webdnn.frontends.caffe.graph import MOST, UNKNOWN, Blob, Graph, Layer, unique
from webdnn.frontends.caffe.layers import HANDLERS
from webdnn.frontends.caffe.network import (
    at_inference,
    cropped_to,
    declared_sizes,
    is_source,
)
from webdnn.frontends.caffe.old_formats import layers_of

OPSET = 18
IR_VERSION = 10

# Layers that compute with trained numbers; a Scale or Bias with two inputs may do without.
_TRAINED = (
    "BatchNorm",
    "Convolution",
    "ConvolutionDepthwise",
    "Deconvolution",
    "DepthwiseConvolution",
    "Embed",
    "InnerProduct",
    "LSTM",
    "Normalize",
    "PReLU",
    "Parameter",
    "RNN",
)

_WITHOUT_BOTTOMS = ("DummyData", "Parameter")


def convert(
    network: Path,
    weights: Path | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    shapes_in_order: Sequence[Sequence[int]] = (),
) -> onnx.ModelProto:
    """A Caffe model as an ONNX model.

    Inputs and outputs keep the names of Caffe's blobs, and nodes those of its layers. All sizes are fixed: those of
    the network's inputs where `shapes` says nothing else. Layers of training (losses, measures, sources of data) go; a
    loss with a softmax leaves the softmax. All numbers are 32-bit floats.

    Args:
        network: the network as text (`.prototxt`), or the trained network (`.caffemodel`).
        weights: the other of the two. Where it is None, it is looked for beside the first: `deploy.prototxt` or one of
            the same name, else the only one in the folder. A trained network alone will do: it holds the layers too.
        shapes: sizes of inputs by name.
        shapes_in_order: the same for the inputs in their order.

    Raises:
        WebDNNError: a file is missing, damaged or not Caffe's; several files in the folder might be meant; a layer is
            of an unknown type, has no weights or such that do not fit it, reads a blob that is not there, or a shape
            that it cannot have; the size of an input is not known.
    """
    files = locate(network, weights)
    net = read(files.network)
    layers = layers_of(net)
    trained = layers
    if files.weights is not None and files.weights != files.network:
        trained = layers_of(read(files.weights))
    inference = at_inference(layers, None if trained is layers and files.weights else net.state)
    _check_types(inference.layers)
    blobs = {layer.name: layer.blobs for layer in trained if len(layer.blobs)}
    _check_trained(inference.layers, blobs, files.weights)
    return _Conversion(inference.layers, inference.outputs, blobs).model(
        net.name or files.network.stem, dict(shapes or {}), shapes_in_order
    )


def _check_types(layers: Sequence[Any]) -> None:
    unknown = [layer for layer in layers if not is_source(layer) and layer.type not in HANDLERS]
    if not unknown:
        return
    python = [layer for layer in unknown if layer.type == "Python"]
    why = "no layer of Caffe 1.0 or SSD that computes at inference is called so"
    if python:
        names = [f"{p.python_param.module}.{p.python_param.layer}" for p in python]
        why = f"Python layers are programs of their own: {listed(names)}"
    raise WebDNNError(
        f"the network has {len(unknown)} layer{'s' * (len(unknown) > 1)} of unknown type",
        where=[f"{layer.name} ({layer.type or 'no type'})" for layer in unknown],
        why=why,
        hint="cut the network before it, or put layers that Caffe has in its place",
    )


def _check_trained(layers: Sequence[Any], blobs: Mapping[str, Any], weights: Path | None) -> None:
    lacking = [
        layer.name
        for layer in layers
        if layer.name not in blobs
        and (layer.type in _TRAINED or (layer.type in ("Scale", "Bias") and len(layer.bottom) == 1))
        and not (layer.type == "BatchNorm" and not _reads_statistics(layer))
    ]
    if not lacking:
        return
    if weights is None:
        raise WebDNNError(
            "the network has no weights",
            where=shortened(lacking),
            why="there is no .caffemodel beside it that could be meant",
            hint="give the .caffemodel with --caffe-weights FILE",
        )
    raise WebDNNError(
        "the trained network has no weights for layers of the network",
        where=shortened(lacking),
        why=f"{weights} has none of these names: weights are found by the names of layers",
        hint="give the .caffemodel that was trained with this network",
    )


def _reads_statistics(layer: Any) -> bool:
    p = layer.batch_norm_param
    return not p.HasField("use_global_stats") or p.use_global_stats


class _Conversion:
    """One network on its way into a model."""

    def __init__(
        self, layers: Sequence[Any], outputs: Sequence[str], blobs: Mapping[str, Any]
    ) -> None:
        self.layers = layers
        self.outputs = outputs
        self.blobs = blobs
        self.proto = onnx.ModelProto(
            ir_version=IR_VERSION,
            producer_name="webdnn",
            opset_import=[helper.make_opsetid("", OPSET)],
        )
        self.graph = Graph(self.proto.graph, [top for layer in layers for top in layer.top])
        self.values: dict[str, Blob] = {}
        self.inputs: list[Blob] = []
        self.names: set[str] = set()
        # A blob that is written in place keeps its name where it is written last; Dropout does nothing.
        self.last = {
            top: index
            for index, layer in enumerate(layers)
            for top in layer.top
            if layer.type != "Dropout" or top not in layer.bottom
        }

    def model(
        self, name: str, shapes: Mapping[str, Sequence[int]], in_order: Sequence[Sequence[int]]
    ) -> onnx.ModelProto:
        self._make_inputs(shapes, in_order)
        for index, layer in enumerate(self.layers):
            if not is_source(layer):
                self._convert(index, layer)
        made = {name for node in self.graph.nodes for name in node.output}
        results = [self._result(output, made) for output in self.outputs]
        self.proto.graph.name = name
        self.proto.graph.input.extend(_declared(blob) for blob in self.inputs)
        self.proto.graph.output.extend(_declared(blob) for blob in results)
        return self.proto

    def _make_inputs(
        self, shapes: Mapping[str, Sequence[int]], in_order: Sequence[Sequence[int]]
    ) -> None:
        read = {bottom for layer in self.layers for bottom in layer.bottom}
        sizes = {
            top: size
            for layer in self.layers
            if is_source(layer)
            for top, size in declared_sizes(layer).items()
            if top in read
        }
        if unknown := [name for name in shapes if name not in sizes]:
            raise WebDNNError(
                "the network has no such input",
                where=unknown,
                hint=f"its inputs are {', '.join(sizes)}",
            )
        if len(in_order) > len(sizes):
            raise WebDNNError(
                f"{len(in_order)} shapes were given, and the network has {len(sizes)} inputs",
                where=list(sizes),
            )
        given = dict(zip(sizes, in_order, strict=False)) | dict(shapes)
        if lacking := [name for name, size in sizes.items() if name not in given and size is None]:
            crops = {top: cropped_to(layer) for layer in self.layers for top in layer.top}
            side = crops[lacking[0]] or 224
            raise WebDNNError(
                "the size of an input is not known",
                where=lacking,
                why="the network reads it from files of training data, or does not say",
                hint=f"give it: --shape {lacking[0]}=1,3,{side},{side}",
            )
        for name, declared in sizes.items():
            size = tuple(int(n) for n in given.get(name, declared or ()))
            if any(n < 1 for n in size) or math.prod(size) > MOST:
                raise WebDNNError(
                    f"an input cannot have the shape {size}",
                    where=name,
                    why=f"sizes are positive, and there are up to {MOST} numbers",
                )
            self.inputs.append(Blob(name, size))
            self.values[name] = self.inputs[-1]

    def _convert(self, index: int, proto: Any) -> None:
        name = unique(proto.name or f"{proto.type}_{index}", self.names)
        bottoms = [self.values[bottom] for bottom in proto.bottom]
        layer = Layer(proto, name, bottoms, self.blobs.get(proto.name, ()), self.graph)
        for bottom in bottoms:
            if UNKNOWN in bottom.shape:
                raise layer.error("the size of what it reads is known only when the model runs")
        field, handler = HANDLERS[proto.type]
        if proto.type not in _WITHOUT_BOTTOMS and not bottoms:
            raise layer.error("it reads nothing")
        results = handler(layer, getattr(proto, field) if field else None)
        tops = list(proto.top)
        if len(tops) != len(results):
            raise layer.error(f"it makes {len(tops)} blobs, and must make {len(results)}")
        for result in results:
            layer.need_sizes(tuple(size for size in result.shape if size != UNKNOWN))
        names = [self._name_of(top, index, name) for top in tops]
        self.values.update(zip(tops, layer.finish(results, names), strict=True))

    def _name_of(self, top: str, index: int, layer: str) -> str:
        is_input = any(top == blob.name for blob in self.inputs)
        if self.last[top] == index and not is_input:
            return top
        return self.graph.unique(f"{top}:{layer}")

    def _result(self, output: str, made: set[str]) -> Blob:
        """The blob of this output, which a node must make."""
        blob = self.values[output]
        if blob.name in made and (blob.name == output or not self._is_free(output, made)):
            return blob
        name = output if self._is_free(output, made) else self.graph.unique(f"{output}:output")
        node = helper.make_node(
            "Identity", [blob.name], [name], name=self.graph.unique_node(f"{output}/Identity")
        )
        self.graph.add_node(node)
        return Blob(name, blob.shape)

    def _is_free(self, name: str, made: set[str]) -> bool:
        return name not in made and all(name != blob.name for blob in self.inputs)


def _declared(blob: Blob) -> onnx.ValueInfoProto:
    shape: list[int | None] = [None if n == UNKNOWN else n for n in blob.shape]
    return helper.make_tensor_value_info(blob.name, TensorProto.FLOAT, shape)


__all__ = ["convert", "is_caffemodel", "is_prototxt"]

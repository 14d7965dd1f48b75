"""What tf2onnx does not know or gets wrong: operators of TensorFlow that it lacks, and sizes that it rounds down."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

Handler = tuple[Callable[..., None], list[Any]]


def _erfc(context: Any, node: Any, name: str, args: Any) -> None:
    """1 - erf(x). The difference is that of 32 bits near 1: what is made of it (GELU) adds to 1 itself."""
    one = context.make_const(f"{name}_one", np.array(1, np.float32)).output[0]
    (shape,), (dtype,) = node.output_shapes, node.output_dtypes
    outputs = list(node.output)
    context.remove_node(name)
    erf = context.make_node("Erf", node.input[:1], shapes=[shape], dtypes=[dtype])
    context.make_node(
        "Sub", [one, erf.output[0]], name=name, outputs=outputs, shapes=[shape], dtypes=[dtype]
    )


def _expm1(context: Any, node: Any, name: str, args: Any) -> None:
    """exp(x) - 1 without its loss of digits near 0: tanh(x / 2) (exp(x) + 1)."""
    constants = {
        label: context.make_const(f"{name}_{label}", np.array(value, np.float32)).output[0]
        for label, value in (("half", 0.5), ("one", 1.0))
    }
    (shape,), (dtype,) = node.output_shapes, node.output_dtypes
    (x,), outputs = node.input, list(node.output)
    context.remove_node(name)
    half = context.make_node("Mul", [x, constants["half"]]).output[0]
    left = context.make_node("Tanh", [half]).output[0]
    power = context.make_node("Exp", [x]).output[0]
    right = context.make_node("Add", [power, constants["one"]]).output[0]
    context.make_node(
        "Mul", [left, right], name=name, outputs=outputs, shapes=[shape], dtypes=[dtype]
    )


def _bucketize(context: Any, node: Any, name: str, args: Any) -> None:
    """How many of the boundaries are not greater."""
    boundaries = np.array(node.get_attr("boundaries").floats, np.float32)
    (shape,), (dtype,) = node.output_shapes, node.output_dtypes
    outputs = list(node.output)
    context.remove_node(name)
    limits = context.make_const(f"{name}_limits", boundaries).output[0]
    last = context.make_const(f"{name}_last", np.array([-1], np.int64)).output[0]
    values = context.make_node("Cast", node.input[:1], attr={"to": onnx.TensorProto.FLOAT}).output[
        0
    ]
    each = context.make_node("Unsqueeze", [values, last]).output[0]
    reached = context.make_node("GreaterOrEqual", [each, limits]).output[0]
    hits = context.make_node("Cast", [reached], attr={"to": dtype}).output[0]
    context.make_node(
        "ReduceSum", [hits, last], attr={"keepdims": 0}, name=name, outputs=outputs, shapes=[shape], dtypes=[dtype]
    )  # fmt: skip


HANDLERS: Mapping[str, Handler] = {
    "Erfc": (_erfc, []),
    "Expm1": (_expm1, []),
    "Bucketize": (_bucketize, []),
}
"""For `custom_op_handlers` of tf2onnx."""


def convert_function(function: Any, signature: list[Any], opset: int) -> onnx.ModelProto:
    """A function of TensorFlow with tf2onnx.

    Args:
        signature: a `tf.TensorSpec` of each argument.
    """
    tf2onnx: Any = importlib.import_module("tf2onnx")
    # tf2onnx for NumPy 2
    importlib.import_module("keras.src.export.tf2onnx_lib").patch_tf2onnx()
    proto: onnx.ModelProto
    proto, _ = tf2onnx.convert.from_function(
        function, input_signature=signature, opset=opset, custom_op_handlers=dict(HANDLERS)
    )
    repair(proto)
    return proto


def repair(proto: onnx.ModelProto) -> None:
    """Correct what tf2onnx gets wrong, in place.

    A size that it writes as a factor of 32 bits is one less where the product is rounded down, as ONNX says: 3 times
    5/3 is below 5. So Resize is told the sizes, which are the nearest integers.
    """
    _repair_graph(proto.graph)


def _repair_graph(graph: onnx.GraphProto) -> None:
    nodes: list[onnx.NodeProto] = []
    for original in graph.node:
        node = onnx.NodeProto()
        node.CopyFrom(original)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                _repair_graph(attribute.g)
        if node.op_type == "Resize":
            _repair_nearest(node)
        if node.op_type == "Resize" and len(node.input) == 3 and node.input[2]:
            nodes += _sizes(node)
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def _repair_nearest(node: onnx.NodeProto) -> None:
    """An old name of a transformation: the element at floor((i + 0.5) / scale)."""
    for attribute in node.attribute:
        if (
            attribute.name == "coordinate_transformation_mode"
            and attribute.s == b"tf_half_pixel_for_nn"
        ):
            attribute.s = b"half_pixel"
            kept = [a for a in node.attribute if a.name != "nearest_mode"]
            nearest = helper.make_attribute("nearest_mode", "round_prefer_ceil")
            copies = [
                onnx.AttributeProto.FromString(a.SerializeToString()) for a in (*kept, nearest)
            ]
            del node.attribute[:]
            node.attribute.extend(copies)
            return


def _sizes(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Nodes that compute the sizes of a Resize, which are folded where the shape is known."""
    x, _, factors = node.input
    prefix = f"{node.output[0]}__size"
    names = [f"{prefix}_{at}" for at in range(5)]
    steps = [
        helper.make_node("Shape", [x], [names[0]]),
        helper.make_node("Cast", [names[0]], [names[1]], to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", [names[1], factors], [names[2]]),
        helper.make_node("Round", [names[2]], [names[3]]),
        helper.make_node("Cast", [names[3]], [names[4]], to=onnx.TensorProto.INT64),
    ]
    node.input[:] = [x, "", "", names[4]]
    return steps

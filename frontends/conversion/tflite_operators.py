"""Operators of TensorFlow Lite that tf2onnx does not know, and leaves in its models as `TFL_NAME`."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, helper, numpy_helper

from webdnn.dialects.errors import WebDNNError, shortened
from webdnn.frontends.conversion.onnx_names import all_graphs

_PREFIX = "TFL_"


def replace_operators(model: onnx.ModelProto) -> None:
    """Say in ONNX's operators what tf2onnx left as TensorFlow Lite's, in place.

    Raises:
        WebDNNError: it left an operator that is not known here either.
    """
    unknown: dict[str, list[str]] = {}
    for graph in all_graphs(model.graph):
        if not any(node.op_type.startswith(_PREFIX) for node in graph.node):
            continue
        nodes: list[NodeProto] = []
        for node in graph.node:
            name = node.op_type.removeprefix(_PREFIX)
            if name == node.op_type:
                nodes.append(node)
            elif name in _REPLACEMENTS:
                nodes += _REPLACEMENTS[name](node)
            else:
                unknown.setdefault(name, []).append(node.name or node.output[0])
        copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    if unknown:
        raise WebDNNError(
            f"TensorFlow Lite's {', '.join(unknown)} cannot be converted",
            where=shortened([name for names in unknown.values() for name in names]),
            why="tf2onnx does not know it",
            hint="give the model from which the .tflite file was made, a SavedModel or one of Keras",
        )


def _gelu(node: NodeProto) -> list[NodeProto]:
    """x / 2 (1 + erf(x / sqrt(2))), or with `approximate` x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))."""
    (x,), (result,) = node.input, node.output
    steps: list[NodeProto] = []

    def constant(value: float) -> str:
        array = numpy_helper.from_array(np.array(value, np.float32))
        return step("Constant", value=array)

    def step(op_type: str, *operands: str, **attributes: Any) -> str:
        name = f"{result}__gelu_{len(steps)}"
        steps.append(helper.make_node(op_type, operands, [name], name=name, **attributes))
        return name

    if any(each.name == "approximate" and each.i for each in node.attribute):
        cube = step("Mul", step("Mul", step("Mul", x, x), x), constant(0.044715))
        argument = step("Mul", step("Add", x, cube), constant(math.sqrt(2 / math.pi)))
        curve = step("Tanh", argument)
    else:
        curve = step("Erf", step("Mul", x, constant(math.sqrt(0.5))))
    half = step("Mul", x, constant(0.5))
    factor = step("Add", curve, constant(1))
    return [*steps, helper.make_node("Mul", [half, factor], [result], name=node.name)]


_REPLACEMENTS: Mapping[str, Callable[[NodeProto], list[NodeProto]]] = {"GELU": _gelu}

__all__ = ["replace_operators"]

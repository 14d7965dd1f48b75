"""Layers that Keras 2 made of calls of TensorFlow's functions and operators on its tensors."""

from __future__ import annotations

import importlib
from functools import reduce
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.old_keras.arguments import PACKAGE

_keras: Any = importlib.import_module("keras")
_tf: Any = importlib.import_module("tensorflow")
_Layer: Any = _keras.layers.Layer

_MODULES = ("__operators__", "bitwise", "image", "linalg", "math", "nn", "signal")
"""Of TensorFlow, whose functions only compute."""

_FUNCTIONS = frozenset(
    [
        "abs",
        "add",
        "argmax",
        "argmin",
        "argsort",
        "batch_to_space",
        "boolean_mask",
        "broadcast_to",
        "cast",
        "clip_by_norm",
        "clip_by_value",
        "concat",
        "convert_to_tensor",
        "cos",
        "cumsum",
        "divide",
        "edit_distance",
        "einsum",
        "ensure_shape",
        "equal",
        "exp",
        "expand_dims",
        "eye",
        "fill",
        "floor",
        "gather",
        "gather_nd",
        "greater",
        "greater_equal",
        "identity",
        "less",
        "less_equal",
        "linspace",
        "logical_and",
        "logical_not",
        "logical_or",
        "matmul",
        "maximum",
        "meshgrid",
        "minimum",
        "multiply",
        "negative",
        "norm",
        "not_equal",
        "one_hot",
        "ones",
        "ones_like",
        "pad",
        "pow",
        "range",
        "rank",
        "realdiv",
        "reduce_all",
        "reduce_any",
        "reduce_max",
        "reduce_mean",
        "reduce_min",
        "reduce_prod",
        "reduce_sum",
        "repeat",
        "reshape",
        "reverse",
        "reverse_sequence",
        "roll",
        "round",
        "scatter_nd",
        "searchsorted",
        "sequence_mask",
        "shape",
        "sigmoid",
        "sign",
        "sin",
        "size",
        "slice",
        "sort",
        "space_to_batch",
        "sqrt",
        "square",
        "squeeze",
        "stack",
        "strided_slice",
        "subtract",
        "tan",
        "tanh",
        "tensor_scatter_nd_update",
        "tensordot",
        "tile",
        "transpose",
        "truediv",
        "unstack",
        "where",
        "zeros",
        "zeros_like",
    ]
)
"""The same of those of no module."""


def _function(name: str, layer: str) -> Any:
    path = name.removeprefix("tf.").removeprefix("compat.v1.").split(".")
    allowed = path[0] in _MODULES if len(path) > 1 else path[0] in _FUNCTIONS
    try:
        if allowed:
            return reduce(getattr, path, _tf)
    except AttributeError:
        pass
    raise WebDNNError(
        f"a layer calls tf.{name}",
        where=layer,
        why="it is not among the functions of TensorFlow that are called here",
        hint="export the model from Keras 2 as a SavedModel (model.export or model.save), and give its folder",
    )


@_keras.saving.register_keras_serializable(PACKAGE)
class TFOpLambda(_Layer):
    """A call of a function of TensorFlow, with the arguments that the call of the layer has.

    Where its first argument is no tensor, that comes as `before`, and `called` says which one the tensor is.
    """

    def __init__(self, function: str, name: str, **others: Any) -> None:
        super().__init__(name=name, autocast=False)
        self.function = _function(function, name)

    def call(
        self, *arguments: Any, before: Any = None, called: str | None = None, **named: Any
    ) -> Any:
        named.pop("name", None)
        if called is not None:
            return self.function(before, **{called: arguments[0]}, **named)
        return self.function(*arguments, **named)


@_keras.saving.register_keras_serializable(PACKAGE)
class SlicingOpLambda(TFOpLambda):
    """Indexing: slices are written as objects with `start`, `stop` and `step`."""

    def call(self, *arguments: Any, **named: Any) -> Any:
        plain = {key: _slices(value) for key, value in named.items()}
        return super().call(*arguments, **plain)


def _slices(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {"start", "stop", "step"}:
            return slice(value["start"], value["stop"], value["step"])
        if value.get("value") == "Ellipsis" or value.get("class_name") == "__ellipsis__":
            return Ellipsis
    if isinstance(value, list):
        return tuple(_slices(item) for item in value)
    return value


@_keras.saving.register_keras_serializable(PACKAGE)
class TensorFlowOpLayer(_Layer):
    """A node of TensorFlow's graph, of TensorFlow 2.0 to 2.3; some of its operands are constants."""

    def __init__(
        self, node_def: Any, constants: dict[str, Any] | None = None, name: str = "", **others: Any
    ) -> None:
        super().__init__(name=name, autocast=False)
        self.constants = {int(at): value for at, value in (constants or {}).items()}
        self.node = _tf.compat.v1.NodeDef()
        json_format: Any = importlib.import_module("google.protobuf.json_format")
        text_format: Any = importlib.import_module("google.protobuf.text_format")
        if str(node_def).lstrip().startswith("{"):
            json_format.Parse(node_def, self.node)
        else:
            text_format.Parse(node_def, self.node)
        registry: Any = importlib.import_module("tensorflow.python.framework.op_def_registry")
        definition = registry.get(self.node.op)
        if definition is None or definition.is_stateful:
            raise WebDNNError(
                f"a layer is the operator {self.node.op} of TensorFlow, which does more than compute",
                where=name,
            )

    def call(self, inputs: Any) -> Any:
        operands = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        for at, value in sorted(self.constants.items()):
            operands.insert(at, value)
        graph = _tf.compat.v1.GraphDef()
        node = graph.node.add()
        node.CopyFrom(self.node)
        names = [f"operand_{at}" for at in range(len(operands))]
        tensors = [_tf.convert_to_tensor(operand) for operand in operands]
        del node.input[:]
        for label, tensor in zip(names, tensors, strict=True):
            node.input.append(label)
            graph.node.add(name=label, op="Placeholder").attr[
                "dtype"
            ].type = tensor.dtype.as_datatype_enum
        inside = dict(zip(names, tensors, strict=True))
        results = _tf.graph_util.import_graph_def(
            graph, input_map=inside, return_elements=[node.name]
        )[0].outputs
        return results[0] if len(results) == 1 else list(results)

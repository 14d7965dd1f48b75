"""A model of Keras as an ONNX model: traced by TensorFlow, converted by tf2onnx."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

import onnx
from onnx import numpy_helper

from webdnn.dialects.dtypes import Array
from webdnn.frontends.conversion.tensorflow import OPSET

LARGE = 1 << 14
"""Elements from which a trained array stays out of what TensorFlow and tf2onnx see: they copy constants dozens of times,
and VGG16 would take 19 GB of memory."""


def export(keras: Any, model: Any, specs: Sequence[Any]) -> onnx.ModelProto:
    """Export a model for prediction.

    Args:
        specs: `keras.InputSpec` of each input, flat, with distinct names.

    Returns:
        A model whose inputs and outputs stand in the order of those of Keras, with tf2onnx's names.
    """
    tf: Any = importlib.import_module("tensorflow")
    tf2onnx: Any = importlib.import_module("tf2onnx")
    # it repairs tf2onnx for NumPy 2
    importlib.import_module("keras.src.export.tf2onnx_lib").patch_tf2onnx()
    trained, others = model.trainable_variables, model.non_trainable_variables
    variables = [*trained, *others]
    large = [variable for variable in variables if _size(variable) >= LARGE]
    small = {id(v): v.numpy() for v in variables if _size(v) < LARGE}
    labels = {id(variable): f"webdnn_weight_{at}" for at, variable in enumerate(large)}
    inputs = [_tensor_spec(tf, spec.shape, spec.dtype, spec.name) for spec in specs]
    weights = [
        _tensor_spec(tf, variable.shape, variable.dtype, labels[id(variable)]) for variable in large
    ]

    def predict(*tensors: Any) -> Any:
        given = dict(zip(labels, tensors[len(inputs) :], strict=True))
        values = [
            given[id(variable)] if id(variable) in given else tf.constant(small[id(variable)])
            for variable in variables
        ]
        taken: Any = list(tensors[: len(inputs)])
        results, *_ = model.stateless_call(
            values[: len(trained)],
            values[len(trained) :],
            taken if len(taken) > 1 else taken[0],
            training=False,
        )
        return keras.tree.flatten(results)

    function = tf.function(predict, autograph=False, jit_compile=False)
    signature = [*inputs, *weights]
    proto: onnx.ModelProto
    proto, _ = tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET)
    arrays = {labels[id(variable)]: variable.numpy() for variable in large}
    _fill(proto, arrays | _captured(tf, function.get_concrete_function(*signature)))
    return proto


def _size(variable: Any) -> int:
    count = 1
    for size in variable.shape:
        count *= size
    return count


def _tensor_spec(tf: Any, shape: Any, dtype: Any, name: str) -> Any:
    return tf.TensorSpec(shape, dtype, name=name)


def _captured(tf: Any, function: Any) -> dict[str, Array]:
    """Arrays that layers hold beside their variables, by the names of what stands for them in the function."""
    return {
        inside.name: outside.numpy()
        for outside, inside in function.graph.captures
        if isinstance(outside, tf.Tensor) and outside.dtype not in (tf.resource, tf.variant)
    }


def _fill(proto: onnx.ModelProto, arrays: Mapping[str, Array]) -> None:
    """Put arrays in place of the inputs that stood for them."""
    kept: list[onnx.ValueInfoProto] = []
    for value in proto.graph.input:
        array = arrays.get(value.name, arrays.get(value.name.removesuffix(":0")))
        if array is None:
            kept.append(value)
        else:
            proto.graph.initializer.append(numpy_helper.from_array(array, value.name))
    del proto.graph.input[:]
    proto.graph.input.extend(kept)

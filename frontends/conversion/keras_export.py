"""A model of Keras as an ONNX model: traced by TensorFlow, converted by tf2onnx."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx
from onnx import numpy_helper

from webdnn.dialects.dtypes import Array
from webdnn.frontends.conversion.keras_tracing import plain_operators
from webdnn.frontends.conversion.tensorflow import OPSET
from webdnn.frontends.conversion.tf2onnx_repairs import convert_function

LARGE = 1 << 14
"""Elements from which a trained array stays out of what TensorFlow and tf2onnx see: they copy constants dozens of
times, and VGG16 would take 19 GB of memory."""


def export(
    keras: Any, model: Any, specs: Sequence[Any], arrange: Callable[[list[Any]], list[Any]]
) -> onnx.ModelProto:
    """Export a model for prediction.

    Args:
        specs: `keras.InputSpec` of each input, flat, with distinct names.
        arrange: makes the arguments of the model's call of tensors in this order.

    Returns:
        A model whose inputs and outputs stand in the order of those of Keras, with tf2onnx's names.
    """
    tf: Any = importlib.import_module("tensorflow")
    _write_out_lookups(keras, model)
    trained, others = model.trainable_variables, model.non_trainable_variables
    variables = [*trained, *others]
    large = [variable for variable in variables if _size(variable) >= LARGE]
    small = {id(v): v.numpy() for v in variables if _size(v) < LARGE}
    labels = {id(variable): f"webdnn_weight_{at}" for at, variable in enumerate(large)}
    inputs = [_tensor_spec(tf, spec.shape, spec.dtype, spec.name) for spec in specs]
    weights = [
        _tensor_spec(tf, variable.shape, variable.dtype, labels[id(variable)]) for variable in large
    ]

    mode = {"training": False} if model._call_has_training_arg else {}

    def predict(*tensors: Any) -> Any:
        given = dict(zip(labels, tensors[len(inputs) :], strict=True))
        values = [
            given[id(variable)] if id(variable) in given else tf.constant(small[id(variable)])
            for variable in variables
        ]
        taken = [*tensors[: len(inputs)]]
        results, *_ = model.stateless_call(
            values[: len(trained)],
            values[len(trained) :],
            *arrange(taken),
            **mode,
        )
        return keras.tree.flatten(results)

    function = tf.function(predict, autograph=False, jit_compile=False)
    signature = [*inputs, *weights]
    with plain_operators():
        concrete = function.get_concrete_function(*signature)
        proto = convert_function(function, signature, OPSET)
    arrays = {labels[id(variable)]: variable.numpy() for variable in large}
    _fill(proto, arrays | _captured(tf, concrete))
    return proto


def _size(variable: Any) -> int:
    count = 1
    for size in variable.shape:
        count *= size
    return count


def _tensor_spec(tf: Any, shape: Any, dtype: Any, name: str) -> Any:
    return tf.TensorSpec(shape, dtype, name=name)


class _Lookup:
    """A table of integers as comparisons: TensorFlow's own are no tensors.

    Args:
        table: of TensorFlow.
    """

    def __init__(self, tf: Any, table: Any) -> None:
        self._tf = tf
        self._table = table
        self._keys, self._values = (array.numpy() for array in table.export())
        self._missing = table._default_value.numpy()

    def lookup(self, inputs: Any) -> Any:
        """The values of keys."""
        tf = self._tf
        found = tf.equal(tf.expand_dims(inputs, -1), tf.constant(self._keys, inputs.dtype))
        values = tf.reduce_sum(tf.cast(found, tf.int64) * tf.constant(self._values, tf.int64), -1)
        return tf.where(tf.reduce_any(found, -1), values, tf.constant(self._missing, tf.int64))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._table, name)


def _write_out_lookups(keras: Any, model: Any) -> None:
    tf: Any = importlib.import_module("tensorflow")
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.IntegerLookup):
            layer.lookup_table = _Lookup(tf, layer.lookup_table)


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

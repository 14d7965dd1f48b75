"""A script that writes models with tf_keras, which is Keras 2: python -m tests.unit.keras2_models FOLDER.

Of each of `MAKERS` there are `NAME.h5` and `NAME.keras`, and in `numbers.npz` inputs (`NAME|in0`) and results
(`NAME|out0`); `code.h5`, `major.h5` and `unknown.h5` cannot be converted.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from webdnn.dialects.dtypes import Array

NAMES = (
    "attention",
    "cudnn",
    "embedding",
    "nested",
    "operators",
    "preprocessing",
    "recurrent",
    "sequential",
)


def _numbers(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(0, 1, shape).astype(np.float32)


def _sequential(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    model = keras.Sequential([
        layers.Dense(6, activation="hard_sigmoid", input_shape=(5,)),
        layers.LeakyReLU(0.2), layers.ReLU(6.0, negative_slope=0.1), layers.PReLU(), layers.ThresholdedReLU(0.1),
        layers.Dense(3, name="a/b"),
    ])  # fmt: skip
    return model, [_numbers(2, 5)]


def _operators(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    """Operators of TensorFlow between layers."""
    tf: Any = importlib.import_module("tensorflow")
    x = layers.Input((12, 10, 3))
    y = layers.BatchNormalization()(layers.DepthwiseConv2D(3, name="expanded_conv/depthwise")(x))
    y = layers.SeparableConv2D(5, 3, padding="same")(y)
    y = y * tf.nn.relu6(y + 3.0) / 6.0
    y = layers.Conv2DTranspose(4, 3, strides=2)(y)[:, 1:, ::2]
    y = layers.LayerNormalization(axis=[2, 3])(y)
    y = tf.concat([y, 2.0 * y], axis=-1)
    return keras.Model(x, layers.LocallyConnected2D(2, 3)(y)), [_numbers(2, 12, 10, 3)]


def _recurrent(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    x, h, c = layers.Input((7, 5)), layers.Input((4,)), layers.Input((4,))
    results = [
        layers.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid")(x),
        layers.GRU(4, reset_after=False)(x, initial_state=h),
        *layers.LSTM(4, return_state=True)(x, initial_state=[h, c]),
        layers.Bidirectional(layers.GRU(3, return_sequences=True))(x),
        layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(x),
    ]
    return keras.Model([x, h, c], results), [_numbers(2, 7, 5), _numbers(2, 4), 2 * _numbers(2, 4)]


def _cudnn(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    """Recurrent layers with the defaults of today, which are what CuDNN computes."""
    model = keras.Sequential([
        layers.GRU(4, return_sequences=True, input_shape=(7, 5)), layers.LSTM(3, return_sequences=True),
    ])  # fmt: skip
    return model, [_numbers(2, 7, 5)]


def _nested(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    """Models in a model, called twice."""
    first = keras.Sequential([layers.Dense(4, input_shape=(5,)), layers.BatchNormalization()])
    inside = layers.Input((4,))
    dense = layers.Dense(3, activation="tanh")(inside)
    second = keras.Model(inside, layers.BatchNormalization()(dense))
    x = layers.Input((5,))
    y, z = second(first(x)), second(first(layers.Dense(5)(x)))
    return keras.Model(x, layers.Add()([y, z])), [_numbers(2, 5)]


def _attention(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    x, q = layers.Input((6, 8)), layers.Input((4, 8))
    results = [
        layers.MultiHeadAttention(2, 4)(q, value=x),
        layers.Attention(use_scale=True)([q, x]),
    ]
    return keras.Model([x, q], results), [_numbers(2, 6, 8), _numbers(2, 4, 8)]


def _embedding(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    x = layers.Input((6,))
    y = layers.LSTM(5)(layers.Embedding(20, 6, mask_zero=True)(x))
    return keras.Model(x, y), [np.array([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]], np.float32)]


def _preprocessing(layers: Any, keras: Any) -> tuple[Any, list[Array]]:
    x = layers.Input((10, 9, 3))
    y = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(
        layers.Rescaling(2.0, -1)(x)
    )
    y = layers.TimeDistributed(layers.Dense(3))(layers.ZeroPadding2D(((1, 2), (0, 1)))(y))
    y = layers.ConvLSTM2D(2, 3)(layers.Reshape((1, 13, 10, 3))(y))
    y = layers.UpSampling2D(2, interpolation="bilinear")(y)
    return keras.Model(x, layers.GlobalAveragePooling2D(keepdims=True)(y)), [_numbers(2, 10, 9, 3)]


MAKERS: dict[str, Callable[[Any, Any], tuple[Any, list[Array]]]] = {
    "attention": _attention,
    "cudnn": _cudnn,
    "embedding": _embedding,
    "nested": _nested,
    "operators": _operators,
    "preprocessing": _preprocessing,
    "recurrent": _recurrent,
    "sequential": _sequential,
}


def _write_what_fails(layers: Any, keras: Any, folder: Path) -> None:
    given = [layers.Dense(3, input_shape=(5,)), layers.Lambda(lambda x: 2 * x, name="doubled")]
    keras.Sequential(given).save(folder / "code.h5")
    steps = layers.LSTM(3, time_major=True, return_sequences=True, name="steps", input_shape=(5, 2))
    keras.Sequential([steps]).save(folder / "major.h5")
    keras.Sequential([layers.Dense(3, input_shape=(5,), name="oddity")]).save(folder / "unknown.h5")
    h5py: Any = importlib.import_module("h5py")
    with h5py.File(folder / "unknown.h5", "r+") as file:
        config = file.attrs["model_config"].replace('"Dense"', '"Strange"')
        file.attrs["model_config"] = config
        assert json.loads(config)


def _write(folder: Path) -> None:
    keras: Any = importlib.import_module("tf_keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    numbers: dict[str, Array] = {}
    for name, make in MAKERS.items():
        model, inputs = make(layers, keras)
        for weight in model.weights:
            values = random.normal(0, 0.3, weight.shape)
            weight.assign(np.abs(values) + 0.5 if "variance" in weight.name else values)
        results = model(inputs if len(inputs) > 1 else inputs[0], training=False)
        results = results if isinstance(results, list) else [results]
        numbers |= {f"{name}|in{at}": value for at, value in enumerate(inputs)}
        numbers |= {f"{name}|out{at}": np.asarray(value) for at, value in enumerate(results)}
        for suffix in ("h5", "keras"):
            model.save(folder / f"{name}.{suffix}")
    np.savez(folder / "numbers.npz", allow_pickle=False, **numbers)
    _write_what_fails(layers, keras, folder)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _write(Path(sys.argv[1]))

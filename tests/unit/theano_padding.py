"""A script that compares convolutions padded as Theano does it with their definition."""

from __future__ import annotations

import importlib
import itertools
import os
from typing import Any

import numpy as np

from webdnn.dialects.dtypes import Array


def convolution(x: Array, kernel: Array, stride: int, padding: str) -> Array:
    """Of channels-last pictures; `same` pads by half of the filter at both ends, `full` by all but one element."""
    sizes = kernel.shape[:2]
    pads = [size - 1 if padding == "full" else size // 2 for size in sizes]
    wide = np.pad(x, ((0, 0), *((pad, pad) for pad in pads), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, sizes, axis=(1, 2))
    result = np.einsum("bijchw,hwco->bijo", windows[:, ::stride, ::stride], kernel)
    if padding == "same":
        rows, columns = (-(-length // stride) for length in x.shape[1:3])
        result = result[:, :rows, :columns]
    return result


def _compare() -> None:
    keras: Any = importlib.import_module("keras")
    layers: Any = importlib.import_module("webdnn.frontends.conversion.old_keras.layers")
    random = np.random.default_rng(0)
    for sizes, stride, padding, length in itertools.product(
        ((3, 3), (2, 3), (4, 2)), (1, 2, 3), ("same", "full"), (7, 8)
    ):
        x = random.random((2, length, length + 1, 3), np.float32)
        layer = layers.PaddedConv2D(
            padding=padding, filters=4, kernel_size=sizes, strides=stride, use_bias=False
        )
        start = keras.Input(x.shape[1:])
        model = keras.Model(start, layer(start))
        expected = convolution(x, np.asarray(layer.kernel), stride, padding)
        assert (2, *model.output_shape[1:]) == expected.shape
        np.testing.assert_allclose(np.asarray(model(x)), expected, atol=1e-5)


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    _compare()

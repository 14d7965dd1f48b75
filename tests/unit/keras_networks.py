"""A script that makes a network of `keras.applications` with random weights, and what it computes.

python keras_networks.py NAME SIZE FOLDER: `net.h5`, and `data.npz` with its input and output.
python keras_networks.py list: the names of all constructors.

Weights that were never trained let activations vanish or grow from layer to layer. So the statistics of each batch
normalisation are those of a picture, filters keep the variance through a ReLU, all that is 0 or 1 at first is near it,
and the last layer is scaled to scores that a softmax tells apart.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inputs import photograph

SPREAD = 0.3
"""The standard deviation of scores. A softmax multiplies their rounding by as much as they are apart."""


def constructors(keras: Any) -> list[str]:
    """The functions of `keras.applications` that make a network."""
    return [name for name, value in vars(keras.applications).items() if inspect.isfunction(value)]


def network(keras: Any, name: str, image: Any) -> Any:
    """A network for pictures of this size, with random weights."""
    keras.utils.set_random_seed(0)
    model = getattr(keras.applications, name)(weights=None, input_shape=image.shape[1:])
    random = np.random.default_rng(0)
    norms = [n for n in model._flatten_layers() if isinstance(n, keras.layers.BatchNormalization)]
    for layer in model._flatten_layers():
        is_depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        for weight in layer._trainable_variables:
            _randomise(weight, random, is_depthwise or weight.name == "depthwise_kernel")
    for norm in norms:
        norm.momentum = 0.0
    if norms:  # statistics of one picture at each place of it, then near them
        model(image, training=True)
    for norm in norms:
        for statistic in (norm.moving_mean, norm.moving_variance):
            values = np.asarray(statistic)
            statistic.assign((values + 1e-3) * random.uniform(0.8, 1.25, values.shape))
        norm.momentum = 0.99
    last = next(layer for layer in reversed(model.layers) if layer.weights)
    before = np.asarray(keras.Model(model.inputs, last.input)(image, training=False))
    kernel = np.asarray(last.kernel)
    kernel = kernel.reshape(kernel.shape[-2:])  # of a convolution over one place
    last.kernel.assign(np.asarray(last.kernel) * (SPREAD / (before @ kernel).std()))
    return model


def _randomise(weight: Any, random: np.random.Generator, is_depthwise: bool) -> None:
    shape = weight.shape
    if len(shape) > 1:
        taps = np.prod(shape[:2] if is_depthwise else shape[:-1])
        weight.assign(random.normal(0, (2 / taps) ** 0.5, shape))
    else:
        weight.assign(random.normal(0 if weight.name in ("bias", "beta") else 1, 0.1, shape))


def make(name: str, size: int, folder: Path) -> None:
    """Write the files."""
    keras: Any = importlib.import_module("keras")
    image = photograph(size, size)[None] * (
        255 if name.startswith(("Efficient", "ConvNeXt")) else 1
    )
    model = network(keras, name, image)
    model.save(folder / "net.h5")
    result = np.asarray(model(image, training=False))
    np.savez(folder / "data.npz", image=image, result=result)


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    if sys.argv[1] == "list":
        print(*constructors(importlib.import_module("keras")))
    else:
        make(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

"""A script that saves a network of Keras, a picture, and what Keras computes of it.

python keras_network.py NAME SIZE FOLDER: `network.h5`, `input_image.png` and `probabilities.npy`. NAME is `small` or a
network of `keras.applications`.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def _small(keras: Any, size: int) -> Any:
    """Two residual blocks."""
    layers = keras.layers
    image = layers.Input((size, size, 3))
    x = layers.Conv2D(8, 7, strides=2, padding="same")(image)
    x = layers.MaxPooling2D(3, strides=2)(layers.ReLU()(layers.BatchNormalization()(x)))
    for features in (8, 16):
        branch = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(features, 1)(x)))
        branch = layers.BatchNormalization()(layers.Conv2D(features, 3, padding="same")(branch))
        x = layers.ReLU()(layers.Add()([layers.Conv2D(features, 1)(x), branch]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(10, activation="softmax")(x))


def main(name: str, size: int, folder: Path) -> None:
    keras: Any = importlib.import_module("keras")
    keras.utils.set_random_seed(0)
    if name == "small":
        network = _small(keras, size)
    else:
        make = getattr(keras.applications, name)
        network = make(weights=None, input_shape=(size, size, 3))
    pixels = np.random.default_rng(0).integers(0, 256, (size, size, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "input_image.png")
    batch = pixels[np.newaxis].astype(np.float32)

    # With random weights, the scores before the softmax may be all alike, or very large.
    last = network.layers[-1]
    features = keras.Model(network.inputs, last.input)(batch, training=False)
    scores = np.asarray(features) @ np.asarray(last.kernel)
    last.kernel.assign(last.kernel * (2 / np.std(scores)))
    network.save(folder / "network.h5")
    np.save(folder / "probabilities.npy", np.asarray(network(batch, training=False))[0])


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))

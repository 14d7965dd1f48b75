"""A script that makes small models with the frameworks themselves, and what they compute: the tests convert them.

python framework_models.py keras FOLDER: files of Keras and TensorFlow, `inputs.npz` and `outputs.npz`.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np

CUSTOM = """
import keras

class Doubled(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""


def keras_models(folder: Path) -> None:
    """`net.h5`, `net.keras`, `weights.weights.h5` of a network; `custom.keras`, `lambda.keras`, `two.keras`."""
    keras: Any = importlib.import_module("keras")
    layers = keras.layers
    keras.utils.set_random_seed(0)
    image = layers.Input((None, None, 3), name="image")
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="first")(image)
    x = layers.BatchNormalization()(x)
    x = layers.ReLU(max_value=6)(x)
    x = layers.DepthwiseConv2D(3, padding="same", activation="swish")(x)
    x = layers.GlobalAveragePooling2D()(x)
    net = keras.Model(image, layers.Dense(5, activation="softmax", name="scores")(x))
    net.save(folder / "net.h5")
    net.save(folder / "net.keras")
    net.save_weights(folder / "weights.weights.h5")
    net.export(folder / "saved_model", verbose=False)

    (folder / "custom.py").write_text(CUSTOM)
    sys.path.insert(0, str(folder))
    doubled = importlib.import_module("custom").Doubled
    custom = keras.Sequential([layers.Input((4,), name="x"), doubled(), layers.Dense(3, name="y")])
    custom.save(folder / "custom.keras")

    a, b = layers.Input((4,), name="a"), layers.Input((6, 4), name="b")
    both = layers.LSTM(5, name="state")(b)
    two = keras.Model([a, b], [layers.Concatenate(name="joined")([a, both]), both])
    two.save(folder / "two.keras")

    random = np.random.default_rng(0)
    values = {
        "image": random.random((1, 24, 20, 3), np.float32),
        "x": random.random((2, 4), np.float32),
        "a": random.random((1, 4), np.float32),
        "b": random.random((1, 6, 4), np.float32),
    }
    lambdas = keras.Sequential(
        [layers.Input((4,), name="x"), layers.Lambda(lambda x: 2 * x, name="lambda"), layers.Dense(3, name="z")]
    )  # fmt: skip
    lambdas.save(folder / "lambda.keras")
    (folder / "lambdas.py").write_text("def lambda_(inputs):\n    return 2 * inputs\n")
    joined, state = two([values["a"], values["b"]])
    results = {
        "scores": net(values["image"], training=False),
        "y": custom(values["x"]),
        "z": lambdas(values["x"]),
        "gelu": keras.ops.gelu(values["x"], approximate=False),
        "curve": keras.ops.gelu(values["x"] ** 2, approximate=True),
        "joined": joined,
        "state": state,
    }
    np.savez(folder / "inputs.npz", allow_pickle=False, **values)
    outputs = {name: np.asarray(value) for name, value in results.items()}
    np.savez(folder / "outputs.npz", allow_pickle=False, **outputs)
    _tensorflow_models(folder, net, values["image"])


def _tensorflow_models(folder: Path, net: Any, image: Any) -> None:
    """`net.tflite`, `int8.tflite` and `frozen.pb` of the network at one size, `gelu.tflite` of both kinds of GELU."""
    tf: Any = importlib.import_module("tensorflow")
    freeze: Any = importlib.import_module("tensorflow.python.framework.convert_to_constants")
    spec = tf.TensorSpec(image.shape, tf.float32, name="image")
    function = tf.function(
        lambda image: {"scores": net(image, training=False)}, input_signature=[spec]
    )
    concrete = function.get_concrete_function()
    module = tf.Module()
    module.weights = [variable.value for variable in net.variables]
    tf.saved_model.save(module, folder / "one_size", signatures=concrete)
    floats = tf.lite.TFLiteConverter.from_saved_model(str(folder / "one_size"))
    (folder / "net.tflite").write_bytes(floats.convert())
    gelu = tf.function(
        lambda x: {"gelu": tf.nn.gelu(x), "curve": tf.nn.gelu(x * x, approximate=True)},
        input_signature=[tf.TensorSpec((2, 4), tf.float32, name="x")],
    )
    tf.saved_model.save(tf.Module(), folder / "gelu", signatures=gelu.get_concrete_function())
    lite = tf.lite.TFLiteConverter.from_saved_model(str(folder / "gelu"))
    (folder / "gelu.tflite").write_bytes(lite.convert())
    frozen = freeze.convert_variables_to_constants_v2(concrete)
    (folder / "frozen.pb").write_bytes(frozen.graph.as_graph_def().SerializeToString())
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: [[image * gain] for gain in (0.5, 1.0)]
    (folder / "int8.tflite").write_bytes(converter.convert())


TORCH_MODULE = """
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = torch.nn.Conv2d(3, 4, 3, padding=1)
        self.dense = torch.nn.Linear(4, 2)

    def forward(self, image):
        return self.dense(torch.relu(self.conv(image)).mean((2, 3)))

def make():
    return Net()

def make_with_inputs():
    return Net(), (torch.rand(2, 3, 8, 8),), ({0: torch.export.Dim("n")},)
"""


def torch_models(folder: Path) -> None:
    """`network.py`, and `net.pt2` with a symbolic batch of what it defines; `inputs.npz` and `outputs.npz`."""
    (folder / "network.py").write_text(TORCH_MODULE)
    sys.path.insert(0, str(folder))
    torch: Any = importlib.import_module("torch")
    network = importlib.import_module("network")
    module, inputs, sizes = network.make_with_inputs()
    program = torch.export.export(module.eval(), inputs, dynamic_shapes=sizes)
    torch.export.save(program, str(folder / "net.pt2"))
    torch.save(module.state_dict(), folder / "weights.pt")
    image = torch.rand(1, 3, 8, 8)
    np.savez(folder / "inputs.npz", image=image.numpy())
    np.savez(folder / "outputs.npz", linear=module(image).detach().numpy())


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    {"keras": keras_models, "torch": torch_models}[sys.argv[1]](Path(sys.argv[2]))

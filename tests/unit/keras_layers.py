"""A script that makes a model of each layer of Keras, converts it, and says what Keras computes.

python -m tests.unit.keras_layers FOLDER [NAME ...]: for each case `NAME.onnx` and `NAME.npz` (`in0`, `out0` ...), or
`NAME.txt` with the error of the conversion.
python -m tests.unit.keras_layers classes: the layers of `keras.layers`, and those that a case has.

All is done in one process, for TensorFlow takes longer to start than to convert a layer.
"""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.keras_objects import halved
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.keras import convert
from webdnn.frontends.conversion.process import Job

LEFT_OUT = {
    "Equalization": "passes its input on, and Keras makes no model of it",
    "HashedCrossing": "hashes strings",
    "Hashing": "hashes strings",
    "InputLayer": "of every model",
    "InputSpec": "is no layer",
    "JaxLayer": "holds a function of JAX",
    "FlaxLayer": "holds a function of JAX",
    "Layer": "computes nothing",
    "StringLookup": "of strings",
    "TextVectorization": "of strings",
    "TFSMLayer": "is a SavedModel, which is converted as such",
    "TorchModuleWrapper": "holds a module of PyTorch",
    "Wrapper": "computes nothing",
}
"""Classes of `keras.layers` that are not compared, and why."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A model.

    Attributes:
        make: called with the inputs of Keras, and `keras.layers`.
        shapes: of the inputs, with the batch; integers less than `below` where that is given.
        scale: by which random numbers are multiplied.
    """

    make: Callable[..., Any]
    shapes: Sequence[Shape]
    below: int | None = None
    scale: float = 1.0
    dtype: str = "float32"


def layer(
    name: str, *shapes: Shape, below: int | None = None, scale: float = 1.0, **arguments: Any
) -> Case:
    """A case of one layer, called with its inputs as one list where they are several."""

    def make(layers: Any, first: Any, *others: Any) -> Any:
        built = getattr(layers, name)(**arguments)
        return built([first, *others] if others else first)

    return Case(make, shapes, below, scale)


def _model(make: Callable[..., Any], *shapes: Shape, **others: Any) -> Case:
    return Case(make, shapes, **others)


def _elementwise() -> Iterator[tuple[str, Case]]:
    image = (2, 5, 7, 3)
    for name in [
        "celu",
        "elu",
        "exponential",
        "gelu",
        "glu",
        "hard_shrink",
        "hard_sigmoid",
        "hard_silu",
        "hard_tanh",
        "leaky_relu",
        "linear",
        "log_sigmoid",
        "log_softmax",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "soft_shrink",
        "softmax",
        "softplus",
        "softsign",
        "sparse_plus",
        "sparse_sigmoid",
        "sparsemax",
        "squareplus",
        "tanh",
        "tanh_shrink",
        "threshold",
    ]:
        if name == "glu":
            yield f"activation_{name}", _model(lambda L, x: _keras().activations.glu(x), (2, 6))
        elif name == "threshold":
            yield (
                f"activation_{name}",
                _model(lambda L, x: _keras().activations.threshold(x, 0.2, -1.0), (2, 6)),
            )
        else:
            yield f"activation_{name}", layer("Activation", (3, 7), activation=name, scale=3.0)
    yield "relu", layer("ReLU", image, max_value=1.5, negative_slope=0.1, threshold=0.2)
    yield "leaky_relu", layer("LeakyReLU", image, negative_slope=0.2)
    yield "elu", layer("ELU", image, alpha=0.7)
    yield "prelu", layer("PReLU", image, shared_axes=[1, 2])
    yield "prelu_of_each", layer("PReLU", (2, 6))
    yield "softmax", layer("Softmax", image)
    yield "softmax_of_two_axes", layer("Softmax", image, axis=(1, 2))
    yield (
        "softmax_masked",
        _model(
            lambda L, x, m: L.Softmax()(x, mask=_keras().ops.greater(m, 0)), (2, 4, 6), (2, 4, 6)
        ),
    )
    for name in [
        "Dropout",
        "SpatialDropout2D",
        "GaussianDropout",
        "GaussianNoise",
        "AlphaDropout",
        "ActivityRegularization",
        "Identity",
    ]:
        value: dict[str, dict[str, Any]] = {
            "GaussianNoise": {"stddev": 0.3}, "ActivityRegularization": {}, "Identity": {},
        }  # fmt: skip
        yield name, layer(name, image, **value.get(name, {"rate": 0.3}))
    yield "SpatialDropout1D", layer("SpatialDropout1D", (2, 5, 3), rate=0.3)
    yield "SpatialDropout3D", layer("SpatialDropout3D", (1, 2, 3, 4, 2), rate=0.3)
    yield "Lambda", _model(lambda L, x: L.Lambda(halved)(x), (2, 5))
    yield "arithmetic", _model(lambda L, x: (2.0 - x) * x / 3 + abs(x) ** 2, (2, 5))


def _convolutions() -> Iterator[tuple[str, Case]]:
    line, image, volume = (2, 11, 4), (2, 9, 11, 4), (1, 6, 7, 8, 4)
    turned = (2, 4, 9, 11)
    yield "Conv1D", layer("Conv1D", line, filters=5, kernel_size=3, strides=2, padding="same")
    yield (
        "Conv1D_causal",
        layer("Conv1D", line, filters=5, kernel_size=3, padding="causal", dilation_rate=2),
    )
    yield (
        "Conv1D_first",
        layer("Conv1D", (2, 4, 11), filters=5, kernel_size=3, data_format="channels_first"),
    )
    yield (
        "Conv1D_groups",
        layer("Conv1D", line, filters=6, kernel_size=2, groups=2, activation="relu"),
    )
    yield (
        "Conv2D",
        layer("Conv2D", image, filters=5, kernel_size=(3, 2), strides=(2, 3), padding="same"),
    )
    yield "Conv2D_dilated", layer("Conv2D", image, filters=5, kernel_size=3, dilation_rate=(2, 1))
    yield (
        "Conv2D_dilated_same",
        layer("Conv2D", image, filters=5, kernel_size=3, dilation_rate=2, padding="same"),
    )
    yield (
        "Conv2D_groups",
        layer("Conv2D", image, filters=6, kernel_size=3, groups=2, use_bias=False),
    )
    yield (
        "Conv2D_first",
        layer(
            "Conv2D",
            turned,
            filters=5,
            kernel_size=3,
            padding="same",
            strides=2,
            data_format="channels_first",
        ),
    )
    yield (
        "Conv3D",
        layer("Conv3D", volume, filters=3, kernel_size=(2, 3, 2), padding="same", strides=2),
    )
    yield "Conv3D_valid", layer("Conv3D", volume, filters=3, kernel_size=2)
    yield "DepthwiseConv1D", layer("DepthwiseConv1D", line, kernel_size=3, depth_multiplier=2)
    yield (
        "DepthwiseConv2D",
        layer(
            "DepthwiseConv2D", image, kernel_size=3, depth_multiplier=2, strides=2, padding="same"
        ),
    )
    yield "DepthwiseConv2D_dilated", layer("DepthwiseConv2D", image, kernel_size=3, dilation_rate=2)
    yield (
        "DepthwiseConv2D_first",
        layer("DepthwiseConv2D", turned, kernel_size=3, data_format="channels_first"),
    )
    yield (
        "SeparableConv1D",
        layer("SeparableConv1D", line, filters=5, kernel_size=3, padding="same"),
    )
    yield "SeparableConv2D", layer("SeparableConv2D", image, filters=5, kernel_size=3, strides=2)
    yield "Conv1DTranspose", layer("Conv1DTranspose", line, filters=5, kernel_size=3, strides=2)
    yield (
        "Conv1DTranspose_same",
        layer(
            "Conv1DTranspose",
            line,
            filters=5,
            kernel_size=3,
            strides=2,
            padding="same",
            output_padding=1,
        ),
    )
    yield (
        "Conv2DTranspose",
        layer("Conv2DTranspose", image, filters=5, kernel_size=(3, 2), strides=(2, 3)),
    )
    yield (
        "Conv2DTranspose_same",
        layer("Conv2DTranspose", image, filters=5, kernel_size=3, strides=2, padding="same"),
    )
    yield (
        "Conv2DTranspose_first",
        layer(
            "Conv2DTranspose",
            turned,
            filters=5,
            kernel_size=3,
            strides=2,
            data_format="channels_first",
        ),
    )
    yield (
        "Conv2DTranspose_dilated",
        layer("Conv2DTranspose", image, filters=5, kernel_size=3, dilation_rate=2),
    )
    yield (
        "Conv3DTranspose",
        layer("Conv3DTranspose", volume, filters=3, kernel_size=3, strides=2, padding="same"),
    )


def _poolings() -> Iterator[tuple[str, Case]]:
    shapes = {1: (2, 11, 3), 2: (2, 9, 11, 3), 3: (1, 5, 6, 7, 2)}
    for rank, shape in shapes.items():
        first = (shape[0], shape[-1], *shape[1:-1])
        for kind in ("Max", "Average"):
            name = f"{kind}Pooling{rank}D"
            yield name, layer(name, shape, pool_size=2)
            yield f"{name}_same", layer(name, shape, pool_size=3, strides=2, padding="same")
            yield f"{name}_first", layer(name, first, pool_size=2, data_format="channels_first")
            yield f"Global{name}", layer(f"Global{name}", shape, keepdims=rank == 2)
            yield f"Global{name}_first", layer(f"Global{name}", first, data_format="channels_first")
            yield (
                f"Adaptive{name}",
                layer(f"Adaptive{name}", shape, output_size=(3,) * rank if rank > 1 else 3),
            )
            yield (
                f"Adaptive{name}_first",
                layer(
                    f"Adaptive{name}",
                    first,
                    output_size=(2,) * rank if rank > 1 else 2,
                    data_format="channels_first",
                ),
            )


def _moves() -> Iterator[tuple[str, Case]]:
    line, image, volume = (2, 7, 3), (2, 5, 7, 3), (1, 4, 5, 6, 2)
    turned = (2, 3, 5, 7)
    yield "Flatten", layer("Flatten", image)
    yield "Flatten_first", layer("Flatten", turned, data_format="channels_first")
    yield "Reshape", layer("Reshape", image, target_shape=(-1, 21))
    yield "Permute", layer("Permute", image, dims=(3, 1, 2))
    yield "RepeatVector", layer("RepeatVector", (2, 5), n=3)
    yield "Cropping1D", layer("Cropping1D", line, cropping=(1, 2))
    yield "Cropping2D", layer("Cropping2D", image, cropping=((1, 0), (2, 1)))
    yield "Cropping2D_first", layer("Cropping2D", turned, cropping=1, data_format="channels_first")
    yield "Cropping3D", layer("Cropping3D", volume, cropping=((1, 0), (0, 1), (2, 1)))
    yield "ZeroPadding1D", layer("ZeroPadding1D", line, padding=(1, 2))
    yield "ZeroPadding2D", layer("ZeroPadding2D", image, padding=((1, 0), (2, 1)))
    yield (
        "ZeroPadding2D_first",
        layer("ZeroPadding2D", turned, padding=1, data_format="channels_first"),
    )
    yield "ZeroPadding3D", layer("ZeroPadding3D", volume, padding=((1, 0), (0, 1), (2, 1)))
    yield "UpSampling1D", layer("UpSampling1D", line, size=2)
    for kind in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5"):
        yield f"UpSampling2D_{kind}", layer("UpSampling2D", image, size=(2, 3), interpolation=kind)
    yield "UpSampling2D_first", layer("UpSampling2D", turned, size=2, data_format="channels_first")
    yield "UpSampling3D", layer("UpSampling3D", volume, size=2)
    pair = ((2, 5, 3), (2, 5, 3))
    for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"):
        yield name, layer(name, *pair)
        yield f"{name}_broadcast", layer(name, (2, 5, 3), (2, 1, 3))
    yield "Concatenate", layer("Concatenate", (2, 5, 3), (2, 2, 3), axis=1)
    yield "Dot", layer("Dot", (2, 5, 3), (2, 4, 3), axes=2)
    yield "Dot_normalised", layer("Dot", (2, 5), (2, 5), axes=1, normalize=True)


def _normalisations() -> Iterator[tuple[str, Case]]:
    image = (2, 5, 7, 4)
    yield "BatchNormalization", layer("BatchNormalization", image)
    yield "BatchNormalization_first", layer("BatchNormalization", image, axis=1, scale=2.0)
    yield "LayerNormalization", layer("LayerNormalization", image)
    yield (
        "LayerNormalization_of_axes",
        layer("LayerNormalization", image, axis=(1, 3), epsilon=1e-2),
    )
    yield "GroupNormalization", layer("GroupNormalization", image, groups=2)
    yield "GroupNormalization_of_instances", layer("GroupNormalization", image, groups=-1)
    yield "RMSNormalization", layer("RMSNormalization", image)
    yield "UnitNormalization", layer("UnitNormalization", image, axis=(1, 2))
    yield (
        "SpectralNormalization",
        _model(lambda L, x: L.SpectralNormalization(L.Dense(4))(x), (3, 5)),
    )


def _dense() -> Iterator[tuple[str, Case]]:
    yield "Dense", layer("Dense", (3, 4, 5), units=6, activation="gelu")
    yield (
        "EinsumDense",
        layer(
            "EinsumDense",
            (3, 4, 5),
            equation="abc,cde->abde",
            output_shape=(None, 2, 6),
            bias_axes="de",
        ),
    )
    yield "Embedding", layer("Embedding", (2, 7), below=9, input_dim=9, output_dim=4)
    yield (
        "ReversibleEmbedding",
        _model(
            lambda L, x: (lambda e: e(e(x), reverse=True))(L.ReversibleEmbedding(9, 4)),
            (2, 7),
            below=9,
        ),
    )
    yield (
        "TimeDistributed",
        _model(lambda L, x: L.TimeDistributed(L.Conv2D(3, 2))(x), (2, 3, 5, 6, 2)),
    )
    yield "Masking", _model(lambda L, x: L.LSTM(3)(L.Masking(0.0)(L.ReLU()(x - 1))), (3, 6, 2))


def _recurrent() -> Iterator[tuple[str, Case]]:
    steps = (2, 6, 3)
    for name in ("SimpleRNN", "GRU", "LSTM"):
        yield name, layer(name, steps, units=4)
        yield (
            f"{name}_sequences",
            layer(name, steps, units=4, return_sequences=True, go_backwards=True),
        )
        yield f"{name}_state", layer(name, steps, units=4, return_sequences=True, return_state=True)
        yield f"{name}_unrolled", layer(name, steps, units=4, unroll=True)
        yield (
            f"{name}_bidirectional",
            _model(
                lambda L, x, name=name: L.Bidirectional(getattr(L, name)(4, return_sequences=True))(
                    x
                ),
                steps,
            ),
        )
        yield (
            f"{name}_masked",
            _model(
                lambda L, x, name=name: getattr(L, name)(4, return_sequences=True)(
                    L.Embedding(5, 3, mask_zero=True)(x)
                ),
                (3, 7),
                below=3,
            ),
        )
        yield (
            f"{name}_from_state",
            _model(
                lambda L, x, h, name=name: getattr(L, name)(4)(
                    x, initial_state=[h, h] if name == "LSTM" else h
                ),
                steps,
                (2, 4),
            ),
        )
    yield "GRU_reset_before", layer("GRU", steps, units=4, reset_after=False, return_sequences=True)
    yield (
        "LSTM_relu",
        layer(
            "LSTM",
            steps,
            units=4,
            activation="relu",
            recurrent_activation="hard_sigmoid",
            use_bias=False,
        ),
    )
    yield "LSTM_stateful", _model(lambda L, x: L.LSTM(4, stateful=True)(x), steps)
    yield (
        "Bidirectional_sum",
        _model(
            lambda L, x: L.Bidirectional(L.LSTM(4, return_state=True), merge_mode="sum")(x), steps
        ),
    )
    yield (
        "Bidirectional_masked",
        _model(
            lambda L, x: L.Bidirectional(L.GRU(4))(L.Embedding(5, 3, mask_zero=True)(x)),
            (3, 7),
            below=3,
        ),
    )
    yield (
        "RNN",
        _model(lambda L, x: L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True)(x), steps),
    )
    yield (
        "RNN_of_stacked",
        _model(
            lambda L, x: L.RNN(
                L.StackedRNNCells([L.SimpleRNNCell(4), L.SimpleRNNCell(3)]), return_state=True
            )(x),
            steps,
        ),
    )
    yield (
        "ConvLSTM1D",
        layer("ConvLSTM1D", (2, 3, 7, 2), filters=3, kernel_size=2, return_sequences=True),
    )
    yield (
        "ConvLSTM2D",
        layer("ConvLSTM2D", (1, 3, 5, 6, 2), filters=3, kernel_size=2, padding="same"),
    )
    yield "ConvLSTM3D", layer("ConvLSTM3D", (1, 2, 4, 5, 3, 2), filters=2, kernel_size=2)


def _attentions() -> Iterator[tuple[str, Case]]:
    query, value = (2, 4, 6), (2, 5, 6)
    yield "Attention", layer("Attention", query, value, use_scale=True)
    yield "Attention_concat", layer("Attention", query, value, score_mode="concat")
    yield (
        "Attention_causal",
        _model(lambda L, q, v: L.Attention()([q, v], use_causal_mask=True), query, value),
    )
    yield "AdditiveAttention", layer("AdditiveAttention", query, value)
    yield (
        "MultiHeadAttention",
        _model(lambda L, q, v: L.MultiHeadAttention(2, 3)(q, v), query, value),
    )
    yield "MultiHeadAttention_masked", _model(
        lambda L, q, v, m: L.MultiHeadAttention(2, 3, output_shape=4)(q, v, attention_mask=_keras().ops.greater(m, 0)),
        query, value, (2, 4, 5),
    )  # fmt: skip
    yield (
        "MultiHeadAttention_causal",
        _model(
            lambda L, q: L.MultiHeadAttention(2, 3)(
                q, q, use_causal_mask=True, return_attention_scores=True
            ),
            query,
        ),
    )
    yield (
        "MultiHeadAttention_padded",
        _model(
            lambda L, x: (lambda e: L.MultiHeadAttention(2, 3)(e, e))(
                L.Embedding(5, 6, mask_zero=True)(x)
            ),
            (3, 7),
            below=3,
        ),
    )
    yield (
        "MultiHeadAttention_axes",
        _model(lambda L, q: L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(q, q), (2, 3, 4, 6)),
    )
    yield (
        "GroupQueryAttention",
        _model(lambda L, q, v: L.GroupQueryAttention(3, 4, 2)(q, v), query, value),
    )


def _preprocessing() -> Iterator[tuple[str, Case]]:
    image = (2, 9, 11, 3)
    yield "Rescaling", _model(lambda L, x: L.Rescaling(2.0, -1.0)(x), image)
    yield (
        "Rescaling_channels",
        _model(lambda L, x: L.Rescaling([0.5, 2.0, 3.0], [1.0, 0.0, -1.0])(x), image),
    )
    yield (
        "Normalization",
        _model(
            lambda L, x: L.Normalization(mean=[1.0, 2.0, 3.0], variance=[0.5, 1.0, 2.0])(x), image
        ),
    )
    yield "Normalization_adapted", _model(_adapted_normalisation, (3, 4))
    yield (
        "Normalization_inverse",
        _model(lambda L, x: L.Normalization(mean=2.0, variance=3.0, invert=True)(x), (3, 4)),
    )
    yield "CenterCrop", layer("CenterCrop", image, height=4, width=5)
    yield "CenterCrop_larger", layer("CenterCrop", image, height=12, width=5)
    for kind in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"):
        yield (
            f"Resizing_{kind}",
            _model(lambda L, x, kind=kind: L.Resizing(13, 6, interpolation=kind)(x), image),
        )
    yield "Resizing_cropped", layer("Resizing", image, height=6, width=6, crop_to_aspect_ratio=True)
    yield "Resizing_padded", layer("Resizing", image, height=6, width=6, pad_to_aspect_ratio=True)
    yield "Resizing_antialias", layer("Resizing", image, height=4, width=5, antialias=True)
    yield (
        "Resizing_first",
        layer("Resizing", (2, 3, 9, 11), height=6, width=5, data_format="channels_first"),
    )
    for mode in ("multi_hot", "one_hot", "count"):
        yield (
            f"CategoryEncoding_{mode}",
            layer(
                "CategoryEncoding",
                (3, 1) if mode == "one_hot" else (3, 4),
                below=5,
                num_tokens=5,
                output_mode=mode,
            ),
        )
    for mode in ("int", "one_hot", "multi_hot", "count"):
        shape = (4, 1) if mode == "one_hot" else (4, 5)
        yield (
            f"Discretization_{mode}",
            layer("Discretization", shape, bin_boundaries=[-0.5, 0.0, 0.7], output_mode=mode),
        )
    for mode in ("int", "one_hot", "multi_hot", "count"):
        yield (
            f"IntegerLookup_{mode}",
            layer(
                "IntegerLookup",
                (4, 1) if mode == "one_hot" else (4, 5),
                below=9,
                vocabulary=[2, 3, 5, 7],
                output_mode=mode,
            ),
        )
    yield (
        "MelSpectrogram",
        layer("MelSpectrogram", (1, 400), fft_length=64, num_mel_bins=8, sequence_stride=32),
    )
    yield (
        "STFTSpectrogram",
        layer(
            "STFTSpectrogram",
            (1, 200, 1),
            window=None,
            frame_length=64,
            frame_step=32,
            fft_length=64,
        ),
    )
    yield (
        "Pipeline",
        _model(lambda L, x: L.Pipeline([L.Rescaling(0.5), L.CenterCrop(4, 4)])(x), image),
    )
    yield "Solarization", layer("Solarization", image, value_range=(-1.0, 1.0), addition_factor=0.0)
    yield "MaxNumBoundingBoxes", layer("MaxNumBoundingBoxes", image, max_number=3)


def _adapted_normalisation(layers: Any, x: Any) -> Any:
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(3).normal(2, 3, (20, 4)).astype(np.float32))
    return norm(x)


def _random_preprocessing() -> Iterator[tuple[str, Case]]:
    """What changes pictures at random while a model is trained, and passes them on afterwards."""
    arguments: dict[str, dict[str, Any]] = {
        "AugMix": {"value_range": (0, 1)},
        "AutoContrast": {"value_range": (0, 1)},
        "ContrastLimitedAdaptiveHistogramEqualization": {},
        "CutMix": {},
        "MixUp": {},
        "RandAugment": {"value_range": (0, 1)},
        "RandomBrightness": {"factor": 0.2},
        "RandomColorDegeneration": {"factor": 0.2},
        "RandomColorJitter": {"value_range": (0, 1)},
        "RandomContrast": {"factor": 0.2},
        "RandomCrop": {"height": 4, "width": 5},
        "RandomElasticTransform": {},
        "RandomErasing": {},
        "RandomFlip": {},
        "RandomGaussianBlur": {"factor": 1.0},
        "RandomGrayscale": {},
        "RandomHue": {"factor": 0.2},
        "RandomInvert": {},
        "RandomPerspective": {},
        "RandomPosterization": {"factor": 4},
        "RandomRotation": {"factor": 0.2},
        "RandomSaturation": {"factor": 0.5},
        "RandomSharpness": {"factor": 0.2},
        "RandomShear": {},
        "RandomTranslation": {"height_factor": 0.2, "width_factor": 0.2},
        "RandomZoom": {"height_factor": 0.2},
    }
    for name, given in arguments.items():
        yield name, layer(name, (2, 9, 11, 3), **given)


CASES: dict[str, Case] = {}
for _part in (
    _elementwise, _convolutions, _poolings, _moves, _normalisations, _dense, _recurrent, _attentions, _preprocessing,
    _random_preprocessing,
):  # fmt: skip
    CASES.update(_part())


def _keras() -> Any:
    return importlib.import_module("keras")


def _inputs(case: Case) -> list[Any]:
    random = np.random.default_rng(len(case.shapes))
    if case.below is not None:
        return [random.integers(0, case.below, shape).astype(np.int32) for shape in case.shapes]
    return [(case.scale * random.normal(0, 1, shape)).astype(np.float32) for shape in case.shapes]


def _randomise(model: Any) -> None:
    random = np.random.default_rng(1)
    for weight in model.weights:
        if (
            weight.name in ("mean", "variance", "count", "vector_u", "sn_u")
            or "int" in weight.dtype
        ):
            continue
        values = random.normal(0, 0.4, weight.shape)
        positive = weight.name in ("moving_variance", "gamma", "scale")
        weight.assign(np.abs(values) + 0.5 if positive else values)


def make(name: str, folder: Path) -> None:
    """Make, save and convert the model of a case."""
    keras = _keras()
    case = CASES[name]
    values = _inputs(case)
    keras.utils.set_random_seed(0)
    inputs = [
        keras.Input(batch_shape=value.shape, dtype=value.dtype.name, name=f"in{at}")
        for at, value in enumerate(values)
    ]
    model = keras.Model(inputs, case.make(keras.layers, *inputs))
    _randomise(model)
    results = keras.tree.flatten(model(values if len(values) > 1 else values[0], training=False))
    for layer_ in model.layers:
        if getattr(layer_, "stateful", False):
            layer_.reset_state()
    arrays = {f"in{at}": value for at, value in enumerate(values)}
    arrays |= {f"out{at}": np.asarray(value) for at, value in enumerate(results)}
    np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    model.save(folder / f"{name}.keras")
    custom = str(Path(__file__).with_name("keras_objects.py"))
    try:
        convert(
            Job(str(folder / f"{name}.keras"), str(folder / f"{name}.onnx"), custom_objects=custom)
        )
    except WebDNNError as error:
        (folder / f"{name}.txt").write_text(str(error))


def classes() -> dict[str, Any]:
    """All classes of `keras.layers` but for operators, and what the cases use."""
    found = {
        name: value for name, value in vars(_keras().layers).items() if inspect.isclass(value)
    }  # one class has several names
    text = Path(__file__).read_text().partition("@dataclass")[2]
    used = {
        value.__name__
        for name, value in found.items()
        if name in CASES or re.search(rf'"{name}[" _]|[. ]{name}[( ]', text)
    }
    return {"all": sorted({value.__name__ for value in found.values()}), "used": sorted(used)}


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1] == "classes":
        print(json.dumps(classes()))
    else:
        target = Path(sys.argv[1])
        for label in sys.argv[2:] or CASES:
            try:
                make(label, target)
            except Exception as error:
                (target / f"{label}.txt").write_text(f"{type(error).__name__}: {error}")

"""Activations, sums over a last axis, and what normalises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.unit.keras_cases.case import Case, keras, layer, model
from tests.unit.keras_objects import halved


def elementwise() -> Iterator[tuple[str, Case]]:
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
            yield f"activation_{name}", model(lambda L, x: keras().activations.glu(x), (2, 6))
        elif name == "threshold":
            yield (
                f"activation_{name}",
                model(lambda L, x: keras().activations.threshold(x, 0.2, -1.0), (2, 6)),
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
        model(lambda L, x, m: L.Softmax()(x, mask=keras().ops.greater(m, 0)), (2, 4, 6), (2, 4, 6)),
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
    yield "Lambda", model(lambda L, x: L.Lambda(halved)(x), (2, 5))
    yield "arithmetic", model(lambda L, x: (2.0 - x) * x / 3 + abs(x) ** 2, (2, 5))


def normalisations() -> Iterator[tuple[str, Case]]:
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
        model(lambda L, x: L.SpectralNormalization(L.Dense(4))(x), (3, 5)),
    )


def dense() -> Iterator[tuple[str, Case]]:
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
        model(
            lambda L, x: (lambda e: e(e(x), reverse=True))(L.ReversibleEmbedding(9, 4)),
            (2, 7),
            below=9,
        ),
    )
    yield (
        "TimeDistributed",
        model(lambda L, x: L.TimeDistributed(L.Conv2D(3, 2))(x), (2, 3, 5, 6, 2)),
    )
    yield "Masking", model(lambda L, x: L.LSTM(3)(L.Masking(0.0)(L.ReLU()(x - 1))), (3, 6, 2))

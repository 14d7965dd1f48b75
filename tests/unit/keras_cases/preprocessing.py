"""Layers that prepare what a network reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.unit.keras_cases.case import Case, layer, model


def preprocessing() -> Iterator[tuple[str, Case]]:
    image = (2, 9, 11, 3)
    yield "Rescaling", model(lambda L, x: L.Rescaling(2.0, -1.0)(x), image)
    yield (
        "Rescaling_channels",
        model(lambda L, x: L.Rescaling([0.5, 2.0, 3.0], [1.0, 0.0, -1.0])(x), image),
    )
    yield (
        "Normalization",
        model(
            lambda L, x: L.Normalization(mean=[1.0, 2.0, 3.0], variance=[0.5, 1.0, 2.0])(x), image
        ),
    )
    yield "Normalization_adapted", model(_adapted_normalisation, (3, 4))
    yield (
        "Normalization_inverse",
        model(lambda L, x: L.Normalization(mean=2.0, variance=3.0, invert=True)(x), (3, 4)),
    )
    yield "CenterCrop", layer("CenterCrop", image, height=4, width=5)
    yield "CenterCrop_larger", layer("CenterCrop", image, height=12, width=5)
    for kind in ("nearest", "bilinear", "bicubic", "lanczos3", "lanczos5", "area"):
        yield (
            f"Resizing_{kind}",
            model(lambda L, x, kind=kind: L.Resizing(13, 6, interpolation=kind)(x), image),
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
        model(lambda L, x: L.Pipeline([L.Rescaling(0.5), L.CenterCrop(4, 4)])(x), image),
    )
    yield "Solarization", layer("Solarization", image, value_range=(-1.0, 1.0), addition_factor=0.0)
    yield "MaxNumBoundingBoxes", layer("MaxNumBoundingBoxes", image, max_number=3)


def _adapted_normalisation(layers: Any, x: Any) -> Any:
    norm = layers.Normalization()
    norm.adapt(np.random.default_rng(3).normal(2, 3, (20, 4)).astype(np.float32))
    return norm(x)


def random_preprocessing() -> Iterator[tuple[str, Case]]:
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

"""Layers that move elements, and that take several tensors."""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.keras_cases.case import Case, layer


def moves() -> Iterator[tuple[str, Case]]:
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

"""Convolutions and poolings."""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.keras_cases.case import Case, layer


def convolutions() -> Iterator[tuple[str, Case]]:
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


def poolings() -> Iterator[tuple[str, Case]]:
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

"""Sliding windows: what ONNX's `auto_pad`, `ceil_mode` and the like say about padding, in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.node import Node


@dataclass(frozen=True)
class Window:
    """A window over the spatial dimensions. `high` reaches to where the last window ends (it may be negative);
    `declared_high` is the padding that the node asks for: elements in it count as padding."""

    sizes: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    low: tuple[int, ...]
    high: tuple[int, ...]
    declared_high: tuple[int, ...]
    outputs: tuple[int, ...]


def same_padding(total: int, upper: bool) -> tuple[int, int]:
    """`total` elements of padding on two sides; `upper`: the odd one at the end."""
    small = total // 2
    return (small, total - small) if upper else (total - small, small)


def check_kernel(node: Node, kernel: Sequence[int]) -> None:
    """Refuse a `kernel_shape` that is not that of the filter."""
    given = node.ints("kernel_shape")
    if given and given != list(kernel):
        raise Invalid(f"its kernel_shape is {given}, and its filter has {list(kernel)}")


def window_of(
    node: Node, sizes: Sequence[int], kernel: Sequence[int], *, may_be_empty: bool = False
) -> Window:
    """The window of a convolution or a pool over spatial dimensions of these sizes.

    A window that is larger than what it slides over is an error. With `may_be_empty` there is one result along that
    dimension, of what is inside, where it is larger by less than a stride, and there is none where by more (up to two):
    so round ONNX Runtime's pools and ONNX's shape inference, towards zero.
    """
    count = len(sizes)
    check_kernel(node, kernel)
    strides = node.ints("strides", [1] * count) or [1] * count
    dilations = node.ints("dilations", [1] * count) or [1] * count
    pads = node.ints("pads", [0] * 2 * count) or [0] * 2 * count
    auto_pad = node.str("auto_pad", "NOTSET")
    ceil_mode = bool(node.int("ceil_mode"))
    low: list[int] = []
    high: list[int] = []
    declared: list[int] = []
    outputs: list[int] = []
    for d, (size, k, stride, dilation) in enumerate(
        zip(sizes, kernel, strides, dilations, strict=True)
    ):
        extent = (k - 1) * dilation + 1
        before, after = pads[d], pads[count + d]
        if auto_pad in ("SAME_UPPER", "SAME_LOWER"):
            output = -(-size // stride)
            total = max((output - 1) * stride + extent - size, 0)
            before, after = same_padding(total, auto_pad == "SAME_UPPER")
        else:
            if auto_pad == "VALID":
                before = after = 0
            free = size + before + after - extent
            steps = (
                -(-free // stride) if ceil_mode or (free < 0 and may_be_empty) else free // stride
            )
            output = steps + 1
            # A window that would begin in the padding at the end is none.
            if ceil_mode and (output - 1) * stride >= size + before:
                output -= 1
            if output < (0 if may_be_empty else 1):
                raise Invalid(
                    f"its window of {extent} is larger than the {size + before + after} padded elements "
                    f"of dimension {2 + d}"
                )
        low.append(before)
        declared.append(after)
        high.append((output - 1) * stride + extent - size - before)
        outputs.append(output)
    return Window(
        tuple(sizes), tuple(kernel), tuple(strides), tuple(dilations), tuple(low), tuple(high),
        tuple(declared), tuple(outputs),
    )  # fmt: skip

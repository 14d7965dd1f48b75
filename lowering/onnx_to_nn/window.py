"""Sliding windows: what ONNX's `auto_pad`, `ceil_mode` and the like say about padding, in numbers."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from webdnn.dialects.sizes.expression import (
    bounds,
    is_symbolic,
    maximum,
    minimum,
    undecided,
    unique_symbols,
)
from webdnn.dialects.sizes.substitution import evaluate
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


def check_fits(free: int, what: str) -> None:
    """Refuse sizes of which some are too small.

    Args:
        free: how many elements there are more than needed, an expression of symbols.
        what: what does not fit, for the message.

    Raises:
        UndecidedSize: for some values of the symbols that is less than 0; it says from which value on it is not.
    """
    if bounds(free)[0] >= 0:
        return
    symbols = unique_symbols([free])
    hint = ""
    if len(symbols) == 1:
        (symbol,) = symbols
        values = range(symbol.low, symbol.high + 1, symbol.unit)
        least = bisect_left(values, True, key=lambda n: evaluate(free, {symbol.name: n}) >= 0)
        if least < len(values):
            hint = f"let it be larger: --dim {symbol.name}={values[least]}..{symbol.high}"
    raise undecided(f"{what}, do not fit each other for all sizes", free, hint=hint)


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
            total = maximum((output - 1) * stride + extent - size, 0)
            before, after = same_padding(total, auto_pad == "SAME_UPPER")
        else:
            if auto_pad == "VALID":
                before = after = 0
            free = size + before + after - extent
            if is_symbolic(free):
                check_fits(free, f"its window of {extent} and dimension {2 + d}, of {size}")
            steps = (
                -(-free // stride) if ceil_mode or (free < 0 and may_be_empty) else free // stride
            )
            output = steps + 1
            # A window that would begin in the padding at the end is none.
            if ceil_mode:
                output = minimum(output, -(-(size + before) // stride))
            if output < (0 if may_be_empty else 1):
                raise Invalid(
                    f"its window of {extent} is larger than the {size + before + after} padded elements "
                    f"of dimension {2 + d}"
                )
        low.append(before)
        declared.append(after)
        # What the last window does not reach is cut away where that is a number; else it does no harm.
        is_cut = ceil_mode or not is_symbolic(size)
        high.append((output - 1) * stride + extent - size - before if is_cut else after)
        outputs.append(output)
    return Window(
        tuple(sizes), tuple(kernel), tuple(strides), tuple(dilations), tuple(low), tuple(high),
        tuple(declared), tuple(outputs),
    )  # fmt: skip

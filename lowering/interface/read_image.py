"""`read-image`: an input becomes the pixels of a picture, and ops before the model make of them what it reads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from xdsl.context import Context
from xdsl.dialects.builtin import (
    FunctionType,
    IntegerType,
    ModuleOp,
    NameLoc,
    NoneAttr,
    Signedness,
    StringAttr,
    f32,
)
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.dtypes import Array, is_float
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.onnx import INPUT_DTYPES, INPUT_NAMES, INPUT_SYMBOLS
from webdnn.dialects.sizes.expression import is_symbolic, symbols_of
from webdnn.dialects.sizes.types import element_of, shape_of, tensor_type
from webdnn.dialects.weight_store import WeightStore, weights_of
from webdnn.lowering.interface.any_picture import AnyPlacement, any_placements, framed, sampled
from webdnn.lowering.interface.image_input import PIXEL_CHANNELS, ImageInput, Order
from webdnn.lowering.interface.image_shapes import (
    ImageShape,
    Placement,
    image_shape,
    picture_size,
    placements,
)
from webdnn.lowering.interface.image_text import parse_image_input
from webdnn.lowering.interface.names import position, replace_string, replace_strings
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.interpolation import interpolation_matrix
from webdnn.lowering.onnx_to_nn.resize import by_matrix, read_along
from webdnn.lowering.weights_function import entry_function

UINT8 = IntegerType(8, Signedness.UNSIGNED)
_ROWS, _COLUMNS, _CHANNELS = 1, 2, 3
"""The axes of pixels as they are worked on: batch, rows, columns, channels."""
_LUMA = (0.299, 0.587, 0.114)
"""The shares of red, green and blue in gray: ITU-R BT.601, as Pillow has them."""


@dataclass(frozen=True)
class ReadImage(ModulePass):
    """See the module's docstring. `options` is what `parse_image_input` reads."""

    name = "read-image"

    options: str

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        name, image = parse_image_input(self.options)
        function = entry_function(op)
        index = position(function, INPUT_NAMES, name)
        _read_image(function, index, name, image, weights_of(op))


def _read_image(
    function: FuncOp, index: int, name: str, image: ImageInput, weights: WeightStore
) -> None:
    old = function.body.block
    read = old.args[index]
    shape = image_shape(name, image, shape_of(read))
    taken = {s.name for a in old.args for n in shape_of(a) for s in symbols_of(n)}
    picture = width, height = picture_size(name, image, shape, taken)
    channels = PIXEL_CHANNELS[image.pixels]
    sizes = [shape.batch, height, width, channels]
    outer = sizes[shape.batch == 1 :]
    types = [a.type for a in old.args]
    types[index] = tensor_type(UINT8, outer[:-1] if image.pixels == "uint8-gray" else outer)
    block = Block(arg_types=types)
    builder = NNBuilder(block, weights)
    builder.location, builder.name = NameLoc(StringAttr(name), NoneAttr()), name
    pixels = builder.reshape(block.args[index], sizes)
    reader, element = _Reader(builder, image, shape), element_of(read)
    target = (shape.width, shape.height)
    if picture != target and any(map(is_symbolic, picture + target)):
        columns, rows = any_placements(name, image, picture, target, builder)
        result = reader.tensor_of_any(pixels, rows, columns, element)
    else:
        columns, rows = placements(name, image, shape, picture)
        result = reader.tensor(pixels, rows, columns, element)
    for argument, new in zip(old.args, block.args, strict=True):
        new.name_hint, new.location = argument.name_hint, argument.location
        argument.replace_all_uses_with(result if argument is read else new)
    for op in list(old.ops):
        op.detach()
        block.add_op(op)
    function.detach_region(function.body)
    function.add_region(Region(block))
    function.properties["function_type"] = FunctionType.from_lists(
        types, function.function_type.outputs.data
    )
    replace_string(function, INPUT_DTYPES, index, "uint8")
    replace_strings(function, INPUT_SYMBOLS, index, [""] * len(outer))


class _Reader:
    def __init__(self, builder: NNBuilder, image: ImageInput, shape: ImageShape) -> None:
        self.b = builder
        self.image = image
        self.shape = shape

    def tensor(
        self, pixels: SSAValue, rows: Placement, columns: Placement, element: Attribute
    ) -> SSAValue:
        """Pixels `[batch, rows, columns, channels]` as the tensor that the model reads."""
        b, image = self.b, self.image
        x, table = pixels, None
        if not columns.is_whole:
            begin, end, table = _narrowed(self._table(columns))
            x = b.slice_axis(pixels, _COLUMNS, begin, end - begin)
        # all four channels of a row, which lie side by side, and then those that are read
        if not rows.is_whole:
            x = self._resampled(x, _ROWS, self._table(rows))
        x = self._ordered(x, image.channel_order(self.shape.channels))
        x = b.cast(x if table is None else self._resampled(x, _COLUMNS, table), f32)
        if any(p.size != p.resized for p in (rows, columns)):
            x = self._held(x)
        low = [0, rows.before, columns.before, 0]
        x = b.pad(x, low, [0, rows.after, columns.after, 0], value=image.pad)
        return self._read(x, element)

    def tensor_of_any(
        self, pixels: SSAValue, rows: AnyPlacement, columns: AnyPlacement, element: Attribute
    ) -> SSAValue:
        """The same of a picture whose size each run has."""
        b, image = self.b, self.image
        x = sampled(pixels, _ROWS, rows, image, b)
        x = self._ordered(x, image.channel_order(self.shape.channels))
        x = self._held(sampled(x, _COLUMNS, columns, image, b))
        if image.fit == "pad":
            for axis, place in ((_ROWS, rows), (_COLUMNS, columns)):
                x = framed(x, axis, place, image.pad, b)
        return self._read(x, element)

    def _held(self, x: SSAValue) -> SSAValue:
        """Resized pixels in their range; bicubic ones shoot over the mark at edges."""
        if self.image.resize != "bicubic":
            return x
        return self.b(ew.MinOp, self.b(ew.MaxOp, x, 0.0), 255.0)

    def _read(self, x: SSAValue, element: Attribute) -> SSAValue:
        """Floats from 0 to 255 as the model reads them."""
        b = self.b
        x = self._normalised(x, is_float=is_float(element))
        # the conversion to integers saturates
        x = b.cast(x if is_float(element) else b(ew.RoundOp, x), element)
        return b.channels_first(x) if self.shape.layout == "nchw" else x

    def _ordered(self, x: SSAValue, order: Order) -> SSAValue:
        """The channels that the model reads; gray ones are floats."""
        b = self.b
        channels = shape_of(x)[_CHANNELS]
        if channels == 1:
            return b.broadcast(x, [*shape_of(x)[:-1], self.shape.channels])
        match order:
            case "rgba":
                return x
            case "rgb":
                return b.slice_axis(x, _CHANNELS, 0, 3)
            case "bgr":
                return b.slice_axis(x, _CHANNELS, 2, 3, -1)
            case "gray":
                x = b.cast(b.slice_axis(x, _CHANNELS, 0, 3), f32)
                shares = b.constant(np.array(_LUMA, np.float32))
                return b.reduce("sum", b(ew.MulOp, x, shares), [_CHANNELS])

    def _table(self, place: Placement) -> Array:
        """The elements that are read along a dimension, `[count]`, or the matrix that weighs them, `[count, size]`."""
        image = self.image
        at = np.arange(place.begin, place.begin + place.count)
        if place.size == place.resized:
            return at
        if image.resize == "nearest":
            return (2 * at + 1) * place.size // (2 * place.resized)
        density = place.resized / place.size
        self.b.reserve([place.count, place.size])
        return interpolation_matrix(
            (at + 0.5) / density - 0.5,
            place.size,
            density,
            "linear" if image.resize == "bilinear" else "cubic",
            cubic=image.cubic,
            exclude_outside=image.antialias,
            antialias=image.antialias,
        )

    def _resampled(self, x: SSAValue, axis: int, table: Array) -> SSAValue:
        if table.ndim == 1:
            return read_along(x, axis, table, self.b)
        return by_matrix(x, axis, table, self.b)

    def _normalised(self, x: SSAValue, *, is_float: bool) -> SSAValue:
        factors, summands = self.image.normalisation(self.shape.channels, is_float=is_float)
        if set(factors) != {1.0}:
            x = self.b(ew.MulOp, x, self.b.constant(np.array(factors, np.float32)))
        if any(summands):
            x = self.b(ew.AddOp, x, self.b.constant(np.array(summands, np.float32)))
        return x


def _narrowed(table: Array) -> tuple[int, int, Array]:
    """The first element that is read, the one behind the last, and the table for those between them."""
    if table.ndim == 1:
        begin, end = int(table.min()), int(table.max()) + 1
        return begin, end, table - begin
    used = np.flatnonzero(table.any(0))
    begin, end = int(used[0]), int(used[-1]) + 1
    return begin, end, table[:, begin:end]


__all__ = ["ReadImage"]

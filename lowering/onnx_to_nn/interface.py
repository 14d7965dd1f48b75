"""What the inputs and outputs of a model must be: tensors of known sizes, of elements that a package can hold."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from onnx import TensorProto
from xdsl.dialects.builtin import TensorType, UnrankedTensorType
from xdsl.dialects.func import FuncOp
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.dtypes import is_computable
from webdnn.dialects.errors import WebDNNError, shortened
from webdnn.dialects.onnx import (
    INPUT_NAMES,
    INPUT_SYMBOLS,
    OUTPUT_NAMES,
    example_size,
    string_lists_of,
    strings_of,
)
from webdnn.dialects.onnx.types import dtype_name, type_to_proto
from webdnn.dialects.sizes.types import SizesAttr, element_of
from webdnn.lowering.onnx_to_nn.node import Value

_TYPES = "{} are tensors of truth values, integers of 8 to 64 bits, or floats of 16 to 64 bits"


def check_inputs(function: FuncOp) -> None:
    """All inputs must be tensors of known sizes.

    Raises:
        WebDNNError: some are not; it lists all of these.
    """
    names = strings_of(function, INPUT_NAMES)
    types = function.function_type.inputs.data
    named = [(names[i] if i < len(names) else f"#{i}", type) for i, type in enumerate(types)]
    _check_types(named)
    _check_sizes(named, string_lists_of(function, INPUT_SYMBOLS))


def output_tensors(function: FuncOp, values: Sequence[Value]) -> list[SSAValue]:
    """The values of the outputs.

    Raises:
        WebDNNError: some are no tensors, or of an element type that a package does not hold.
    """
    names = strings_of(function, OUTPUT_NAMES)
    if others := [i for i, value in enumerate(values) if not isinstance(value, SSAValue)]:
        raise WebDNNError(
            "an output of the model is a sequence or an optional value",
            where=shortened([names[i] if i < len(names) else f"#{i}" for i in others]),
            why="the outputs of a package are tensors",
            hint="end the model with the tensors (SequenceAt, ConcatFromSequence or OptionalGetElement)",
        )
    tensors = [value for value in values if isinstance(value, SSAValue)]
    if others := [i for i, t in enumerate(tensors) if not is_computable(element_of(t))]:
        raise WebDNNError(
            "the model has outputs of types that a package does not give",
            where=[
                f"{names[i] if i < len(names) else f'#{i}'}: {dtype_name(element_of(tensors[i]))}"
                for i in others
            ],
            why=_TYPES.format("outputs"),
            hint="end the model with a Cast to one of these",
        )
    return tensors


def _check_types(inputs: Sequence[tuple[str, Attribute]]) -> None:
    wrong = [
        f"{name}: {_described(type)}"
        for name, type in inputs
        if not isinstance(type, TensorType | UnrankedTensorType)
        or not is_computable(type.element_type)
    ]
    if wrong:
        raise WebDNNError(
            "the model has inputs of types that a package does not take",
            where=shortened(wrong),
            why=_TYPES.format("inputs"),
            hint="cut the model behind what reads them, and do that part in the application",
        )


def _described(type: Attribute) -> str:
    """The type as ONNX names it."""
    proto = type_to_proto(type)
    kind = proto.WhichOneof("value")
    if kind != "tensor_type":
        return f"a {kind.removesuffix('_type')}" if kind else "unknown"
    return TensorProto.DataType.Name(proto.tensor_type.elem_type).lower()


def _check_sizes(inputs: Sequence[tuple[str, Attribute]], symbols: Sequence[Sequence[str]]) -> None:
    unbound: list[str] = []
    options: list[str] = []
    sizes: dict[str, int] = {}
    for index, (name, type) in enumerate(inputs):
        if not isinstance(type, TensorType):
            unbound.append(f"{name}: its rank is unknown")
            options.append(_shape_option(name, [example_size(d, 4) for d in range(4)]))
            continue
        shape = type.get_shape()
        if all(n >= 0 for n in shape) or isinstance(type.encoding, SizesAttr):
            continue
        named = symbols[index] if index < len(symbols) else []
        names = [named[d] if d < len(named) and n < 0 else "" for d, n in enumerate(shape)]
        shown = [str(n) if n >= 0 else names[d] or "?" for d, n in enumerate(shape)]
        unbound.append(f"{name}[{', '.join(shown)}]")
        if all(n >= 0 or names[d] in sizes for d, n in enumerate(shape)):
            continue  # the options for the inputs before give its sizes too
        example = [
            n if n >= 0 else sizes.get(names[d], example_size(d, len(shape)))
            for d, n in enumerate(shape)
        ]
        sizes.update({symbol: n for symbol, n in zip(names, example, strict=True) if symbol})
        options.append(_shape_option(name, example))
    if unbound:
        raise WebDNNError(
            "the model's inputs have sizes that are not known",
            where=shortened(unbound),
            why="a model is compiled for inputs whose ranks, and the ranges of whose sizes, are known",
            hint=f"for example {' '.join(options)}, with the sizes that you need (in Python shapes={{...}})",
        )


def _shape_option(name: str, sizes: Sequence[int]) -> str:
    return "--shape " + shlex.quote(f"{name}={','.join(map(str, sizes))}")

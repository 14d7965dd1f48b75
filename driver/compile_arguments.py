"""Arguments of `webdnn.compile` that what else compiles models passes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict

from webdnn.custom_operators import CustomOps
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.dimensions import Dims
from webdnn.frontends.onnx.values import InputValue
from webdnn.lowering.interface.image_input import ImageInput
from webdnn.package_interface import LabelsOf, States


class ModelArguments(TypedDict, total=False):
    """What to know beside a model."""

    shapes: Shapes | None
    dims: Dims | None
    values: Mapping[str, InputValue] | None
    custom_objects: str | Path | None
    example_inputs: Sequence[Any]
    caffe_weights: str | Path | None
    custom_ops: CustomOps


class InterfaceArguments(TypedDict, total=False):
    """What a package takes and gives, where that is not what the model itself does."""

    input_images: Mapping[str, ImageInput] | None
    labels: LabelsOf
    softmax: bool | str | Sequence[str]
    top_k: int | Mapping[str, int] | None
    rename_inputs: Mapping[str, str] | None
    rename_outputs: Mapping[str, str] | None
    states: States


class CompileArguments(ModelArguments, InterfaceArguments):
    """Both."""


__all__ = ["CompileArguments", "InterfaceArguments", "ModelArguments"]

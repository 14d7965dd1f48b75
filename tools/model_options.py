"""The options that say what a model is and what a package of it takes and gives, which tools share."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from webdnn.compile_arguments import InterfaceArguments, ModelArguments
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.time_limit import DEFAULT_TIME_LIMIT, time_limit
from webdnn.frontends.models import Conversion
from webdnn.frontends.onnx.binding import Shapes
from webdnn.lowering.interface.image_text import FORM as IMAGE_FORM
from webdnn.lowering.interface.names import parse_renamings
from webdnn.lowering.interface.states import parse_states
from webdnn.tools.arguments import (
    chosen_shapes,
    parse_dims,
    parse_images,
    parse_labels,
    parse_top_k,
    parse_values,
)
from webdnn.tools.option_groups import path

MODEL_HELP = (
    "ONNX, Keras (.keras, .h5), TensorFlow (SavedModel, .pb, .tflite), PyTorch (.pt2, module:function), Caffe; "
    "in an archive, or by an https:// address"
)
SHAPE_HELP = (
    "NAME=1,3,224,224, or NAME=1,3,h:64..1024,w:64..1024:32 for sizes that vary (may be repeated)"
)
DIM_HELP = (
    "what a dimension of the model is: NAME=1, NAME=1..512, NAME=LOW..HIGH:STEP@LIKELY, or NAME=OTHER "
    "(may be repeated)"
)
INPUT_SHAPE_HELP = "'(1,224,224,3)': for each input of the model in turn (may be repeated)"
VALUE_HELP = (
    "NAME=16000, NAME=1,2,3 or NAME=FILE.npy: a constant in place of this input (may be repeated)"
)
CUSTOM_OBJECTS_HELP = "a Python file that defines what a Keras model only names; it is run"
CAFFE_WEIGHTS_HELP = "the .caffemodel, where it does not lie beside the .prototxt"
CUSTOM_OPS_HELP = (
    "a Python file of operators that ONNX does not define; it is run (may be repeated)"
)
TIME_LIMIT_HELP = (
    "seconds that a conversion, or a piece of code of yours that is run, may take; 0: no limit"
)


@dataclass(frozen=True)
class ConversionOptions:
    """What to know beside a model to read it."""

    shape: Annotated[list[str] | None, typer.Option("--shape", help=SHAPE_HELP)] = None
    input_shape: Annotated[
        list[str] | None, typer.Option("--input-shape", "--input_shape", help=INPUT_SHAPE_HELP)
    ] = None
    dim: Annotated[list[str] | None, typer.Option("--dim", help=DIM_HELP)] = None
    custom_objects: Annotated[Path | None, typer.Option(parser=path, help=CUSTOM_OBJECTS_HELP)] = (
        None
    )
    caffe_weights: Annotated[Path | None, typer.Option(parser=path, help=CAFFE_WEIGHTS_HELP)] = None
    time_limit: Annotated[float, typer.Option(metavar="SECONDS", help=TIME_LIMIT_HELP)] = (
        DEFAULT_TIME_LIMIT
    )

    @property
    def shapes(self) -> Shapes:
        """Sizes of inputs, by name or in their order."""
        return chosen_shapes(self.shape or [], self.input_shape or [])

    @property
    def conversion(self) -> Conversion:
        """What a conversion needs to know."""
        return Conversion(
            self.shapes, self.custom_objects, (), self.caffe_weights, parse_dims(self.dim or [])
        )

    def within_limit(self) -> AbstractContextManager[None]:
        """Within this the time limit holds."""
        return time_limit(self.time_limit)


@dataclass(frozen=True)
class ModelOptions(ConversionOptions):
    """The same, and what a compilation needs to know."""

    value: Annotated[list[str] | None, typer.Option("--value", help=VALUE_HELP)] = None
    custom_ops: Annotated[list[Path] | None, typer.Option(parser=path, help=CUSTOM_OPS_HELP)] = None

    def arguments(self) -> ModelArguments:
        """The same for `webdnn.compile`.

        Raises:
            WebDNNError: an option is not of its form.
        """
        return {
            "shapes": self.shapes,
            "dims": parse_dims(self.dim or []),
            "values": parse_values(self.value or []),
            "custom_objects": self.custom_objects,
            "caffe_weights": self.caffe_weights,
            "custom_ops": self.custom_ops or (),
        }


@dataclass(frozen=True)
class NameOptions:
    """Names of inputs and outputs."""

    rename_input: Annotated[
        list[str] | None, typer.Option(help="OLD=NEW: another name for an input (may be repeated)")
    ] = None
    rename_output: Annotated[
        list[str] | None,
        typer.Option(help="OLD=NEW: another name for an output (may be repeated)"),
    ] = None

    @property
    def new_inputs(self) -> dict[str, str]:
        """New names of inputs, by the old ones."""
        return parse_renamings(self.rename_input or [], "--rename-input")

    @property
    def new_outputs(self) -> dict[str, str]:
        """New names of outputs, by the old ones."""
        return parse_renamings(self.rename_output or [], "--rename-output")


@dataclass(frozen=True)
class InterfaceOptions(NameOptions):
    """What a package takes and gives, where that is not what the model itself does."""

    input_image: Annotated[
        list[str] | None,
        typer.Option(help=f"{IMAGE_FORM}: pixels in place of a tensor (may be repeated)"),
    ] = None
    softmax: Annotated[
        bool, typer.Option("--softmax", help="end the only output with a softmax")
    ] = False
    softmax_output: Annotated[
        list[str] | None, typer.Option(help="end this output with a softmax (may be repeated)")
    ] = None
    top_k: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[OUTPUT=]K", help="the K greatest values and their indices, in place of all"
        ),
    ] = None
    labels: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[OUTPUT=]FILE", help="the names of classes: text, or JSON (also config.json)"
        ),
    ] = None

    state: Annotated[
        list[str] | None,
        typer.Option(
            metavar="INPUT=OUTPUT",
            help="this output is kept, and is that input in the next run (may be repeated); by default those that are "
            "named past_key_values.* and present.*",
        ),
    ] = None
    no_state: Annotated[
        bool, typer.Option("--no-state", help="keep no output for the next run")
    ] = False

    def arguments(self) -> InterfaceArguments:
        """The same for `webdnn.compile`.

        Raises:
            WebDNNError: an option is not of its form.
        """
        if self.state and self.no_state:
            raise WebDNNError(
                "--state and --no-state contradict each other", hint="give one of them"
            )
        return {
            "input_images": parse_images(self.input_image or []),
            "labels": parse_labels(self.labels or []),
            "softmax": [*([""] if self.softmax else []), *(self.softmax_output or [])],
            "top_k": parse_top_k(self.top_k or []),
            "rename_inputs": self.new_inputs,
            "rename_outputs": self.new_outputs,
            "states": parse_states(self.state) if self.state else not self.no_state,
        }

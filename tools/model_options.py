"""The options that say what a model is, which all tools that take one share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webdnn.tools.arguments import CUSTOM_OPS_HELP, VALUE_HELP

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
CUSTOM_OBJECTS_HELP = "a Python file that defines what a Keras model only names; it is run"
CAFFE_WEIGHTS_HELP = "the .caffemodel, where it does not lie beside the .prototxt"

Shapes = Annotated[list[str] | None, typer.Option("--shape", help=SHAPE_HELP)]
Dims = Annotated[list[str] | None, typer.Option("--dim", help=DIM_HELP)]
InputShapes = Annotated[
    list[str] | None, typer.Option("--input-shape", "--input_shape", help=INPUT_SHAPE_HELP)
]
CustomObjects = Annotated[Path | None, typer.Option(help=CUSTOM_OBJECTS_HELP)]
CaffeWeights = Annotated[Path | None, typer.Option(help=CAFFE_WEIGHTS_HELP)]
CustomOps = Annotated[list[Path] | None, typer.Option(help=CUSTOM_OPS_HELP)]
Values = Annotated[list[str] | None, typer.Option("--value", help=VALUE_HELP)]

"""`webdnn-translate`: IR of any stage (or a model) to what a target loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webdnn.dialects.errors import WebDNNError
from webdnn.emission import EMISSIONS, emit
from webdnn.frontends.models import Conversion
from webdnn.tools.arguments import chosen_shapes, parse_dims, parse_values, run_tool
from webdnn.tools.model_options import (
    MODEL_HELP,
    CaffeWeights,
    CustomObjects,
    CustomOps,
    Dims,
    InputShapes,
    Shapes,
    Values,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def translate(
    input: Annotated[
        str, typer.Argument(help="IR as text (.mlir) of any stage, or a model: " + MODEL_HELP)
    ],
    to: Annotated[str, typer.Option("--to", help="one of: " + ", ".join(EMISSIONS))],
    output: Annotated[
        Path | None, typer.Option("-o", help="a file (for package: a folder)")
    ] = None,
    shape: Shapes = None,
    input_shape: InputShapes = None,
    dim: Dims = None,
    value: Values = None,
    custom_objects: CustomObjects = None,
    caffe_weights: CaffeWeights = None,
    weights: Annotated[
        Path | None, typer.Option(help="the .npz or .onnx that handles name")
    ] = None,
    custom_ops: CustomOps = None,
    relaxed: Annotated[bool, typer.Option(help="use relaxed SIMD (wasm)")] = False,
) -> None:
    """Emit WGSL, LLVM IR, wasm objects, linked wasm or a package."""
    if to not in EMISSIONS:
        raise WebDNNError(f"there is no output {to!r}", hint="one of " + ", ".join(EMISSIONS))
    emit(
        input,
        to,
        output,
        conversion=Conversion(
            chosen_shapes(shape or [], input_shape or []),
            custom_objects,
            (),
            caffe_weights,
            parse_dims(dim or []),
        ),
        values=parse_values(value or []),
        weights=weights,
        relaxed=relaxed,
        custom_ops=custom_ops or (),
    )


def main() -> None:
    """Run the tool."""
    run_tool(app)

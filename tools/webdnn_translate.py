"""`webdnn-translate`: IR of any stage (or a model) to what a target loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webdnn.dialects.errors import WebDNNError
from webdnn.emission import EMISSIONS, emit
from webdnn.tools.arguments import CUSTOM_OPS_HELP, VALUE_HELP, parse_shapes, parse_values, run_tool

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def translate(
    input: Annotated[Path, typer.Argument(help="an .onnx model, or .mlir of any stage")],
    to: Annotated[str, typer.Option("--to", help="one of: " + ", ".join(EMISSIONS))],
    output: Annotated[
        Path | None, typer.Option("-o", help="a file (for package: a folder)")
    ] = None,
    shape: Annotated[list[str] | None, typer.Option(help="NAME=1,3,224,224")] = None,
    value: Annotated[list[str] | None, typer.Option(help=VALUE_HELP)] = None,
    weights: Annotated[
        Path | None, typer.Option(help="the .npz or .onnx that handles name")
    ] = None,
    custom_ops: Annotated[list[Path] | None, typer.Option(help=CUSTOM_OPS_HELP)] = None,
    relaxed: Annotated[bool, typer.Option(help="use relaxed SIMD (wasm)")] = False,
) -> None:
    """Emit WGSL, LLVM IR, wasm objects, linked wasm or a package."""
    if to not in EMISSIONS:
        raise WebDNNError(f"there is no output {to!r}", hint="one of " + ", ".join(EMISSIONS))
    emit(
        input,
        to,
        output,
        shapes=parse_shapes(shape or []),
        values=parse_values(value or []),
        weights=weights,
        relaxed=relaxed,
        custom_ops=custom_ops or (),
    )


def main() -> None:
    """Run the tool."""
    run_tool(app)

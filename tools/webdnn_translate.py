"""`webdnn-translate`: IR of any stage (or a model) to what a target loads."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from webdnn.dialects.errors import WebDNNError
from webdnn.emission import EMISSIONS, emit
from webdnn.tools.model_options import MODEL_HELP, InterfaceOptions, ModelOptions
from webdnn.tools.option_groups import path, path_text, with_option_groups
from webdnn.tools.running import run_app

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
@with_option_groups
def translate(
    input: Annotated[
        str,
        typer.Argument(
            parser=path_text,
            metavar="INPUT",
            help="IR as text (.mlir) of any stage, or a model: " + MODEL_HELP,
        ),
    ],
    to: Annotated[str, typer.Option("--to", help="one of: " + ", ".join(EMISSIONS))],
    source: ModelOptions,
    interface: InterfaceOptions,
    output: Annotated[
        Path | None, typer.Option("-o", parser=path, help="a file (for package: a folder)")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(parser=path, help="the .npz or .onnx that handles name")
    ] = None,
    relaxed: Annotated[bool, typer.Option(help="use relaxed SIMD (wasm)")] = False,
) -> None:
    """Emit WGSL, LLVM IR, wasm objects, linked wasm or a package."""
    if to not in EMISSIONS:
        raise WebDNNError(f"there is no output {to!r}", hint="one of " + ", ".join(EMISSIONS))
    with source.within_limit():
        emit(
            input,
            to,
            output,
            weights=weights,
            relaxed=relaxed,
            model=source.arguments(),
            interface=interface.arguments(),
        )


def main() -> None:
    """Run the tool."""
    run_app(app)

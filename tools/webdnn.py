"""`webdnn`: compile models, run packages, time them, and the demonstration."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from webdnn.array_files import write_arrays
from webdnn.compiler import BOTH
from webdnn.compiler import compile as compile_model
from webdnn.conversion import convert as convert_model
from webdnn.demo.server import make_server
from webdnn.demo.style_transfer import (
    STYLES,
    compile_demo,
    describe,
    photo_path,
    square,
    style_photo,
    write_picture,
)
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.threefry import MOST_SEED
from webdnn.ir_dump import IRDump
from webdnn.kernel_cache import KernelCache
from webdnn.output import check_output, check_writable
from webdnn.package import Package
from webdnn.passes import OPTIONAL_PASSES
from webdnn.progress import progress_bars
from webdnn.report import describe_package
from webdnn.runner import best_classes, run_files, time_kernels, time_package
from webdnn.schedules import ScheduleDump, all_hooks
from webdnn.stages import STAGES
from webdnn.targets import TARGETS
from webdnn.tools.arguments import parse_peaks, parse_sizes
from webdnn.tools.model_options import (
    MODEL_HELP,
    ConversionOptions,
    InterfaceOptions,
    ModelOptions,
    NameOptions,
)
from webdnn.tools.option_groups import path, path_text, with_option_groups
from webdnn.tools.running import run_app
from webdnn.tuning.tune import describe as describe_tuning
from webdnn.tuning.tune import tune as tune_model

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
console = Console(
    width=None if sys.stdout.isatty() else 140,  # wide enough for a log
    markup=False,  # names of models and folders may have brackets
    emoji=False,
)

EngineName = Literal["wasmtime", "wgpu"]
TARGET_HELP = "the back end: " + ", ".join([*TARGETS, f"or {BOTH}"])
PackageFolder = Annotated[Path, typer.Argument(parser=path, help="a package's folder")]
Model = Annotated[str, typer.Argument(parser=path_text, metavar="MODEL", help=MODEL_HELP)]


@app.command()
@with_option_groups
def compile(
    model: Model,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", "--out", parser=path, help="the package's folder"),
    ],
    source: ModelOptions,
    interface: InterfaceOptions,
    target: Annotated[str, typer.Option(help=TARGET_HELP)] = BOTH,
    dump_ir: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="write the IR of each stage, and the weights, to this folder"
        ),
    ] = None,
    print_stage: Annotated[
        list[str] | None,
        typer.Option(help="print the IR at a stage: " + ", ".join(s.name for s in STAGES[:5])),
    ] = None,
    without: Annotated[
        list[str] | None,
        typer.Option(help="leave out a pass (may be repeated): " + ", ".join(OPTIONAL_PASSES)),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="processes; by default one a core")
    ] = None,
    cache: Annotated[bool, typer.Option(help="use kernels compiled before")] = True,
    threads: Annotated[
        bool, typer.Option(help="wasm modules for several threads, beside those for one")
    ] = True,
    schedule: Annotated[
        str | None,
        typer.Option(
            parser=path_text,
            help="a file of schedules; auto: what `webdnn tune` has learnt here",
        ),
    ] = None,
    dump_schedule: Annotated[
        Path | None,
        typer.Option(parser=path, help="write the schedule of each kernel to this file"),
    ] = None,
) -> None:
    """Compile a model to a package."""
    dump_ir_hook = IRDump(dump_ir, print_stage or [])
    dump_schedule_hook = ScheduleDump(dump_schedule)
    with progress_bars() as progress, source.within_limit():
        check_output(output)
        for file in (dump_schedule, dump_ir):
            if file is not None:
                check_writable(file.parent)
        package = compile_model(
            model,
            target=target,
            without=without or (),
            hook=all_hooks(dump_ir_hook, dump_schedule_hook),
            cache=KernelCache(enabled=cache),
            jobs=jobs,
            progress=progress,
            threads=threads,
            schedules=schedule,
            **source.arguments(),
            **interface.arguments(),
        )
        package.save(output)
        dump_schedule_hook.save()
    console.print(describe_package(package, output))


@app.command()
@with_option_groups
def convert(
    model: Model,
    output: Annotated[
        Path, typer.Option("-o", "--output", "--out", parser=path, help="the ONNX file")
    ],
    source: ConversionOptions,
    names: NameOptions,
) -> None:
    """Convert a model of another framework to ONNX."""
    with progress_bars() as progress, progress("convert", None), source.within_limit():
        convert_model(
            model,
            output,
            shapes=source.shapes,
            custom_objects=source.custom_objects,
            caffe_weights=source.caffe_weights,
            progress=progress,
            rename_inputs=names.new_inputs,
            rename_outputs=names.new_outputs,
        )
    console.print(str(output))


@app.command()
def run(
    package: PackageFolder,
    output: Annotated[
        Path, typer.Option("-o", "--output", parser=path, help="a folder for NAME.npy")
    ],
    input: Annotated[
        list[str] | None, typer.Option("--input", help="NAME=FILE.npy (may be repeated)")
    ] = None,
    engine: Annotated[
        EngineName | None, typer.Option(help="by default the first that fits")
    ] = None,
    top: Annotated[
        int | None, typer.Option(min=1, help="print the labels of so many of the best classes")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, max=MOST_SEED, help="of random numbers; without it each run draws others"
        ),
    ] = None,
) -> None:
    """Run a package on arrays from files."""
    check_writable(output)
    loaded = Package.load(package)
    results = run_files(loaded, input or [], engine, seed)
    classes = best_classes(loaded, results, top) if top is not None else None
    for name, file in write_arrays(results, output).items():
        console.print(str(file) if file.stem == name else f"{file} ({name})", markup=False)
    if classes is not None:
        console.print(classes)


@app.command()
def bench(
    package: PackageFolder,
    engine: Annotated[
        Literal["wasmtime", "wgpu", "node", "chromium"], typer.Option(help="what runs it")
    ] = "wasmtime",
    repeat: Annotated[int, typer.Option(min=1, help="timed runs")] = 10,
    dim: Annotated[
        list[str] | None,
        typer.Option(
            "--dim",
            help="NAME=SIZE of a size that is open (may be repeated); by default the likely one",
        ),
    ] = None,
    per_kernel: Annotated[
        bool,
        typer.Option(
            "--per-kernel", help="time each kernel of the wasm back end, against the roofline"
        ),
    ] = False,
    top: Annotated[int, typer.Option(min=1, help="how many kernels to show")] = 30,
    peak: Annotated[
        str | None,
        typer.Option(help="GFLOP/s,GB/s of the engine; measured if it is not given"),
    ] = None,
) -> None:
    """Time a package on random inputs in an engine of this machine (beside other runtimes: see benchmarks/)."""
    loaded = Package.load(package)
    if not per_kernel:
        console.print(time_package(loaded, engine, repeat, parse_sizes(dim or [])))
        return
    if dim:
        raise WebDNNError(
            "--dim and --per-kernel do not go together",
            why="what each kernel has to do is known for the likely sizes",
        )
    if engine == "wgpu":
        raise WebDNNError("wgpu does not time kernels", hint="python -m benchmarks kernels does")
    peaks = None if peak is None else parse_peaks(peak)
    with progress_bars() as progress:
        table = time_kernels(loaded, engine, repeat, peaks=peaks, top=top, progress=progress)
    console.print(table)


@app.command()
@with_option_groups
def tune(
    model: Model,
    output: Annotated[
        Path,
        typer.Option("-o", "--output", parser=path, help="the file of schedules that is written"),
    ],
    source: ModelOptions,
    interface: InterfaceOptions,
    engine: Annotated[
        Literal["chromium", "node"], typer.Option(help="where kernels are timed")
    ] = "chromium",
    time: Annotated[float, typer.Option(min=0, help="about how many seconds to spend")] = 300.0,
    kernels: Annotated[
        int | None, typer.Option(min=1, help="search only the slowest so many")
    ] = None,
) -> None:
    """Search schedules for a model's kernels (wasm) by timing them; `webdnn compile --schedule` takes the outcome."""
    check_writable(output.parent)
    with progress_bars() as progress, source.within_limit():
        outcome = tune_model(
            model,
            engine=engine,
            seconds=time,
            kernels=kernels,
            progress=progress,
            **source.arguments(),
            **interface.arguments(),
        )
    outcome.table.save(output)
    console.print(describe_tuning(outcome))


@app.command()
def demo(
    photo: Annotated[
        Path | None, typer.Option(parser=path, help="a picture; by default a cat")
    ] = None,
    style: Annotated[int, typer.Option(min=0, max=STYLES - 1, help="which style")] = 19,
    size: Annotated[
        int, typer.Option(min=32, max=4096, help="edge of the square, in pixels")
    ] = 256,
    output: Annotated[
        Path, typer.Option("-o", "--output", parser=path, help="where results go")
    ] = Path("demo-output"),
    serve: Annotated[bool, typer.Option("--serve", help="open the page for browsers")] = False,
    port: Annotated[int, typer.Option(min=0, max=65535, help="of the page")] = 8000,
) -> None:
    """Compile a style-transfer network, run it on a photo on both back ends, and show it in a page."""
    check_output(output / "package")
    picture = photo or photo_path()
    pixels = square(picture, size)
    with progress_bars() as progress:
        package = compile_demo(size, progress)
    folder = package.save(output / "package")
    styled, timings = style_photo(package, pixels, style)
    write_picture(pixels, output / "photo.png")
    write_picture(styled, output / f"style-{style}.png")
    console.print(describe(package, timings))
    console.print(f"the styled picture is {output / f'style-{style}.png'}, the package {folder}")
    if serve:
        server = make_server(folder, output / "photo.png", port)
        console.print(f"open http://127.0.0.1:{server.server_port}/?style={style} (ctrl-c ends)")
        with server, suppress(KeyboardInterrupt):
            server.serve_forever()


def main() -> None:
    """Run the tool."""
    run_app(app)

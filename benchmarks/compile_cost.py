"""What the compiler costs: the first time, again, and after a training run that changed only the weights."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from rich.console import Console

from .models import MODELS
from .results import ResultTable
from .webdnn_package import CompileCost, compile_package


@dataclass(frozen=True)
class Costs:
    """`cold`: nothing cached; `warm`: the same model again; `new_weights`: every float weight is another."""

    model: str
    cold: CompileCost | None = None
    warm: CompileCost | None = None
    new_weights: CompileCost | None = None
    package_bytes: int = 0
    failure: str = ""


def measure(names: list[str], target: str, console: Console) -> list[Costs]:
    """Compile each model three times, in a cache of its own."""
    results: list[Costs] = []
    for name in names:
        try:
            results.append(_measure(name, target, console))
        except RuntimeError as error:
            results.append(Costs(name, failure=str(error)))
    return results


def _measure(name: str, target: str, console: Console) -> Costs:
    path = MODELS[name].path()
    with tempfile.TemporaryDirectory(prefix="webdnn-compile-") as temporary:
        cache, package = Path(temporary) / "cache", Path(temporary) / "package"

        def compiled(label: str, model: Path) -> CompileCost:
            with console.status(f"{name}: {label}"):
                return compile_package(model, package, target, cache)

        cold, warm = compiled("cold", path), compiled("warm", path)
        size = sum(file.stat().st_size for file in package.rglob("*") if file.is_file())
        new_weights = compiled("new weights", retrain(path, Path(temporary) / "retrained"))
    return Costs(name, cold, warm, new_weights, size)


def retrain(path: Path, directory: Path) -> Path:
    """A copy of a model with every float weight of more than one element scaled by 1.01."""
    directory.mkdir()
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            tensor.CopyFrom(numpy_helper.from_array(values * np.float32(1.01), tensor.name))
    external = any(file != path for file in path.parent.iterdir())
    copy = directory / path.name
    onnx.save(
        model,
        copy,
        save_as_external_data=external,
        location=f"{path.name}.data" if external else None,
    )
    return copy


def table(results: list[Costs], target: str) -> ResultTable:
    """Seconds and MiB of each compilation."""
    kinds = ("cold", "warm", "new weights")
    columns = ["model", *(f"{kind}: s" for kind in kinds), *(f"{kind}: MiB" for kind in kinds)]
    out = ResultTable(f"webdnn compile --target {target}", [*columns, "package: MB"])
    for result in results:
        costs = (result.cold, result.warm, result.new_weights)
        row = [result.model, *(f"{cost.seconds:.1f}" if cost else "failed" for cost in costs)]
        row += [f"{cost.peak_bytes / 2**20:.0f}" if cost else "" for cost in costs]
        if result.failure:
            out.notes.append(f"{result.model}: {result.failure}")
        out.rows.append([*row, f"{result.package_bytes / 1e6:.1f}"])
    return out

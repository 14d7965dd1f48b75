"""What the compiler costs for models that are long, wide or deep: seconds for so many nodes, and for twice as many."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import onnx
from rich.console import Console

from .chains import CHAINS
from .results import ResultTable
from .webdnn_package import CompileCost, compile_package

DEEPEST_IFS = 30
"""As many as a file may hold in each other."""


@dataclass(frozen=True)
class ChainCost:
    """Compilations with nothing cached: `once` for `nodes` nodes, `twice` for twice as many."""

    name: str
    nodes: int
    once: CompileCost | None = None
    twice: CompileCost | None = None
    failure: str = ""


def measure(names: list[str], nodes: int, target: str, console: Console) -> list[ChainCost]:
    """Compile each chain of `nodes` nodes, and of twice as many."""
    results: list[ChainCost] = []
    for name in names:
        count = min(nodes, DEEPEST_IFS // 2) if name == "nested_ifs" else nodes
        try:
            once, twice = (_compiled(name, n, target, console) for n in (count, 2 * count))
            results.append(ChainCost(name, count, once, twice))
        except RuntimeError as error:
            results.append(ChainCost(name, count, failure=str(error)))
    return results


def _compiled(name: str, nodes: int, target: str, console: Console) -> CompileCost:
    with (
        tempfile.TemporaryDirectory(prefix="webdnn-chain-") as temporary,
        console.status(f"{name}: {nodes}"),
    ):
        model = Path(temporary) / "chain.onnx"
        onnx.save(CHAINS[name](nodes), model)
        folder = Path(temporary)
        return compile_package(model, folder / "package", target, folder / "cache")


def table(results: list[ChainCost], target: str) -> ResultTable:
    """Seconds of each compilation, their ratio, and the memory of the longer one."""
    columns = ["model", "nodes", "s", "twice as many: s", "ratio", "MiB"]
    out = ResultTable(f"webdnn compile --target {target}, nothing cached", columns)
    for result in results:
        row = [result.name, str(result.nodes)]
        if result.once is None or result.twice is None:
            out.notes.append(f"{result.name}: {result.failure}")
            out.rows.append([*row, *["failed"] * 4])
            continue
        once, twice = result.once, result.twice
        ratio = f"{twice.seconds / once.seconds:.1f}"
        row += [f"{once.seconds:.1f}", f"{twice.seconds:.1f}", ratio]
        out.rows.append([*row, f"{twice.peak_bytes / 2**20:.0f}"])
    return out

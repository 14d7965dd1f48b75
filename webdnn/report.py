"""What a package holds, for people."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from rich.table import Table

from webdnn.package import Package


def gzipped_code_bytes(package: Package, backend: str) -> int:
    """Bytes of code that a browser downloads for a back end, compressed as a server does it."""
    section = package.manifest["backends"][backend]
    entries = section["modules"][:1] if backend == "wasm" else section["shaders"]
    return sum(len(gzip.compress(package.files[e["file"]], mtime=0)) for e in entries)


def _buffer_bytes(section: dict[str, Any], kind: str) -> int:
    """Bytes of memory for the `arena`, or for what is `prepared` at load."""
    if "buffers" in section:
        return sum(b["bytes"] for b in section["buffers"] if b["kind"] == kind)
    return section.get(kind, {"bytes": 0})["bytes"]


def describe_package(package: Package, folder: Path) -> Table:
    """A table of back ends: code; weights, and how much of them is packed (laid out as kernels read them, padding
    included); what is prepared at load; the arena, and the most that is alive at one step; kernels and launches."""
    table = Table(title=f"{package.manifest['name']} in {folder}")
    table.add_column("back end")
    for name in ("code", "gzipped", "weights", "packed", "prepared", "arena", "at least"):
        table.add_column(name, justify="right")
    for name in ("kernels", "launches"):
        table.add_column(name, justify="right")
    for backend in package.backends:
        section = package.manifest["backends"][backend]
        launches = section["launches"]
        table.add_row(
            backend,
            _size(package.code_bytes(backend)),
            _size(gzipped_code_bytes(package, backend)),
            _size(section["weights"]["bytes"]),
            _size(section["weights"].get("packed", 0)),
            _size(_buffer_bytes(section, "prepared")),
            _size(_buffer_bytes(section, "arena")),
            _size(section.get("arenaLowerBound", 0)),
            str(len({launch["kernel"] for launch in launches})),
            str(len(launches)),
        )
    return table


def _size(count: int) -> str:
    if count < 2**20:
        return f"{count / 2**10:.1f} KiB"
    return f"{count / 2**20:.2f} MiB"

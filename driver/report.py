"""What a package holds, for people."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from rich.table import Table

from webdnn.manifest import code_entries
from webdnn.manifest_sizes import likely_values, manifest_at
from webdnn.package import Package

_SHOWN_STATES = 4


def gzipped_code_bytes(package: Package, backend: str) -> int:
    """Bytes of code that a browser downloads for a back end, compressed as a server does it."""
    entries = code_entries(package.section(backend))
    return sum(len(gzip.compress(package.files[e["file"]], mtime=0)) for e in entries)


def _buffer_bytes(section: dict[str, Any], kind: str) -> int:
    """Bytes of memory for the `arena`, or for what is `prepared` at load."""
    if "buffers" in section:
        return sum(b["bytes"] for b in section["buffers"] if b["kind"] == kind)
    return section.get(kind, {"bytes": 0})["bytes"]


def _state_bytes(section: dict[str, Any]) -> int:
    """Bytes of memory for what stays from run to run."""
    if "buffers" in section:
        return _buffer_bytes(section, "state")
    return sum(2 * place["bytes"] for place in section.get("states", ()))


def _states_text(package: Package) -> str | None:
    """Which outputs the next run takes as inputs."""
    states = package.manifest.get("states", ())
    texts = [f"{s['output']} is {s['input']} in the next run" for s in states[:_SHOWN_STATES]]
    if more := len(states) - len(texts):
        texts.append(f"and {more} more states")
    return "\n".join(texts) or None


def describe_package(package: Package, folder: Path) -> Table:
    """A table with a column for each back end."""
    said = [text for text in (_sizes(package), _states_text(package)) if text]
    title = f"{package.manifest['name']} in {folder}"
    table = Table(title=title, caption="\n".join(said) or None)
    table.add_column("")
    columns = [_quantities(package, backend) for backend in package.backends]
    for backend in package.backends:
        table.add_column(backend, justify="right")
    for name in columns[0] if columns else ():
        table.add_row(name, *(column[name] for column in columns))
    return table


def _sizes(package: Package) -> str | None:
    """The sizes that a run sets, and those for which memory is stated."""
    symbols = package.manifest.get("symbols", ())
    ranges = (f"{s['name']} is {s['low']} to {s['high']}" for s in symbols)
    likely = (f"{name}={size}" for name, size in likely_values(package.manifest).items())
    return f"{', '.join(ranges)}; memory is that at {', '.join(likely)}" if symbols else None


def _quantities(package: Package, backend: str) -> dict[str, str]:
    manifest = manifest_at(package.manifest, likely_values(package.manifest))
    section = manifest["backends"][backend]
    launches = section["launches"]
    return {
        "code": _size(package.code_bytes(backend)),
        "code, gzipped": _size(gzipped_code_bytes(package, backend)),
        "weights": _size(section["weights"]["bytes"]),
        "packed as kernels read them": _size(section["weights"].get("packed", 0)),
        "memory for what is prepared at load": _size(_buffer_bytes(section, "prepared")),
        "memory for states": _size(_state_bytes(section)),
        "memory for values (arena)": _size(_buffer_bytes(section, "arena")),
        "most that is alive at one step": _size(section.get("arenaLowerBound", 0)),
        "kernels": str(len({launch["kernel"] for launch in launches})),
        "launches": str(len(launches)),
    }


def _size(count: int) -> str:
    if count < 2**20:
        return f"{count / 2**10:.1f} KiB"
    return f"{count / 2**20:.2f} MiB"

"""What tuning has learnt on this machine, by kernel, target and engine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import platformdirs

from webdnn.dialects.errors import WebDNNError
from webdnn.kernel_cache import compiler_fingerprint
from webdnn.lowering.kernels.schedule_table import ScheduleEntry, ScheduleTable

COMPILER = "compiler"
"""The key of what was measured that says with which compiler: another one may make other code of a schedule."""


class TuningCache:
    """Keeps the outcome of each search as a small file, a table of one entry.

    Args:
        folder: where; by default `schedules` in the user's cache folder, or in `WEBDNN_CACHE_DIR`.
    """

    def __init__(self, folder: Path | None = None) -> None:
        default = Path(os.environ.get("WEBDNN_CACHE_DIR") or platformdirs.user_cache_path("webdnn"))
        self._folder = folder or default / "schedules"

    def find(self, target: str, engine: str, digest: str) -> ScheduleEntry | None:
        """What a search for a kernel gave, with this compiler."""
        return self._read(self._path(target, engine, digest))

    def put(self, entry: ScheduleEntry, engine: str, measured: Mapping[str, str]) -> None:
        """Keep an outcome. A full or read-only disk is no error."""
        said = {**measured, "engine": engine, COMPILER: compiler_fingerprint()}
        path = self._path(entry.target, engine, entry.digest)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(f".{os.getpid()}")
            ScheduleTable([entry], measured=said).save(aside)
            aside.replace(path)
        except OSError:
            return

    def table(self) -> ScheduleTable:
        """All that was learnt with this compiler and was worth it. What a browser measured goes before what Node.js
        did, and of several engines' versions the last."""
        entries: dict[tuple[str, str], ScheduleEntry] = {}
        folders = [f for f in self._folder.glob("*/*") if f.is_dir()]
        for folder in sorted(
            folders, key=lambda f: (f.name.startswith("Node"), -f.stat().st_mtime)
        ):
            for path in sorted(folder.glob("*.toml")):
                if (entry := self._read(path)) is not None:
                    entries.setdefault((entry.target, entry.digest), entry)
        gains = [replace(e, untuned_schedule=None) for e in entries.values() if is_gain(e)]
        return ScheduleTable(gains, strict=False)

    def _path(self, target: str, engine: str, digest: str) -> Path:
        return self._folder / target / re.sub(r"[^\w.]+", "-", engine) / f"{digest}.toml"

    def _read(self, path: Path) -> ScheduleEntry | None:
        if not path.is_file():
            return None
        try:
            table = ScheduleTable.load(path)
        except WebDNNError:  # a damaged entry is as good as none
            return None
        current = table.measured.get(COMPILER) == compiler_fingerprint()
        return table.entries[0] if current and table.entries else None


def is_gain(entry: ScheduleEntry) -> bool:
    """Whether an entry is faster than what the compiler chooses."""
    if entry.milliseconds is None or entry.untuned_milliseconds is None:
        return False
    return entry.milliseconds < entry.untuned_milliseconds

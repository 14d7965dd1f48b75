"""Compiled kernels on disk, by what they are compiled from.

What is kept is data alone: JSON and bytes. So whoever can write to the folder runs no code in the compiler. (They still
choose what is in the packages that it makes, as does whoever can write to the model.)
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import platformdirs

_TOOLS = ("xdsl", "llvmlite", "numpy")
_SOURCES = (
    "kernel_compiler.py",
    "passes.py",
    "schedule_memory.py",
    "stages.py",
    "targets",
    "packaging",
)
"""Files of this folder, and folders in it, that decide what is in an entry."""
_SUM_BYTES = 32
"""Before an entry stands its SHA-256."""
_SIZE_BYTES = 4
"""Then the size of what is JSON, little-endian; then that; then the parts, one after the other."""
_KEPT_SECONDS = 14 * 24 * 3600
"""How long the entries of another compiler are kept after the last one was added."""


@cache
def compiler_fingerprint() -> str:
    """A digest of all that decides what a kernel becomes: our own source and the versions of the tools."""
    import webdnn.codegen
    import webdnn.dialects
    import webdnn.lowering

    digest = sha256(" ".join(f"{name}={version(name)}" for name in _TOOLS).encode())
    here = Path(__file__).parent
    sources: list[Path] = []
    for name in _SOURCES:
        sources += sorted((here / name).rglob("*.py")) if (here / name).is_dir() else [here / name]
    for package in (webdnn.codegen, webdnn.dialects, webdnn.lowering):
        sources += sorted(Path(package.__path__[0]).rglob("*.py"))
    for path in sources:
        digest.update("/".join(path.parts[-3:]).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class CacheEntry:
    """What is kept under a key. Of one that is found, only this form is known: who reads it checks what is in it.

    Args:
        fields: what can be said in JSON.
        parts: what cannot.
    """

    fields: Mapping[str, Any]
    parts: tuple[bytes, ...] = ()

    def to_bytes(self) -> bytes:
        """The content of a file."""
        head = {"fields": self.fields, "parts": [len(part) for part in self.parts]}
        said = json.dumps(head, separators=(",", ":")).encode()
        content = b"".join((len(said).to_bytes(_SIZE_BYTES, "little"), said, *self.parts))
        return sha256(content).digest() + content

    @staticmethod
    def from_bytes(stored: bytes) -> CacheEntry | None:
        """The entry in a file; None if it is damaged or not of this form."""
        content = memoryview(stored)[_SUM_BYTES:]
        if sha256(content).digest() != stored[:_SUM_BYTES]:
            return None
        end = _SIZE_BYTES + int.from_bytes(content[:_SIZE_BYTES], "little")
        try:
            head = json.loads(bytes(content[_SIZE_BYTES:end]))
        except (ValueError, RecursionError):
            return None
        match head:
            case {"fields": dict(fields), "parts": list(sizes)}:
                pass
            case _:
                return None
        if not are_integers(sizes, least=0):
            return None
        parts: list[bytes] = []
        for size in sizes:
            parts.append(bytes(content[end : end + size]))
            end += size
        return CacheEntry(fields, tuple(parts)) if end == len(content) else None


def are_integers(
    found: Any, *, count: int | None = None, least: int = -(2**63), below: int = 2**63
) -> bool:
    """Whether a field of an entry is a list of integers (`count` of them, where it is given) in a range."""
    if not isinstance(found, list) or (count is not None and len(found) != count):
        return False
    return all(type(n) is int and least <= n < below for n in found)


class KernelCache:
    """Maps keys to compiled kernels. Several processes may use it at once.

    Each compiler has a folder of its own; one that no entry was added to for two weeks is removed by another compiler.

    Args:
        folder: where the entries lie; by default the user's cache folder. `None` for `enabled=False`.
        enabled: if not, nothing is found and nothing is kept.
    """

    def __init__(self, folder: Path | None = None, *, enabled: bool = True) -> None:
        default = Path(os.environ.get("WEBDNN_CACHE_DIR") or platformdirs.user_cache_path("webdnn"))
        self._root = folder or default / "kernels"
        self._folder = self._root / compiler_fingerprint()[:16] if enabled else None

    @staticmethod
    def key(*parts: str) -> str:
        """The key of an entry that depends on `parts` and on the compiler."""
        digest = sha256(compiler_fingerprint().encode())
        for part in parts:
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part.encode())
        return digest.hexdigest()

    def get(self, key: str) -> CacheEntry | None:
        """The entry of this key, or None; a damaged entry is as good as none."""
        if self._folder is None:
            return None
        path = self._folder / key
        try:
            if not path.is_file():  # a pipe would be waited for, and a device has no end
                return None
            stored = path.read_bytes()
        except OSError:
            return None
        return CacheEntry.from_bytes(stored)

    def put(self, key: str, entry: CacheEntry) -> None:
        """Keep an entry. A full or read-only disk is no error."""
        if self._folder is None:
            return
        content = entry.to_bytes()
        with suppress(OSError):
            if not self._folder.is_dir():
                self._remove_old()
                self._folder.mkdir(parents=True, exist_ok=True)
            file = NamedTemporaryFile(dir=self._folder, delete=False)  # noqa: SIM115
            try:
                with file:
                    file.write(content)
                Path(file.name).replace(self._folder / key)
            except BaseException:
                Path(file.name).unlink(missing_ok=True)
                raise

    def _remove_old(self) -> None:
        """Remove what compilers that are not used any more have left."""
        for other in self._root.glob("*"):
            ours = re.fullmatch("[0-9a-f]{16}|[0-9a-f]{64}", other.name)  # or an entry of before
            if ours and time.time() - other.stat().st_mtime > _KEPT_SECONDS:
                if other.is_dir():
                    shutil.rmtree(other, ignore_errors=True)
                else:
                    other.unlink(missing_ok=True)

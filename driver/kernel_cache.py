"""Compiled kernels on disk, by what they are compiled from."""

from __future__ import annotations

import os
import pickle
import re
import shutil
import time
from contextlib import suppress
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import platformdirs

_TOOLS = ("xdsl", "llvmlite", "numpy")
_SUM_BYTES = 32
"""Before an entry stands its SHA-256."""
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
    sources = [here / "kernel_compiler.py", here / "stages.py"]
    for package in (webdnn.codegen, webdnn.dialects, webdnn.lowering):
        sources += sorted(Path(package.__path__[0]).rglob("*.py"))
    for path in sources:
        digest.update("/".join(path.parts[-3:]).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


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

    def get(self, key: str) -> Any | None:
        """The entry of this key, or None; a damaged entry is as good as none."""
        if self._folder is None:
            return None
        try:
            stored = (self._folder / key).read_bytes()
        except OSError:
            return None
        content = memoryview(stored)[_SUM_BYTES:]
        if sha256(content).digest() != stored[:_SUM_BYTES]:
            return None
        return pickle.loads(content)

    def put(self, key: str, value: object) -> None:
        """Keep an entry. A full or read-only disk is no error."""
        if self._folder is None:
            return
        content = pickle.dumps(value)
        with suppress(OSError):
            if not self._folder.is_dir():
                self._remove_old()
                self._folder.mkdir(parents=True, exist_ok=True)
            file = NamedTemporaryFile(dir=self._folder, delete=False)  # noqa: SIM115
            try:
                with file:
                    file.write(sha256(content).digest())
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

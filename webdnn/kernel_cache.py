"""Compiled kernels on disk, by what they are compiled from."""

from __future__ import annotations

import os
import pickle
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import platformdirs

_TOOLS = ("xdsl", "llvmlite", "numpy")


@cache
def compiler_fingerprint() -> str:
    """A digest of all that decides what a kernel becomes: our own source and the versions of the tools."""
    import webdnn.codegen
    import webdnn.dialects
    import webdnn.lowering

    digest = sha256(" ".join(f"{name}={version(name)}" for name in _TOOLS).encode())
    for package in (webdnn.codegen, webdnn.dialects, webdnn.lowering):
        root = Path(package.__path__[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()


class KernelCache:
    """Maps keys to compiled kernels.

    Args:
        folder: where the entries lie; by default the user's cache folder. `None` for `enabled=False`.
        enabled: if not, nothing is found and nothing is kept.
    """

    def __init__(self, folder: Path | None = None, *, enabled: bool = True) -> None:
        default = Path(os.environ.get("WEBDNN_CACHE_DIR") or platformdirs.user_cache_path("webdnn"))
        self._folder = (folder or default / "kernels") if enabled else None

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
            return pickle.loads((self._folder / key).read_bytes())
        except (OSError, pickle.UnpicklingError, EOFError, AttributeError, ImportError):
            return None

    def put(self, key: str, value: object) -> None:
        """Keep an entry; several processes may do so at once. A full or read-only disk is no error."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=self._folder, delete=False) as file:
                file.write(pickle.dumps(value))
            Path(file.name).replace(self._folder / key)
        except OSError:
            return

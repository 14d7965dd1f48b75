"""Where files that are expensive to make are kept: outside the repository, made once, written aside and renamed."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """The directory for models, results and unpacked packages.

    `WEBDNN_CACHE_DIR` if it is set, otherwise `webdnn` in the platform's cache directory.
    """
    return Path(os.environ.get("WEBDNN_CACHE_DIR") or platformdirs.user_cache_path("webdnn"))


def cached_dir(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The directory `kind/key` of the cache, filled by `make` if it is not there yet.

    `make` gets an empty directory that is renamed to its place when it is complete, so several
    processes may ask for the same key at once and nobody sees a directory that is half full.
    """
    path = cache_dir() / kind / key
    if path.is_dir():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{key}-", dir=path.parent))
    aside.chmod(0o755)
    try:
        make(aside)
        try:
            aside.rename(path)
        except OSError:
            if not path.is_dir():  # anything but: another process was faster
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return path


def digest(*parts: bytes | str | Path, length: int = 16) -> str:
    """A key made of the given parts: text and bytes as they are, of a path what is in the file."""
    sha = hashlib.sha256()
    for part in parts:
        if isinstance(part, Path):
            with part.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        else:
            content = part.encode() if isinstance(part, str) else part
        sha.update(len(content).to_bytes(8, "little"))
        sha.update(content)
    return sha.hexdigest()[:length]

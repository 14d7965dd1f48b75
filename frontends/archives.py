"""Unpacks a model from a zip or tar archive, or from a compressed file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from webdnn.dialects.budget import MODEL_BYTES, described
from webdnn.dialects.errors import WebDNNError, listed
from webdnn.dialects.foreign_code import reason
from webdnn.frontends.formats import CAFFE, recognise_file
from webdnn.frontends.onnx.source import read
from webdnn.frontends.paths import parts_inside

MOST_ENTRIES = 10_000
"""Files and folders in an archive."""
MOST_TIMES = 100
"""How many times larger than the archive its content may be. Weights shrink to a tenth at best;"""
ALWAYS_BYTES = 64 << 20
"""but so much may come out of any archive."""
_CHUNK = 1 << 20
_DAMAGED = (
    zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError,
    ValueError, RuntimeError,
)  # fmt: skip
"""What the readers raise of a damaged archive; of one of a compression that Python lacks, NotImplementedError."""
_ENCRYPTED = 1
"""The flag of an encrypted file in a zip archive."""


@dataclass(frozen=True)
class _Entry:
    """A file in an archive."""

    name: str
    is_file: bool
    open: Callable[[], IO[bytes] | gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile]


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack an archive into an empty folder; gives the one model in it, a file or the folder of a SavedModel.

    Raises:
        WebDNNError: it is damaged, holds no model or several, or holds what leaves the folder, is no file, or is larger
            than a model.
    """
    room = _Room(archive)
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as file:
                if any(info.flag_bits & _ENCRYPTED for info in file.infolist()):
                    raise room.refused("it is encrypted")
                _extract(_zip_entries(file), folder, room)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as file:
                _extract(_tar_entries(file), folder, room)
        else:
            name = archive.stem if archive.suffix in (".gz", ".bz2", ".xz") else archive.name
            entry = _Entry(name or "model", True, lambda: _decompressed(archive))
            _extract(iter([entry]), folder, room)
    except NotImplementedError as error:
        raise room.refused(reason(error)) from None
    except _DAMAGED as error:
        raise WebDNNError(
            "the archive cannot be unpacked: it is damaged",
            where=str(archive),
            why=reason(error),
            hint="download it again",
        ) from None
    return _model_in(folder, archive)


class _Room:
    """How many bytes may still come out of an archive."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        most = max(ALWAYS_BYTES, MOST_TIMES * archive.stat().st_size)
        self._most = self._left = min(most, MODEL_BYTES)

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            most = described(self._most)
            if self._most == MODEL_BYTES:
                raise self.refused(f"it holds more than {most}, the most that a model may have")
            rule = f"{MOST_TIMES} times its own size, and {described(ALWAYS_BYTES)} in any case"
            raise self.refused(f"it holds more than {most}: what comes out of it may have {rule}")

    def refused(self, why: str) -> WebDNNError:
        return WebDNNError(
            "the archive is not unpacked",
            where=str(self._archive),
            why=why,
            hint="unpack it yourself, and give the model in it",
        )


def _zip_entries(archive: zipfile.ZipFile) -> Iterator[_Entry]:
    for info in archive.infolist():
        kind = stat.S_IFMT(info.external_attr >> 16)
        if not info.is_dir():
            is_file = kind in (0, stat.S_IFREG)
            yield _Entry(info.filename, is_file, lambda info=info: archive.open(info))


def _tar_entries(archive: tarfile.TarFile) -> Iterator[_Entry]:
    for info in archive:
        if not info.isdir():
            yield _Entry(info.name, info.isreg(), lambda info=info: _opened(archive, info))


def _opened(archive: tarfile.TarFile, info: tarfile.TarInfo) -> IO[bytes]:
    file = archive.extractfile(info)
    assert file is not None  # a regular file
    return file


def _decompressed(archive: Path) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    with archive.open("rb") as file:
        head = file.read(3)
    if head.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    return bz2.open(archive) if head == b"BZh" else lzma.open(archive)


def _extract(entries: Iterator[_Entry], folder: Path, room: _Room) -> None:
    for count, entry in enumerate(entries):
        if count >= MOST_ENTRIES:
            raise room.refused(f"it holds more than {MOST_ENTRIES:,} files")
        parts = parts_inside(entry.name.replace("\\", "/"))
        if parts is None:
            raise room.refused(f"'{entry.name}' in it would lie outside of the folder")
        if not entry.is_file:
            raise room.refused(f"'{entry.name}' in it is a link or a device")
        if parts[0] == "__MACOSX" or parts[-1].startswith("._"):
            continue  # what macOS says about the files
        path = folder.joinpath(*parts)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            target = path.open("xb")
        except (FileExistsError, NotADirectoryError):
            raise room.refused(f"it holds '{entry.name}' twice") from None
        with target, entry.open() as source:
            while chunk := source.read(_CHUNK):
                room.take(len(chunk))
                target.write(chunk)


def _model_in(folder: Path, archive: Path) -> Path:
    """The one model of a folder: the ONNX model, else the SavedModel, else what can be converted, else the one file."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    found = [path for path in files if path.suffix == ".onnx"]
    found = found or [path.parent for path in files if path.name.startswith("saved_model.pb")]
    found = found or _convertible(files)
    if not found and len(files) == 1 and _is_known(files[0]):
        found = files
    if len(found) == 1:
        return found[0]
    names = [path.relative_to(folder).as_posix() for path in found or files]
    raise WebDNNError(
        "the archive holds more than one model" if found else "the archive holds no model",
        where=[str(archive), listed(names)] if names else str(archive),
        hint="unpack it, and give one of its files",
    )


def _is_known(path: Path) -> bool:
    """Whether a file is an ONNX model, or what an error can say how to convert."""
    if recognise_file(path) is not None:
        return True
    try:
        read(path)
    except WebDNNError:
        return False
    return True


def _convertible(files: list[Path]) -> list[Path]:
    formats = {path: recognise_file(path) for path in files}
    found = [path for path, format in formats.items() if format is not None and format.converter]
    caffe = [path for path, format in formats.items() if format is CAFFE]
    return found or [path for path in caffe if path.suffix == ".caffemodel"] or caffe


__all__ = ["unpack"]

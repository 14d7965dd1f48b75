"""Arrays in NumPy's files: one in an `.npy`, many in a folder of these or in an `.npz`. Each array has a file, or a
member of the archive, of its own, whatever the names are."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
from numpy.lib.format import read_array as read_npy
from numpy.lib.format import write_array as write_npy

from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError

LONGEST_NAME = 100
"""The longest name of a file, not counting its ending and a number behind it. File systems take 255 bytes."""

_RESERVED = {"con", "prn", "aux", "nul", *(f"{n}{i}" for n in ("com", "lpt") for i in range(1, 10))}
"""What Windows takes for a device."""


def read_array(path: str | Path) -> Array:
    """The array of an `.npy` file.

    Raises:
        WebDNNError: there is no such file, or it is none of NumPy's.
    """
    try:
        with Path(path).open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("it is not a file in NumPy's .npy format, which holds one array")
            file.seek(0)
            return np.load(file, allow_pickle=False)
    except OSError as error:
        why = error.strerror or str(error)
        raise WebDNNError("an input cannot be read", where=str(path), why=why) from error
    except ValueError as error:
        raise WebDNNError("an input cannot be read", where=str(path), why=str(error)) from error


def write_arrays(arrays: Mapping[str, Array], folder: Path) -> dict[str, Path]:
    """Write each array to an `.npy` file of its own in a folder, which is made; the paths by the arrays' names."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{stem}.npy" for name, stem in file_stems(arrays).items()}
    for name, array in arrays.items():
        np.save(paths[name], array)
    return paths


_UNFIT = re.compile(r"[%\\\x00-\x1f\x7f\ud800-\udfff]")
"""What the name of an archive's member does not carry on every system, and the mark of what stands for it."""


def write_archive(arrays: Mapping[str, Array], path: Path) -> None:
    """Write arrays to an `.npz` by their names. (`numpy.savez` takes some names for its own arguments.)"""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for name, array in arrays.items():
            member = _UNFIT.sub(lambda found: quote(found[0], errors="surrogatepass"), name)
            plain = array.astype(str) if array.dtype == object else array
            with archive.open(f"{member}.npy", "w", force_zip64=True) as file:
                write_npy(file, plain, allow_pickle=False)


def read_archive(path: Path) -> dict[str, Array]:
    """The arrays of an `.npz` by their names.

    Raises:
        WebDNNError: there is no such file, or it is none of NumPy's.
    """
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                name = unquote(member.removesuffix(".npy"), errors="surrogatepass")
                with archive.open(member) as file:
                    array = read_npy(file, allow_pickle=False)
                arrays[name] = array.astype(object) if array.dtype.kind == "U" else array
    except (
        OSError,
        ValueError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise WebDNNError("the arrays cannot be read", where=str(path), why=str(error)) from error
    return arrays


def file_stems(names: Iterable[str]) -> dict[str, str]:
    """What to call the file of each of these, without its ending: a different name for each, on any file system.

    Letters, digits and `._-` stay, all else becomes `_`. A name that can be kept is kept; where another one becomes the
    same, but for upper and lower case, it gets a number: `a_b`, and `a_b-2` for `a/b`.
    """
    ordered = list(dict.fromkeys(names))
    stems: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(ordered, key=lambda n: _safe(n) != n):
        safe = _safe(name)
        stem, number = safe, 1
        while stem.casefold() in taken:
            number += 1
            stem = f"{safe}-{number}"
        taken.add(stem.casefold())
        stems[name] = stem
    return {name: stems[name] for name in ordered}


def _safe(name: str) -> str:
    text = "".join(c if c.isascii() and (c.isalnum() or c in "._-") else "_" for c in name)
    text = text[:LONGEST_NAME].rstrip(".")
    if text.startswith(".") or text.split(".")[0].casefold() in _RESERVED or not text:
        text = f"_{text}"
    return text

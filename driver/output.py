"""Where what is made goes: folders and files that may be written."""

from __future__ import annotations

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from webdnn.dialects.errors import WebDNNError
from webdnn.manifest import MANIFEST


def check_output(folder: Path) -> None:
    """Check that a package may take the place of `folder`: there is nothing, an empty folder, or a package, and it is
    in a folder that can be written (or made).

    Raises:
        WebDNNError: there is something else, or the folder cannot be written.
    """
    folder = resolved_output(folder)
    check_writable(folder.parent)
    if folder.exists() and not folder.is_dir():
        raise WebDNNError("the output is a file", where=str(folder), hint="name a folder")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise WebDNNError(
            "the output folder holds files that are not a package",
            where=str(folder),
            hint="name a folder that is empty, or does not exist yet",
        )


def named_output(output: str | Path) -> Path:
    """The path of an output. That of an empty text would be the current folder, which nobody means.

    Raises:
        WebDNNError: it is empty.
    """
    if output == "":
        raise WebDNNError("the output has no name", hint="an empty text is no path")
    return Path(output)


def resolved_output(folder: Path) -> Path:
    """Where an output comes: the end of the links, if its folder is one.

    Raises:
        WebDNNError: they have no end, or no file can have this name.
    """
    with output_errors(folder):
        try:
            end = folder.resolve()
        except RuntimeError:  # what it raises of a circle
            raise OSError(errno.ELOOP, "") from None
        with suppress(FileNotFoundError, NotADirectoryError):
            _ = end.lstat() if not end.is_symlink() else end.stat()
        return end


@contextmanager
def output_errors(output: Path) -> Generator[None, None, None]:
    """What the system says while an output is written becomes an error that names it."""
    try:
        yield
    except OSError as error:
        is_circle = error.errno == errno.ELOOP
        raise WebDNNError(
            "the output cannot be written",
            where=str(output),
            why="links lead in a circle" if is_circle else error.strerror or str(error),
            hint="name another output",
        ) from None


def check_writable(folder: Path) -> None:
    """Check that files can be written to a folder, or to one that will be made. Before long work, not after it.

    Raises:
        WebDNNError: they cannot.
    """
    there = next(f for f in (folder, *folder.absolute().parents) if f.exists())
    if not there.is_dir():
        raise WebDNNError(
            "the output cannot be written",
            where=str(folder),
            why=f"{there} is a file, not a folder",
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise WebDNNError(
            "the output cannot be written",
            where=str(folder),
            why=f"{there} is not writable",
            hint="name another folder",
        )

"""A model as a file or a folder of this machine: downloaded if an address is given, unpacked if it is packed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.archives import unpack
from webdnn.frontends.download import Progress, download, is_address
from webdnn.frontends.formats import recognise_file


@contextmanager
def local_model(model: Any, progress: Progress | None = None) -> Generator[Any, None, None]:
    """The model itself, or for as long as the context lasts what was downloaded or unpacked.

    Args:
        model: an `https://` address; the path of a zip or tar archive, or of a compressed file; or anything else.
        progress: shows how far a download is.

    Raises:
        WebDNNError: it cannot be downloaded or unpacked. Errors inside the context name the address and the archive in
            place of files that are gone afterwards.
    """
    if not is_address(model) and not is_archive(model):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="webdnn-model-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        with _names_for(folder, str(model)):
            if is_address(model):
                (folder / "download").mkdir()
                model = download(model, folder / "download", progress or _silently)
            if is_archive(model):
                (folder / "unpacked").mkdir()
                model = unpack(Path(model), folder / "unpacked")
            yield model


def is_archive(model: Any) -> bool:
    """Whether a model lies in an archive, or in a compressed file."""
    if not isinstance(model, str | Path) or not Path(model).is_file():
        return False
    found = recognise_file(Path(model))
    return found is not None and found.is_archive


def _silently(name: str, steps: int | None) -> AbstractContextManager[Callable[[], None]]:
    return nullcontext(lambda: None)


@contextmanager
def _names_for(folder: Path, given: str) -> Generator[None, None, None]:
    """Errors speak of what the user gave, not of a folder that is gone when they are read."""
    try:
        yield
    except WebDNNError as error:
        if str(folder) not in str(error):
            raise

        def told(text: str) -> str:
            for inner in (folder / "unpacked", folder / "download"):
                text = text.replace(f"{inner}{os.sep}", "").replace(str(inner), given)
            return text

        where = dict.fromkeys([given, *(told(part) for part in error.where)])
        raise type(error)(
            told(error.what), where=[*where], why=told(error.why), hint=told(error.hint)
        ) from (error.__cause__ or error)


__all__ = ["is_archive", "local_model"]

"""Downloads a model that is given by its address, with the files that it names as its external data."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, Request, build_opener

from webdnn.dialects.budget import MODEL_BYTES, described
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.formats import recognise_file
from webdnn.frontends.onnx.source import read
from webdnn.frontends.onnx.tensors import external_locations
from webdnn.frontends.paths import parts_inside

Progress = Callable[[str, int | None], AbstractContextManager[Callable[[], None]]]
"""Opens a task: its name and how many steps it has (None: unknown). What it gives is called after each step."""

SECONDS = 30.0
"""How long a server may say nothing."""
_CHUNK = 1 << 20
"""Bytes of a step of progress."""
_LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts to which a connection need not be encrypted."""
_PAGE = re.compile(r"(/[^/]+/[^/]+)/blob/(.+)")
"""The path of a page about a file of a repository."""
_FILES = {"huggingface.co": "resolve", "hf.co": "resolve", "github.com": "raw"}
"""By host: what stands in the file's own address in place of `blob`."""
_MOST_NAME = 200
"""Characters in the name of a file; systems take 255 bytes."""


def is_address(model: object) -> bool:
    """Whether a model is given by its address."""
    return isinstance(model, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", model) is not None


def file_name(address: str) -> str:
    """The name of the file at an address."""
    name = unquote(urlsplit(address).path).rpartition("/")[2]
    parts = parts_inside(name)
    is_name = parts is not None and len(parts) == 1 and "\\" not in name
    return name if is_name and len(name) <= _MOST_NAME else "model"


def download(address: str, folder: Path, progress: Progress) -> Path:
    """Download a model into a folder, with its external data where it is an ONNX model; gives the file.

    Raises:
        WebDNNError: the address is not of https, what is there cannot be had, or is not all there.
    """
    _check_address(address, may_be_open=True)
    address = _own_address(address)
    opener = build_opener(_Redirects(address))
    path = folder / file_name(address)
    _fetch(opener, address, path, progress)
    if recognise_file(path) is not None:
        return path  # no ONNX model
    for location in _external(path):
        parts = parts_inside(location)
        if parts is None:
            continue  # reading the model says what is wrong
        target = folder.joinpath(*parts)
        if not target.exists() and not any(parent.is_file() for parent in target.parents):
            target.parent.mkdir(parents=True, exist_ok=True)
            beside = urljoin(address, quote("/".join(parts)))
            _fetch(opener, beside, target, progress, of=location)
    return path


def _external(path: Path) -> list[str]:
    try:
        return external_locations(read(path).model)
    except WebDNNError:
        return []  # no ONNX model, which who reads it will say


def _own_address(address: str) -> str:
    """The address of a file, where that of the page about it is given."""
    parts = urlsplit(address)
    word = _FILES.get(parts.hostname or "")
    if word is not None and (found := _PAGE.fullmatch(parts.path)) is not None:
        path = f"{found[1]}/{word}/{found[2]}"
        return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))
    return address


def _check_address(address: str, *, may_be_open: bool) -> None:
    """Check that an address may be asked.

    Args:
        may_be_open: whether a connection to this machine need not be encrypted.

    Raises:
        WebDNNError: it may not; the message does not show a password.
    """
    try:
        parts = urlsplit(address)
        host = parts.hostname
    except ValueError:
        raise WebDNNError("this is no address", where=address) from None
    shown = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    if parts.scheme != "https" and not (may_be_open and _is_open(address)):
        raise WebDNNError(
            "models are downloaded by https alone",
            where=shown,
            why="on the way anybody could put another model in its place"
            if parts.scheme == "http"
            else f"{parts.scheme}:// is not known here",
            hint="give an https:// address, or download the file and give its path",
        )
    if not host:
        raise WebDNNError("the address names no host", where=shown)
    if "@" in parts.netloc:
        raise WebDNNError(
            "the address holds a user's name or password",
            where=shown,
            hint="download the file, and give its path",
        )
    try:
        _ = parts.port
    except ValueError:
        raise WebDNNError(
            "the address names no such port", where=shown, why="ports are numbers up to 65535"
        ) from None


def _is_open(address: str) -> bool:
    """Whether this is an address of this machine, and not of https."""
    parts = urlsplit(address)
    return parts.scheme == "http" and parts.hostname in _LOCAL


class _Redirects(HTTPRedirectHandler):
    """Follows no server to where a model may not come from, and to this machine only where the user named it."""

    def __init__(self, address: str) -> None:
        self._address = address

    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any) -> Any:
        if location := headers.get("location"):
            target = urljoin(req.full_url, location)
            try:
                _check_address(target, may_be_open=_is_open(self._address))
            except WebDNNError as error:
                raise WebDNNError(
                    error.what,
                    where=[self._address, f"which leads to {', '.join(error.where)}"],
                    why=error.why,
                    hint=error.hint,
                ) from None
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _fetch(
    opener: OpenerDirector, address: str, path: Path, progress: Progress, *, of: str = ""
) -> None:
    what = f"the external data file '{of}'" if of else "the model"
    with _errors(address, what):
        request = Request(_quoted(address), headers={"User-Agent": "WebDNN"})
        with opener.open(request, timeout=SECONDS) as response:
            length = response.headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else None
            steps = None if size is None else -(-size // _CHUNK)
            with progress(f"download {path.name}", steps) as advance, path.open("xb") as file:
                for chunk in _chunks(response, size, address, what):
                    file.write(chunk)
                    advance()


def _chunks(response: IO[bytes], size: int | None, address: str, what: str) -> Iterator[bytes]:
    count = 0
    while chunk := response.read(_CHUNK):
        count += len(chunk)
        if max(count, size or 0) > MODEL_BYTES:
            raise WebDNNError(
                f"{what} is larger than {described(MODEL_BYTES)}",
                where=address,
                hint="download it, and give its path",
            )
        yield chunk
    if size is not None and count < size:
        raise WebDNNError(
            f"{what} came but in part",
            where=address,
            why=f"{count} of {size} bytes: the connection was closed",
            hint="try again",
        )


@contextmanager
def _errors(address: str, what: str) -> Generator[None, None, None]:
    """What the network raises becomes one error; of the disk's own errors nothing."""
    failed = f"{what} cannot be downloaded"
    try:
        yield
    except HTTPError as error:
        hints = {
            401: "log in with a browser, download the file, and give its path",
            403: "log in with a browser, download the file, and give its path",
            404: "look whether the address is right: that of the file itself, not of a page about it",
        }
        why = f"the server says {error.code} {error.reason}".rstrip()
        if str(error.reason).startswith(HTTPRedirectHandler.inf_msg):
            why = "the server's redirects lead in a circle"
        raise WebDNNError(
            failed, where=address, why=why, hint=hints.get(error.code, "try again later")
        ) from None
    except (
        URLError,
        TimeoutError,
        ConnectionError,
        http.client.HTTPException,
        ValueError,
    ) as error:
        reason = getattr(error, "reason", None) or error
        why = (
            f"the server said nothing for {SECONDS:.0f} s"
            if isinstance(reason, TimeoutError)
            else str(reason)
        )
        raise WebDNNError(
            failed,
            where=address,
            why=why or type(error).__name__,
            hint="check the address and the network",
        ) from None


def _quoted(address: str) -> str:
    """The address with what may not stand in one escaped; what is escaped already stays."""
    parts = urlsplit(address)
    return urlunsplit(
        parts._replace(path=quote(parts.path, safe="/%:@!$&'()*+,;=~-._"), fragment="")
    )


__all__ = ["Progress", "download", "file_name", "is_address"]

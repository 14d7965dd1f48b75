"""Serves a demonstration page and its package on this machine."""

from __future__ import annotations

import gzip
import mimetypes
import sys
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from webdnn.dialects.errors import WebDNNError
from webdnn.manifest import is_file_name

PAGE = Path(__file__).parent / "page"
"""The built page: `npm run build` in runtime-ts makes it from examples/style-transfer."""

_HEADERS = {
    # threads and precise clocks need a page that is isolated from other origins
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Content-Security-Policy": "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:",
    "Cache-Control": "no-cache",
}
_TYPES = {".wgsl": "text/plain", ".wasm": "application/wasm", ".js": "text/javascript"}
_UNCOMPRESSED = {".png", ".jpg", ".jpeg"}


def make_server(
    package: Path, photo: Path, port: int, host: str = "127.0.0.1"
) -> ThreadingHTTPServer:
    """A server of the page with the package under `/package/` and the picture as `/photo.png`; not yet running.

    It answers who calls it `localhost`, or by the address that it is bound to or reached at.

    Raises:
        WebDNNError: the page is not built, or the port is taken.
    """
    if not (PAGE / "main.js").is_file():
        raise WebDNNError(
            "the demonstration page is not built",
            hint="run `npm run build` in runtime-ts (./dev demo does)",
        )

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if not self._is_asked_for():
                self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
                return
            path = _resolve(self.path, package, photo)
            if path is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            compress = "gzip" in self.headers.get("Accept-Encoding", "")
            compress = compress and path.suffix not in _UNCOMPRESSED
            stat = path.stat()
            content = _content(path, compress, stat.st_mtime_ns)
            self.send_response(HTTPStatus.OK)
            type = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
            self.send_header("Content-Type", type or "application/octet-stream")
            self.send_header("Content-Length", str(len(content)))
            if compress:
                self.send_header("Content-Encoding", "gzip")
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def _is_asked_for(self) -> bool:
            """Whether a request names this machine. Any page may have a name of its own lead here (DNS rebinding), and
            would then read what is served as if it were its own."""
            names = {"localhost", host, self.connection.getsockname()[0]}
            hosts = self.headers.get_all("Host", [])
            return len(hosts) == 1 and _hostname(hosts[0]) in names

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not news."""

    try:
        return _Server((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise WebDNNError(
            f"port {port} cannot be used", why=str(error), hint="choose another with --port"
        ) from error


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """That a browser wants no more of an answer is not news either."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


def _hostname(host: str) -> str | None:
    """What stands before the port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _resolve(url: str, package: Path, photo: Path) -> Path | None:
    """The file of a request, or None; nothing outside the two folders can be named."""
    try:
        name = unquote(urlsplit(url).path).removeprefix("/") or "index.html"
    except ValueError:
        return None
    if name == "photo.png":
        return photo
    folder, _, inner = name.partition("/")
    root, rest = (package, inner) if folder == "package" else (PAGE, name)
    if not is_file_name(rest):
        return None
    path = (root / rest).resolve()
    inside = path.is_relative_to(root.resolve())
    return path if inside and path.is_file() else None


@lru_cache(maxsize=64)
def _content(path: Path, compress: bool, modified: int) -> bytes:
    content = path.read_bytes()
    return gzip.compress(content, mtime=0) if compress else content

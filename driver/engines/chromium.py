"""Chromium, headless: the engine that packages are made for. It needs no driver, only a page and a server for it."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.termination import closing_when_terminated
from webdnn.engines.scripted import JAVASCRIPT, Files, ScriptedEngineName

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

_PAGE = b'<!doctype html><meta charset=utf-8><title>webdnn</title><script type=module src="/page.js"></script>'

_POLL = 20.0
"""Seconds that a page waits for a job before it asks again."""

_HEADERS = {
    # a page that is isolated from other origins has a clock of 5 microseconds
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cache-Control": "no-store",
}


class ChromiumEngine:
    """Runs jobs in a headless Chromium.

    Used as a context manager, one browser serves all jobs; else each job has a browser of its own.

    Args:
        program: its path; by default what `find_chromium` finds.
        eager: compile with the optimising compiler at once, so that code need not run to become fast.
    """

    name: ScriptedEngineName = "chromium"

    def __init__(self, program: str | None = None, *, eager: bool = False) -> None:
        self._program = program
        self._eager = eager
        self._open = contextlib.ExitStack()
        self._session: _Session | None = None

    def __enter__(self) -> ChromiumEngine:
        program = self._program or find_chromium()
        self._session = _Session()
        origin = self._open.enter_context(_server(self._session))
        self._session.process = self._open.enter_context(_browser(program, origin, self._eager))
        return self

    def __exit__(self, *error: object) -> None:
        self._session = None
        self._open.close()

    def version(self) -> str:
        """Such as `Chromium 156.0.7444.0`."""
        return _version(self._program or find_chromium())

    def run(
        self,
        job: Mapping[str, Any],
        files: Files,
        *,
        on_step: Callable[[], None] = lambda: None,
        timeout: float = 600,
    ) -> Any:
        """See `ScriptedEngine`."""
        if self._session is None:
            with self:
                return self.run(job, files, on_step=on_step, timeout=timeout)
        return self._session.run(job, files, on_step, timeout)


class _Session:
    """One browser with its server: the job that is waiting, the files that it reads, and the events of the page."""

    def __init__(self) -> None:
        self.jobs: queue.Queue[bytes] = queue.Queue()
        self.files: Files = {}
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.process: subprocess.Popen[bytes] | None = None

    def run(
        self, job: Mapping[str, Any], files: Files, on_step: Callable[[], None], timeout: float
    ) -> Any:
        self.files = files
        self.jobs.put(json.dumps(job).encode())
        waited = 0.0
        while True:
            try:
                event = self.events.get(timeout=1)
            except queue.Empty:
                waited += 1
                if self.process is None or self.process.poll() is not None:
                    raise WebDNNError("the browser ended before its job") from None
                if waited >= timeout:
                    why = f"for {timeout:.0f} s"
                    raise WebDNNError("the browser gave no news", why=why) from None
                continue
            waited = 0.0
            if "error" in event:
                raise WebDNNError("the browser could not run the job", why=event["error"])
            if "result" in event:
                return event["result"]
            on_step()


def find_chromium() -> str:
    """The browser: `WEBDNN_CHROMIUM`, or the first of the usual names on the path.

    Raises:
        WebDNNError: there is none.
    """
    if path := os.environ.get("WEBDNN_CHROMIUM"):
        return path
    for name in NAMES:
        if path := shutil.which(name):
            return path
    raise WebDNNError(
        "no browser was found",
        why=f"looked for {', '.join(NAMES)}",
        hint="install Chromium, set WEBDNN_CHROMIUM to its path, or use another engine",
    )


@contextlib.contextmanager
def _browser(program: str, origin: str, eager: bool) -> Generator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryDirectory(
        prefix="webdnn-chromium-", ignore_cleanup_errors=True
    ) as profile:
        command = [
            program,
            "--headless=new",
            "--no-sandbox",
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-gpu",
            *(["--js-flags=--no-liftoff"] if eager else []),
            f"--user-data-dir={Path(profile)}",
            origin,
        ]
        with closing_when_terminated():
            process = subprocess.Popen(
                command,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            try:
                yield process
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


@contextlib.contextmanager
def _server(session: _Session) -> Generator[str]:
    """A server of the page and its scripts, and of what a session holds."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, content, type = _resolve(self.path, session)
            self.send_response(status)
            self.send_header("Content-Type", type)
            self.send_header("Content-Length", str(len(content)))
            for name, value in _HEADERS.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            session.events.put(json.loads(body))
            self.send_response(204)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Requests are not news."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """The browser is ended while it holds connections."""

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()


def _resolve(path: str, session: _Session) -> tuple[int, bytes | memoryview, str]:
    """The status, the content and the type of what a path names."""
    if path == "/":
        return 200, _PAGE, "text/html"
    if path in ("/page.js", "/timing.js"):
        return 200, (JAVASCRIPT / path[1:]).read_bytes(), "text/javascript"
    if path == "/job":
        try:
            return 200, session.jobs.get(timeout=_POLL), "application/json"
        except queue.Empty:
            return 202, b"", "text/plain"
    content = session.files.get(path.removeprefix("/files/"))
    return 404 if content is None else 200, content or b"", "application/octet-stream"


@cache
def _version(program: str) -> str:
    try:
        done = subprocess.run([program, "--version"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise WebDNNError("the browser cannot be started", where=program, why=str(error)) from error
    words = done.stdout.split()
    return " ".join(words[:2]) if words else program

"""The demonstration's server: what it serves, to whom, and that no request makes it fail."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPResponse
from pathlib import Path

import pytest

from webdnn.demo import server as demo_server
from webdnn.demo.server import make_server
from webdnn.dialects.errors import WebDNNError


@pytest.fixture
def port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """That of a server with a page, a package and, beside them, a secret."""
    page, package = tmp_path / "page", tmp_path / "package"
    for folder, names in (
        (page, ("index.html", "main.js")),
        (package, ("model.json", "wasm/a.wasm")),
    ):
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(f"content of {name}")
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "photo").write_text("a cat")
    (package / "link").symlink_to(tmp_path / "secret")
    monkeypatch.setattr(demo_server, "PAGE", page)
    with make_server(package, tmp_path / "photo", 0) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def answer(port: int, target: str, *hosts: str) -> tuple[int, str]:
    """Status and content of the answer to a request as it stands."""
    lines = [f"GET {target} HTTP/1.1", *(f"Host: {host}" for host in hosts), "Connection: close"]
    with closing(socket.create_connection(("127.0.0.1", port))) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        response = HTTPResponse(connection)
        response.begin()
        return response.status, response.read().decode()


@pytest.mark.parametrize(
    ("target", "content"),
    [
        ("/", "content of index.html"),
        ("/?style=3", "content of index.html"),
        ("/main.js", "content of main.js"),
        ("/package/model.json", "content of model.json"),
        ("/package/wasm/a.wasm", "content of wasm/a.wasm"),
        ("/package/%77asm/a.wasm", "content of wasm/a.wasm"),
        ("/photo.png", "a cat"),
    ],
)
def test_what_is_served(port: int, target: str, content: str) -> None:
    assert answer(port, target, f"127.0.0.1:{port}") == (200, content)


@pytest.mark.parametrize(
    "target",
    [
        "/package/%00",
        "/%00",
        "/package/a%00.json",
        "/package/" + "x" * 5000,
        "/" + "x/" * 5000,
        "/package",
        "/package/",
        "/package/wasm",
        "/package/../secret",
        "/package/%2e%2e/secret",
        "/package/..%2fsecret",
        "/package/..%5csecret",
        "/package//etc/hostname",
        "/package/link",
        "/../secret",
        "//etc/hostname",
        "//[/",
        "/package/%ff",
        "/package/%",
        "*",
        "http://[",
        "\xe9",
    ],
    ids=lambda target: target[:30],
)
def test_what_is_not_there(port: int, target: str, capfd: pytest.CaptureFixture[str]) -> None:
    status, content = answer(port, target, "localhost")
    assert status == 404
    assert "secret" not in content
    assert answer(port, "/main.js", "localhost")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("hosts", "status"),
    [
        (("localhost",), 200),
        (("LocalHost:1234",), 200),  # a port may have been forwarded
        (("127.0.0.1",), 200),
        (("evil.example",), 421),
        (("evil.example:8000",), 421),
        (("localhost.evil.example",), 421),
        (("evil.example@localhost", "localhost"), 421),
        (("localhost", "evil.example"), 421),
        (("0.0.0.0",), 421),
        (("[",), 421),
        (("",), 421),
        ((), 421),
    ],
)
def test_who_is_answered(port: int, hosts: tuple[str, ...], status: int) -> None:
    assert answer(port, "/package/model.json", *hosts)[0] == status


def test_a_browser_that_goes_away(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for sent in (b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\0\xff\r\n\r\n"):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.sendall(sent)
        connection.close()  # with a reset
    assert answer(port, "/", "localhost")[0] == 200
    assert "Traceback" not in capfd.readouterr().err


def test_ports_that_cannot_be_had(port: int, tmp_path: Path) -> None:
    for number in (port, 70_000):
        with pytest.raises(WebDNNError, match="cannot be used"):
            make_server(tmp_path, tmp_path, number)

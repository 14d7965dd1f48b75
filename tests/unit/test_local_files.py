"""Models from addresses, archives, and with their weights in safetensors files."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest

import webdnn
from webdnn.dialects import budget
from webdnn.dialects.dtypes import Array
from webdnn.frontends import archives, download, models
from webdnn.frontends.download import file_name
from webdnn.frontends.local_files import local_model
from webdnn.frontends.onnx import load
from webdnn.progress import no_progress
from webdnn.tools import webdnn_opt, webdnn_translate

WEIGHTS = np.random.default_rng(0).normal(size=(4, 100)).astype(np.float32)


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """The folder for temporary files, in which nothing is left."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    assert not [*folder.iterdir()]


def with_data(folder: Path, location: str = "weights.bin", **entries: str) -> Path:
    """A model whose weights are external."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[2, 4] x) => (float[2, 100] y) { y = MatMul (x, w) }'
    )
    tensor = model.graph.initializer.add(
        name="w", data_type=onnx.TensorProto.FLOAT, dims=WEIGHTS.shape
    )
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    folder.mkdir(exist_ok=True)
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    (folder / location).parent.mkdir(exist_ok=True)
    (folder / location).write_bytes(WEIGHTS.tobytes())
    return folder / "model.onnx"


def weights_of(model: str | Path) -> Array:
    with local_model(model) as local:
        weights = load(local).weights
        return np.array(next(array for array in weights.values() if array.size == WEIGHTS.size))


def zipped(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def contents(folder: Path, under: str = "") -> dict[str, bytes]:
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {under + p.relative_to(folder).as_posix(): p.read_bytes() for p in files}


def tarred(path: Path, files: dict[str, bytes], mode: Any = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.xz"])
def test_archives(tmp_path: Path, kind: str) -> None:
    with_data(tmp_path / "made")
    files = contents(tmp_path / "made", "resnet/")
    files |= {"resnet/test_data_set_0/input_0.pb": b"", "README.md": b"# A model"}
    files |= {"__MACOSX/resnet/._model.onnx": b"\0\5\x16\7", "resnet/._model.onnx": b"\0\5\x16\7"}
    path = tmp_path / f"packed.{kind}"
    if kind == "zip":
        zipped(path, files)
    else:
        tarred(path, files, f"w:{kind[4:]}" if "." in kind else "w")
    np.testing.assert_array_equal(weights_of(path), WEIGHTS)


def test_a_compressed_file_and_an_archive_without_onnx(tmp_path: Path) -> None:
    """A Caffe model, because it needs no framework."""
    model = with_data(tmp_path / "made")
    one = onnx.load(model)
    packed = tmp_path / "model.onnx.gz"
    packed.write_bytes(gzip.compress(one.SerializeToString()))
    np.testing.assert_array_equal(weights_of(packed), WEIGHTS)
    text = b"""name: "net" input: "data" input_shape { dim: 1 dim: 3 }
        layer { name: "relu" type: "ReLU" bottom: "data" top: "out" }"""
    caffe = zipped(tmp_path / "caffe.zip", {"deploy.prototxt": text, "README": b"hello"})
    package = webdnn.compile(caffe, target="wasm")
    x = np.array([[-1, 0, 2]], np.float32)
    np.testing.assert_array_equal(package.run({"data": x})["out"], [[0, 0, 2]])
    assert package.manifest["name"] == "caffe"


OTHERS = {
    "model.tflite": {"a/model.tflite": b"\x1c\0\0\0TFL3", "a/labels.txt": b"cat"},
    "exported": {"exported/saved_model.pb": b"\x08\x01", "exported/variables/variables.index": b""},
    "net.h5": {"net.h5": b"\x89HDF\r\n\x1a\n"},
}
"""Files of other frameworks, by the name of what their converters are to be given."""


@pytest.mark.parametrize("name", OTHERS)
def test_models_of_other_frameworks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What converts them gets the file, or the folder, that was unpacked from a download."""
    given: list[Path] = []

    def run(converter: Any, job: Any) -> None:
        given.append(Path(job.model))
        assert Path(job.model).exists()
        onnx.save(onnx.load(with_data(tmp_path / "made")), job.output)

    monkeypatch.setattr(models, "run", run)
    archive = zipped(tmp_path / "a.zip", OTHERS[name]).read_bytes()
    with served({"a.zip": archive}) as host:
        webdnn.convert(f"{host}/a.zip", tmp_path / "out.onnx")
    assert [path.name for path in given] == [name] and (tmp_path / "out.onnx").exists()


def test_all_tools_read_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Caffe model, because it needs no framework, packed, and as it is."""
    monkeypatch.chdir(tmp_path)
    text = """name: "net" input: "data"
        layer { name: "relu" type: "ReLU" bottom: "data" top: "out" }"""
    Path("deploy.prototxt").write_text(text)
    zipped(Path("net.zip"), {"deploy.prototxt": text.encode()})
    shape = ["--input-shape", "(2,3)"]
    for source in ("deploy.prototxt", "net.zip"):
        webdnn_opt.main([source, "--to-stage", "nn", *shape])
        assert "nn.relu" in capsys.readouterr().out
        call = [source, "--to", "package", "-o", source.partition(".")[0], *shape]
        webdnn_translate.app(call, standalone_mode=False)
    found = [webdnn.Package.load(Path(name)) for name in ("deploy", "net")]
    assert [package.manifest["name"] for package in found] == ["deploy", "net"]
    x = np.array([[-1, 0, 2], [3, -4, 5]], np.float32)
    np.testing.assert_array_equal(found[1].run({"data": x})["out"], np.maximum(x, 0))


def bad_archives(folder: Path) -> dict[str, Path]:
    model = with_data(folder / "made").read_bytes()
    link = zipfile.ZipInfo("model.onnx")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(folder / "link.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with tarfile.open(folder / "link.tar", "w") as archive:
        info = tarfile.TarInfo("model.onnx")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    noise = np.random.default_rng(0).bytes(1000)
    damaged = zipped(folder / "damaged.zip", {"model.onnx": noise})
    content = bytearray(damaged.read_bytes())
    content[200:260] = bytes(60)
    damaged.write_bytes(content)
    cut = tarred(folder / "cut.tar.gz", {"model.onnx": np.random.default_rng(0).bytes(10**5)})
    cut.write_bytes(cut.read_bytes()[:50_000])
    secret = zipped(folder / "secret.zip", {"model.onnx": model})
    content = bytearray(secret.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag, in the directory
    secret.write_bytes(content)
    with pytest.warns(UserWarning):
        zipped(folder / "twice.zip", {})
        with zipfile.ZipFile(folder / "twice.zip", "w") as archive:
            archive.writestr("a.onnx", model)
            archive.writestr("a.onnx", model)
    return {
        "'../model.onnx' in it would lie outside": zipped(folder / "up.zip", {"../model.onnx": model}),
        "'/model.onnx' in it would lie outside": tarred(folder / "root.tar", {"/model.onnx": model}, "w"),
        "'C:\\model.onnx' in it would lie outside": zipped(folder / "drive.zip", {"C:\\model.onnx": model}),
        "'model.onnx' in it is a link": folder / "link.zip",
        "is a link or a device": folder / "link.tar",
        "'/tmp/m.onnx' in it would lie outside": zipped(folder / "abs.zip", {"/tmp/m.onnx": model}),
        "it is encrypted": secret,
        "the archive holds no model": zipped(folder / "text.zip", {"readme.txt": b"hello"}),
        "may have 100 times its own size": zipped(folder / "bomb.zip", {"model.onnx": bytes(80 << 20)}),
        "more than one model": zipped(folder / "two.zip", {"a.onnx": model, "b/c.onnx": model}),
        "holds no model": zipped(folder / "none.zip", {"a.txt": b"a", "b.txt": b"b"}),
        "it is damaged": damaged,
        "download it again": cut,
        "it holds 'a.onnx' twice": folder / "twice.zip",
        "'w', which is missing": zipped(folder / "nodata.zip", {"model.onnx": model}),
    }  # fmt: skip


def test_bad_archives(tmp_path: Path) -> None:
    for expected, path in bad_archives(tmp_path).items():
        with pytest.raises(webdnn.WebDNNError) as raised:
            webdnn.compile(path)
        message = str(raised.value)
        if "'w'" in expected:
            expected = "external data file 'weights.bin' is missing"
        assert expected in message and str(path) in message, message
        assert "temporary" not in message, message


@pytest.mark.parametrize("packed", [False, True])
def test_onnx_is_unpacked_and_renamed(tmp_path: Path, packed: bool) -> None:
    """External data comes into the one file."""
    model = with_data(tmp_path / "made")
    if packed:
        model = zipped(tmp_path / "model.zip", contents(tmp_path / "made"))
    out = tmp_path / "out.onnx"
    webdnn.convert(model, out, rename_outputs={"y": "scores"})
    found = onnx.load(out, load_external_data=False)
    assert [value.name for value in found.graph.output] == ["scores"]
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(found.graph.initializer[0]), WEIGHTS)
    webdnn.convert(out, tmp_path / "same.onnx")
    assert (tmp_path / "same.onnx").read_bytes() == out.read_bytes()
    with pytest.raises(webdnn.WebDNNError, match="give the sizes to webdnn compile"):
        webdnn.convert(out, tmp_path / "same.onnx", shapes={"x": [2, 4]})


def test_convert_replaces_onnx_models_alone(tmp_path: Path) -> None:
    model = with_data(tmp_path / "made")
    for name in ("model.onnx", "weights.bin", "layers.py"):
        path = tmp_path / "made" / name
        if not path.exists():
            path.write_text("x = 1\n")
        before = path.read_bytes()
        with pytest.raises(webdnn.WebDNNError, match=r"model itself|no ONNX model"):
            webdnn.convert(model, path)
        assert path.read_bytes() == before
    linked = tmp_path / "linked.onnx"
    linked.symlink_to(model)
    with pytest.raises(webdnn.WebDNNError, match="model itself"):
        webdnn.convert(model, linked)
    for name in ("x" * 300, "/proc/nope.onnx"):
        with pytest.raises(webdnn.WebDNNError, match=r"(?s)output cannot be written.*(nope|xxx)"):
            webdnn.convert(model, tmp_path / name)
        with pytest.raises(webdnn.WebDNNError, match=r"(?s)output cannot be written.*why:   [A-Z]"):
            webdnn.convert(model, tmp_path / name)
    other = tmp_path / "other.onnx"
    for _ in range(2):
        webdnn.convert(model, other)


@pytest.mark.parametrize("model", ["net:", ":make", "net:make()", "net.py:make()", "net.py"])
def test_functions_that_are_named_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("def make(): ...\n")
    with pytest.raises(webdnn.WebDNNError, match=r"module:function|net:make"):
        webdnn.compile(model)


def test_the_graph_of_a_saved_model_alone(tmp_path: Path) -> None:
    (tmp_path / "graph.pb").write_bytes(b"\x08\x01\x12\x04\x0a\x02\x22\x00")
    with pytest.raises(webdnn.WebDNNError, match="give the folder that holds"):
        webdnn.compile(tmp_path / "graph.pb")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"custom_objects": "layers.py"}, r"(?s)for Keras models.*--custom-ops"),
        ({"caffe_weights": "net.caffemodel"}, "for Caffe models"),
        ({"example_inputs": (1,)}, "for PyTorch modules"),
    ],
)
def test_options_for_other_frameworks(
    tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    with pytest.raises(webdnn.WebDNNError, match=expected):
        webdnn.compile(with_data(tmp_path / "made"), **options)
    with pytest.raises(webdnn.WebDNNError, match="no such model file"):
        webdnn.compile(tmp_path / "absent.onnx", **options)


# --- addresses ---------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    """Serves a folder, and what servers do wrong."""

    files: ClassVar[dict[str, bytes]] = {}
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].lstrip("/")
        if path.startswith("moved/"):
            return self.reply(302, b"", Location="/" + path.removeprefix("moved/"))
        if path == "elsewhere":
            return self.reply(302, b"", Location="http://example.com/model.onnx")
        if path == "file":
            return self.reply(302, b"", Location="file:///etc/hostname")
        if path == "loop":
            return self.reply(302, b"", Location="/loop")
        if path == "private":
            return self.reply(401, b"")
        if path == "cut.onnx":
            return self.reply(200, b"12345", **{"Content-Length": "1000"})
        if path == "huge.onnx":
            return self.reply(200, b"12345", **{"Content-Length": str(1 << 50)})
        if path == "slow.onnx":
            threading.Event().wait(3)
        found = self.files.get(path)
        return self.reply(404, b"") if found is None else self.reply(200, found)

    def reply(self, code: int, content: bytes, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        with suppress(BrokenPipeError):
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(files: dict[str, bytes]) -> Generator[str]:
    Handler.files = files
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_by_address(tmp_path: Path) -> None:
    """The external data is looked for beside the model, in folders too, wherever a server sends one to."""
    with_data(tmp_path / "made", "parts/w 1.bin")
    files = contents(tmp_path / "made", "org/")
    escaped = {name.replace(" ", "%20"): content for name, content in files.items()}
    archive = zipped(tmp_path / "a.zip", contents(tmp_path / "made")).read_bytes()
    with served({**escaped, "archive": archive}) as host:
        for address in ("org/model.onnx", "moved/org/model.onnx?download=true", "archive"):
            np.testing.assert_array_equal(weights_of(f"{host}/{address}"), WEIGHTS)


def test_progress_and_name(tmp_path: Path) -> None:
    files = {"net.onnx": onnx.load(with_data(tmp_path / "made")).SerializeToString()}
    seen: list[tuple[str, int | None]] = []

    @contextmanager
    def progress(name: str, steps: int | None) -> Generator[Any]:
        seen.append((name, steps))
        yield lambda: None

    with served(files) as host:
        package = webdnn.compile(f"{host}/net.onnx?x=1", target="wasm", progress=progress)
    assert package.manifest["name"] == "net" and ("download net.onnx", 1) in seen


BAD_ADDRESSES = {
    "absent.onnx": "the server says 404",
    "private": "log in with a browser",
    "cut.onnx": "5 of 1000 bytes",
    "huge.onnx": "larger than",
    "page": "this is a web page",
    "elsewhere": "which leads to http://example.com/model.onnx",
    "file": "file:// is not known here",
    "loop": "redirects lead in a circle",
    "slow.onnx": "said nothing for",
    "nodata/model.onnx": "the external data file 'weights.bin' cannot be downloaded",
    "empty.onnx": "the model is empty",
}


@pytest.mark.parametrize("path", BAD_ADDRESSES)
def test_bad_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    if path == "slow.onnx":
        monkeypatch.setattr(download, "SECONDS", 0.3)
    files = {"page": b"<!DOCTYPE html><html></html>", "empty.onnx": b""}
    files["nodata/model.onnx"] = with_data(tmp_path / "made").read_bytes()
    with served(files) as host, pytest.raises(webdnn.WebDNNError) as raised:
        webdnn.compile(f"{host}/{path}")
    message = str(raised.value)
    assert BAD_ADDRESSES[path] in message and ("http" in message and "temporary" not in message)


@pytest.mark.parametrize(
    "address", ["http://example.com/m.onnx", "ftp://example.com/m.onnx", "s3://bucket/m.onnx", "https:///m.onnx",
                "https://[bad/m.onnx", "https://localhost:99999/m.onnx"]
)  # fmt: skip
def test_addresses_that_are_not_asked(address: str) -> None:
    with pytest.raises(webdnn.WebDNNError) as raised:
        webdnn.compile(address)
    assert address in str(raised.value)


def test_passwords_are_not_shown() -> None:
    for scheme in ("https", "http", "ftp"):
        with pytest.raises(webdnn.WebDNNError) as raised:
            webdnn.compile(f"{scheme}://user:secret@localhost/m.onnx")
        message = str(raised.value)
        assert f"{scheme}://localhost/m.onnx" in message and "secret" not in message


def test_a_server_elsewhere_does_not_lead_to_this_machine(tmp_path: Path) -> None:
    with served({"m.onnx": b""}) as host:
        # by itself: a server of the test's cannot be one elsewhere
        redirects = download._Redirects("https://example.com/m.onnx")  # pyright: ignore[reportPrivateUsage]
        opener = download.build_opener(redirects)
        with pytest.raises(
            webdnn.WebDNNError, match=r"(?s)https alone.*example\.com.*leads to http"
        ):
            opener.open(f"{host}/moved/m.onnx")


def test_nobody_listens() -> None:
    with pytest.raises(webdnn.WebDNNError, match="cannot be downloaded"):
        webdnn.compile("http://127.0.0.1:9/model.onnx")


def test_pages_about_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[str] = []

    def fetch(opener: Any, address: str, path: Path, progress: Any, *, of: str = "") -> None:
        asked.append(address)
        path.write_bytes(b"")

    monkeypatch.setattr(download, "_fetch", fetch)
    pages = {
        "https://huggingface.co/org/repo/blob/main/onnx/model.onnx": "https://huggingface.co/org/repo/resolve/main/onnx/model.onnx",
        "https://github.com/org/repo/blob/v1/m.onnx?raw=true": "https://github.com/org/repo/raw/v1/m.onnx?raw=true",
        "https://example.com/a/b/blob/m.onnx": "https://example.com/a/b/blob/m.onnx",
    }
    for number, (page, file) in enumerate(pages.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        download.download(page, folder, no_progress)
        assert asked[-1] == file


def test_names_of_files() -> None:
    assert file_name("https://host/a/net%201.onnx?x#y") == "net 1.onnx"
    for odd in (
        "https://host/",
        "https://host/a/..",
        "https://host/a%2F..%2Fb/..",
        "https://host/C:%5Cx",
        "https://host/" + "x" * 300,
    ):
        assert file_name(odd) == "model"


# --- safetensors -------------------------------------------------------------------------------------------------


def safetensors(
    shape: list[int] | None = None, dtype: str = "F32", name: str = "w"
) -> tuple[bytes, int]:
    """A file with another tensor before this one, as the library writes it; gives where the weights begin."""
    shape = shape or list(WEIGHTS.shape)
    head = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "first": {"dtype": "I8", "shape": [3], "data_offsets": [0, 3]},
            name: {"dtype": dtype, "shape": shape, "data_offsets": [3, 3 + WEIGHTS.nbytes]},
        }
    ).encode()
    start = 8 + len(head) + 3
    return len(head).to_bytes(8, "little") + head + b"abc" + WEIGHTS.tobytes(), start


def test_safetensors_by_offset_and_by_name(tmp_path: Path) -> None:
    content, start = safetensors()
    offsets = {"offset": str(start), "length": str(WEIGHTS.nbytes)}
    for number, entries in enumerate((offsets, {})):
        path = with_data(tmp_path / str(number), "model.safetensors", **entries)
        (path.parent / "model.safetensors").write_bytes(content)
        np.testing.assert_array_equal(weights_of(path), WEIGHTS)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (safetensors(name="v")[0], "no tensor of the name 'w'"),
        (safetensors([100, 4])[0], "'w' is F32 [100, 4] in it, and FLOAT [4, 100] in the model"),
        (safetensors(dtype="I32")[0], "'w' is I32"),
        (safetensors()[0][:-10], "too short"),
        (WEIGHTS.tobytes(), "no safetensors file"),
        (b"", "no safetensors file"),
        (b"\x02\0\0\0\0\0\0\0[]", "no safetensors file"),
        (b"\x08\0\0\0\0\0\0\0" + b'{"w":{}}', "is damaged"),
    ],
)
def test_safetensors_that_do_not_fit(tmp_path: Path, content: bytes, expected: str) -> None:
    path = with_data(tmp_path / "made", "model.safetensors")
    (path.parent / "model.safetensors").write_bytes(content)
    with pytest.raises(webdnn.WebDNNError) as raised:
        load(path)
    assert expected in str(raised.value) and "w" in raised.value.where


def test_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever an archive says of itself, what comes out of it is counted."""
    assert archives.MODEL_BYTES == budget.MODEL_BYTES
    monkeypatch.setattr(archives, "MOST_ENTRIES", 3)
    many = zipped(tmp_path / "many.zip", {f"{i}.txt": b"" for i in range(4)})
    with pytest.raises(webdnn.WebDNNError, match="more than 3 files"):
        webdnn.compile(many)

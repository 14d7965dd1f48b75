"""Tells files of other frameworks by their first bytes, and says how each comes to be ONNX."""

from __future__ import annotations

import io
import json
import mmap
import re
import struct
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from webdnn.dialects.errors import WebDNNError, listed
from webdnn.frontends.caffe.files import is_caffemodel, is_prototxt
from webdnn.frontends.conversion.keras import KERAS
from webdnn.frontends.conversion.process import Converter
from webdnn.frontends.conversion.pytorch import PYTORCH
from webdnn.frontends.conversion.tensorflow import TENSORFLOW

HEAD = 4096
"""What is looked at of a file, but for the directory of a zip archive, which is at its end."""


@dataclass(frozen=True)
class Format:
    """What a file is.

    Attributes:
        name: with its article: `a TensorFlow Lite model`.
        hint: what to do to have an ONNX model.
        converter: what makes one of it, if there is such a thing.
        is_archive: whether a model may lie in it, which is to be unpacked.
    """

    name: str
    hint: str
    converter: Converter | None = None
    is_archive: bool = False


def _tf2onnx(arguments: str) -> str:
    return f"python -m tf2onnx.convert {arguments} --output model.onnx"


_CONVERT_HINT = "webdnn compile takes it as it is, and webdnn convert makes an ONNX model of it"
_TORCH_HINT = (
    "make the model in PyTorch, load_state_dict if these are its weights alone, and "
    'torch.onnx.export(model, (example_input,), "model.onnx", dynamo=True)'
)
_OPTIMUM_HINT = (
    "these are weights without the network: optimum-cli export onnx --model NAME_OR_FOLDER out/, "
    "or look for an onnx/ folder beside the model on the Hugging Face Hub"
)
_UNPACK_HINT = "unpack it and give the .onnx file in it"

_HDF5 = Format("an HDF5 file, as Keras writes it (.h5)", _CONVERT_HINT, KERAS)
_KERAS = Format("a Keras model (.keras)", _CONVERT_HINT, KERAS)
SAVED_MODEL = Format("a TensorFlow SavedModel", _CONVERT_HINT, TENSORFLOW)
_FROZEN_GRAPH = Format("a frozen TensorFlow graph (GraphDef)", _CONVERT_HINT, TENSORFLOW)
_TFLITE = Format("a TensorFlow Lite model", _CONVERT_HINT, TENSORFLOW)
_OTHER_TFLITE = Format(
    "a TensorFlow Lite model of another version of the format than 3",
    "let TensorFlow convert the model anew: tf.lite.TFLiteConverter",
)
_TFJS = Format("a TensorFlow.js model", _tf2onnx("--tfjs model.json"))
_TORCH = Format("a file of PyTorch's torch.save (.pt, .pth)", _TORCH_HINT)
_TORCHSCRIPT = Format(
    "a TorchScript model",
    'torch.onnx.export(torch.jit.load("model.pt"), (example_input,), "model.onnx", dynamo=False)',
)
_EXPORTED_PROGRAM = Format("an exported PyTorch program (.pt2)", _CONVERT_HINT, PYTORCH)
_PICKLE = Format(
    "a Python pickle, as scikit-learn and old versions of PyTorch write it",
    f"of PyTorch: {_TORCH_HINT}; of scikit-learn: skl2onnx.to_onnx(model, example_input)",
)
CAFFE = Format("a Caffe model", _CONVERT_HINT)
"""Its front end needs no framework, and so no process of its own."""
_SAFETENSORS = Format("a safetensors file", _OPTIMUM_HINT)
_GGUF = Format(
    "a GGUF file", _OPTIMUM_HINT.replace("NAME_OR_FOLDER", "NAME (of the original model)")
)
_ORT = Format(
    "a model in ONNX Runtime's own format (.ort)", "give the .onnx file that it was made from"
)
_COMPRESSED = Format("a compressed file", _UNPACK_HINT, is_archive=True)
_OTHER_COMPRESSED = Format("a compressed file of a kind that is not read", _UNPACK_HINT)
_DAMAGED_ZIP = Format(
    "a damaged zip archive (.zip, .keras, .pt2)", "export or download the file again"
)
_TAR = Format("a tar archive", _UNPACK_HINT, is_archive=True)
_LFS = Format(
    "a Git LFS pointer, not the file itself", "fetch the file: git lfs install, then git lfs pull"
)
_HTML = Format(
    "a web page",
    "what was downloaded is the page about the file, or one that asks to log in: "
    "on the Hugging Face Hub and GitHub, a file's own address has /resolve/ or /raw/ in place of /blob/",
)
_ONNX_TEXT = Format(
    "an ONNX model as text", 'onnx.save(onnx.parser.parse_model(text), "model.onnx")'
)
MLIR = Format("IR as text (.mlir)", "webdnn-opt and webdnn-translate read it")
"""What the compiler prints."""
_PACKAGE = Format(
    "a compiled package", "webdnn run and the runtime load it; compile the .onnx model"
)


def recognise(data: memoryview) -> Format | None:
    """What a file that is no ONNX model is, where its content says so."""
    head = bytes(data[:HEAD])
    if head.startswith(b"PK"):
        return _in_zip(data) or _DAMAGED_ZIP
    return next((format for is_one, format in _TESTS if is_one(head)), None)


def recognise_file(path: Path) -> Format | None:
    """What a file is, where its content says so and it is no ONNX model.

    Raises:
        WebDNNError: it cannot be read.
    """
    return recognise(map_file(path))


def map_file(path: Path) -> memoryview:
    """The content of a file, read where it is looked at.

    Raises:
        WebDNNError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            if path.stat().st_size == 0:  # an empty file cannot be mapped
                return memoryview(b"")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise WebDNNError(
            "the model file cannot be read", where=str(path), why=error.strerror or str(error)
        ) from None


def recognise_folder(path: Path) -> Format | None:
    """What a folder is that was given as a model."""
    try:
        names = {entry.name for entry in path.iterdir()}
        found = [*path.glob("*.onnx"), *path.glob("onnx/*.onnx")]
        manifest = path / "model.json"
        head = b""
        if manifest.is_file():
            with manifest.open("rb") as file:
                head = file.read(HEAD)
    except OSError:
        return None
    if names & {"saved_model.pb", "saved_model.pbtxt"}:
        return SAVED_MODEL
    if found:
        models = sorted(file.relative_to(path).as_posix() for file in found)
        return Format("a folder", f"name the model in it: {listed(models)}")
    if any(name.endswith((".safetensors", ".gguf")) for name in names):
        return Format("a folder of weights without the network", _OPTIMUM_HINT)
    return recognise(memoryview(head))


def _starts(*prefixes: bytes) -> Callable[[bytes], bool]:
    return lambda head: head.startswith(prefixes)


def _matches(pattern: bytes) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, re.DOTALL | re.IGNORECASE)
    return lambda head: compiled.match(head) is not None


def _is_json_of(*keys: str) -> Callable[[bytes], bool]:
    """Whether this is the start of a JSON object with these keys."""
    return lambda head: (
        head.lstrip()[:1] == b"{" and all(json.dumps(key).encode() in head for key in keys)
    )


def _is_safetensors(head: bytes) -> bool:
    """A length of 8 bytes, and a JSON object of that length."""
    return len(head) > 10 and head[8:10] in (b'{"', b"{}") and head[4:8] == bytes(4)


def _first_field(head: bytes) -> tuple[int, bytes, bytes]:
    """The number of the first field of a protobuf message, what it holds, and what follows; 0 if there is none."""
    key, at = _varint(head, 0)
    size, at = _varint(head, at)
    return (key >> 3, head[at : at + size], head[at + size :]) if key & 7 == 2 else (0, b"", b"")


def _varint(head: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(head) and shift < 64:
        value |= (head[at] & 0x7F) << shift
        at += 1
        if head[at - 1] < 0x80:
            break
        shift += 7
    return value, at


def _is_identifier(text: bytes) -> bool:
    return re.fullmatch(rb"[A-Za-z_][\w./:-]*", text) is not None


def _is_graph_def(head: bytes) -> bool:
    """The first field is a node, which begins with its name (1) and its operator (2)."""
    field, node, _ = _first_field(head)
    number, name, rest = _first_field(node)
    second, operator, _ = _first_field(rest)
    is_node = (field, number, second) == (1, 1, 2)
    return is_node and _is_identifier(name) and _is_identifier(operator)


def _is_saved_model(head: bytes) -> bool:
    """The version of the format (field 1) is 1, and a graph with its meta data (field 2) begins with these (1)."""
    field, meta, _ = _first_field(head[2:])
    return head.startswith(b"\x08\x01") and field == 2 and meta[:1] == b"\x0a"


_TESTS: tuple[tuple[Callable[[bytes], bool], Format], ...] = (
    (_starts(b"\x89HDF\r\n\x1a\n"), _HDF5),
    (lambda head: head[4:8] == b"TFL3", _TFLITE),
    (lambda head: re.fullmatch(rb"TFL\d", head[4:8]) is not None, _OTHER_TFLITE),
    (lambda head: head[4:8] == b"ORTM", _ORT),
    (_starts(b"GGUF", b"ggml", b"ggjt", b"lmgg", b"tjgg"), _GGUF),
    (_starts(b"version https://git-lfs.github.com/"), _LFS),
    (_starts(b"\x1f\x8b", b"BZh", b"\xfd7zXZ"), _COMPRESSED),
    (_starts(b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf"), _OTHER_COMPRESSED),
    (lambda head: head[257:262] == b"ustar", _TAR),
    (_matches(rb"\s*(<\?xml[^>]*>\s*)?(<!--((?!-->).)*-->\s*)*<(!doctype html|html|head|body)\b"), _HTML),
    (_is_json_of("format", "backends"), _PACKAGE),
    (_is_json_of("modelTopology"), _TFJS),
    (_is_safetensors, _SAFETENSORS),
    (_matches(rb"\s*<\s*(ir_version|opset_import)\s*:"), _ONNX_TEXT),
    (_matches(rb"\s*(//[^\n]*\n\s*)*(module|builtin\.module|func\.func|\"builtin\.module\")\b"), MLIR),
    (is_prototxt, CAFFE),
    (_matches(rb"\x80[\x02-\x05]."), _PICKLE),
    (_is_saved_model, SAVED_MODEL),
    (_is_graph_def, _FROZEN_GRAPH),
    (is_caffemodel, CAFFE),
)  # fmt: skip
"""How each format is told, the surest first."""


class _View(io.RawIOBase):
    """A file over memory, without a copy of it."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._data)}[whence]
        if start + offset < 0:
            raise OSError("before the start")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        part = self._data[self._at : self._at + len(buffer)]
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def _in_zip(data: memoryview) -> Format | None:
    try:
        names = zipfile.ZipFile(_View(data)).namelist()
    except (zipfile.BadZipFile, ValueError, OSError, ArithmeticError, RuntimeError, struct.error):
        return None
    plain = {name.rpartition("/")[2] for name in names}
    models = [name for name in names if name.endswith(".onnx")]
    if models:
        hint = f"unpack it and give the model in it: {listed(models)}"
        return Format("a zip archive", hint, is_archive=True)
    if {"config.json", "metadata.json"} <= plain and "model.weights.h5" in plain:
        return _KERAS
    if "archive_format" in plain or {"serialized_exported_program.json", "version"} <= plain:
        return _EXPORTED_PROGRAM
    if "data.pkl" in plain:
        return _TORCHSCRIPT if any("/code/" in name for name in names) else _TORCH
    if "saved_model.pb" in plain:
        name, hint = "a zip archive of a TensorFlow SavedModel", "unpack it and give its folder"
        return Format(name, hint, is_archive=True)
    if names and all(name.endswith(".npy") for name in names):
        return Format("an archive of NumPy arrays (.npz)", "give the .onnx model")
    return Format("a zip archive without an .onnx file", _UNPACK_HINT, is_archive=True)

"""Files that are no ONNX models are recognised, and the message says how they become one."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.helper import make_tensor_value_info

from tests.unit.onnx_models import convolution
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.formats import recognise
from webdnn.frontends.onnx import load


def zipped(*names: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(name, "content")
    return content.getvalue()


def tarred() -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"))
    return content.getvalue()


def message_field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds text, bytes or a message."""
    head = bytearray()
    for value in (number << 3 | 2, len(content)):
        while value >= 0x80:
            head.append(value & 0x7F | 0x80)
            value >>= 7
        head.append(value)
    return bytes(head) + content


def numpy_archive() -> bytes:
    content = io.BytesIO()
    np.savez(content, w=np.zeros(3))
    return content.getvalue()


def safetensors() -> bytes:
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(8)


NODE = message_field(1, b"input/x") + message_field(2, b"Placeholder")
GRAPH_DEF = message_field(1, NODE + message_field(5, b"x" * 9000)) + message_field(4, b"\x08\x1b")
LAYER = message_field(1, b"conv1") + message_field(2, b"Convolution")
OLD_LAYER = message_field(2, b"data") + message_field(3, b"conv1")
SAVED_MODEL = b"\x08\x01" + message_field(2, message_field(1, b"\x22\x05serve") + GRAPH_DEF)
MODEL_TEXT = (
    b'<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) { y = Neg(x) }'
)
JSON_GRAPH = b'{"format": "graph-model", "generatedBy": "2.x", "modelTopology": {"node": []}}'

FORMATS: dict[str, tuple[bytes, str, str]] = {
    "keras-h5": (b"\x89HDF\r\n\x1a\n" + bytes(500), "HDF5", "webdnn convert"),
    "keras": (zipped("metadata.json", "config.json", "model.weights.h5"), "Keras", "webdnn convert"),
    "saved-model": (SAVED_MODEL, "SavedModel", "webdnn convert"),
    "frozen-graph": (GRAPH_DEF, "GraphDef", "webdnn convert"),
    "tflite": (b"\x1c\0\0\0TFL3" + bytes(99), "TensorFlow Lite", "webdnn convert"),
    "tflite of another version": (b"\x1c\0\0\0TFL2" + bytes(99), "of another version", "TFLiteConverter"),
    "tfjs": (JSON_GRAPH, "TensorFlow.js", "--tfjs"),
    "torch": (zipped("net/data.pkl", "net/data/0"), "torch.save", "torch.onnx.export"),
    "torchscript": (zipped("net/data.pkl", "net/code/m.py"), "TorchScript", "torch.jit.load"),
    "pt2": (zipped("m/archive_format", "m/models/model.json"), "(.pt2)", "webdnn convert"),
    "old-pt2": (zipped("serialized_exported_program.json", "version"), "(.pt2)", "webdnn convert"),
    "pickle": (pickle.dumps({"weight": [1.0]}, 2), "pickle", "torch.onnx.export"),
    "caffe": (message_field(1, b"ResNet-50") + message_field(100, LAYER), "Caffe", "webdnn convert"),
    "old-caffe": (message_field(1, b"VGG 16") + message_field(2, OLD_LAYER), "Caffe", "webdnn convert"),
    "prototxt": (b'# a net\nname: "LeNet"\nlayer {\n type: "ReLU"\n}', "Caffe", "webdnn convert"),
    "safetensors": (safetensors(), "safetensors", "optimum-cli"),
    "gguf": (b"GGUF\3\0\0\0" + bytes(99), "GGUF", "optimum-cli"),
    "ort": (b"\x18\0\0\0ORTM" + bytes(99), "(.ort)", "made from"),
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS", "git lfs pull"),
    "html": (b"\n<!DOCTYPE html>\n<html><title>Sign in</title>", "web page", "/resolve/"),
    "xhtml": (b'<?xml version="1.0"?><HTML>', "web page", "/resolve/"),
    "onnx-zip": (zipped("readme.txt", "net/model.onnx"), "zip archive", "net/model.onnx"),
    "onnx-gz": (gzip.compress(convolution().SerializeToString()), "compressed", "unpack"),
    "cut-zip": (zipped("a.onnx")[:-9], "damaged zip", "again"),
    "no-zip": (b"PK\x03\x04" * 9, "damaged zip", "again"),
    "tar": (tarred(), "tar archive", "unpack"),
    "npz": (numpy_archive(), "(.npz)", ".onnx"),
    "onnx-text": (MODEL_TEXT, "as text", "onnx.parser"),
    "mlir": (b"// a comment\nfunc.func @main() { func.return }", "IR", "webdnn-opt"),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_formats(name: str, tmp_path: Path) -> None:
    content, what, hint = FORMATS[name]
    path = tmp_path / "model.bin"
    path.write_bytes(content)
    for model in (path, content):
        with pytest.raises(WebDNNError) as caught:
            load(model)
        assert caught.value.what.startswith("this is ")
        assert caught.value.what.endswith("not an ONNX model")
        assert what in caught.value.what
        assert hint in caught.value.hint


def test_folders(tmp_path: Path) -> None:
    def message() -> str:
        with pytest.raises(WebDNNError) as caught:
            load(tmp_path)
        return str(caught.value)

    assert "the model is a folder" in message()
    (tmp_path / "model.json").write_text('{"format": "webdnn", "version": 1, "backends": {}}')
    assert "a compiled package" in message()
    (tmp_path / "model.safetensors").write_bytes(safetensors())
    assert "weights without the network" in message() and "optimum-cli" in message()
    (tmp_path / "model.onnx").touch()
    assert "model.onnx" in message()
    (tmp_path / "saved_model.pb").write_bytes(SAVED_MODEL)
    assert "a TensorFlow SavedModel" in message() and "webdnn convert" in message()


def test_what_says_nothing_is_not_recognised() -> None:
    model = convolution().SerializeToString()
    rng = np.random.default_rng(0)
    contents = [b"", b"\0", b"{}", model, model[:50]]
    contents += [make_tensor_value_info("x", 1, [2]).SerializeToString()]
    contents += [model.replace(b"test", b"tes\xff"), onnx.TensorProto(name="w").SerializeToString()]
    contents += [b"<!---->" * 600, b"// x\n" * 900, b"# x\n" * 900, b" \n" * 2048]  # at once, too
    contents += [rng.bytes(n) for n in range(2, 200)]
    assert not any(recognise(memoryview(content)) for content in contents)


def test_damaged_files_of_other_formats_never_crash() -> None:
    rng = np.random.default_rng(0)
    for content, _, _ in FORMATS.values():
        for _ in range(30):
            damaged = bytearray(content[: rng.integers(len(content) + 1)])
            if damaged:
                damaged[rng.integers(len(damaged))] = rng.integers(256)
            recognise(memoryview(bytes(damaged)))

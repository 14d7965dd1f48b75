"""What nobody foresaw is one message too, which names the node; and ONNX's own library cannot take a process down."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import NoReturn

import onnx
import pytest
from onnx import ModelProto
from onnx.helper import make_node
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp

import webdnn
from tests.unit.onnx_models import convolution, model_of, tensor
from webdnn.dialects.errors import InternalError, WebDNNError
from webdnn.dialects.onnx import OnnxOp
from webdnn.frontends.onnx import library, load, source
from webdnn.kernel_cache import KernelCache
from webdnn.lowering.nn.merge_matmuls import MergeMatmuls
from webdnn.lowering.onnx_to_nn.registry import Entry, find_lowering
from webdnn.targets import wasm

SHAPES = {"x": (1, 3, 8, 8)}


def refused(jobs: int = 1) -> InternalError:
    cache = KernelCache(enabled=False)
    with pytest.raises(InternalError) as caught:
        webdnn.compile(convolution(), shapes=SHAPES, target="wasm", cache=cache, jobs=jobs)
    return caught.value


def fail(*arguments: object, **keywords: object) -> NoReturn:
    raise IndexError("tuple index out of range")


def test_a_lowering_that_raises_names_the_node(monkeypatch: pytest.MonkeyPatch) -> None:
    def found(op: OnnxOp) -> Entry | None:
        return Entry(1, fail, ()) if op.op_type == "Relu" else find_lowering(op)

    monkeypatch.setattr("webdnn.lowering.onnx_to_nn.convert.find_lowering", found)
    error = refused()
    assert error.what == "WebDNN failed to lower node 'Relu_1' (Relu)"
    assert error.where == ("Relu_1",)
    assert error.why == "this is a bug of WebDNN: IndexError: tuple index out of range"
    assert isinstance(error.__cause__, IndexError)


def test_a_pass_that_raises_names_the_node_that_it_was_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def apply(self: MergeMatmuls, ctx: Context, module: ModuleOp) -> None:
        for op in module.walk():
            if op.name == "nn.conv":
                fail()

    monkeypatch.setattr(MergeMatmuls, "apply", apply)
    error = refused()
    assert error.what == "WebDNN failed to run the pass merge-matmuls"
    assert error.where == ("Conv_0",)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_code_generator_that_raises_names_the_nodes(
    jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wasm, "compile_object", fail)
    error = refused(jobs=jobs)
    assert "failed to compile the kernel" in error.what
    assert set(error.where) & {"Conv_0", "Relu_1"}


def test_a_kernel_that_kills_its_process_names_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wasm, "compile_object", lambda *_: os._exit(1))
    error = refused(jobs=2)
    assert "failed to compile the kernel" in error.what
    assert error.where


def dies_of_relu(model: ModelProto) -> None:
    if any(node.op_type == "Relu" for node in model.graph.node):
        os.abort()


def takes_memory(model: ModelProto) -> None:
    bytearray(1 << 33)


def waits(model: ModelProto) -> None:
    time.sleep(60)


def test_a_library_that_dies_is_an_error_that_names_the_node() -> None:
    with library.own_process():
        with pytest.raises(WebDNNError) as caught:
            library.call(dies_of_relu, convolution())
        assert caught.value.where == ("Relu_1",)
        assert "SIGABRT" in caught.value.why
        library.call(onnx.checker.check_model, convolution())  # There is a new one.


def test_a_library_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "MOST_SECONDS", 0.2)
    with library.own_process():
        with pytest.raises(WebDNNError, match="ran out of memory"):
            library.call(takes_memory, convolution())
        with pytest.raises(WebDNNError, match="did not end"):
            library.call(waits, convolution())


def test_a_library_started_anew_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    forked = str(load(convolution()).module)
    monkeypatch.setattr(library, "FORKS", False)
    assert str(load(convolution()).module) == forked


@pytest.mark.parametrize("path", ["/dev/zero", "fifo"])
def test_what_has_no_end_is_no_model(path: str, tmp_path: Path) -> None:
    if path == "fifo":
        os.mkfifo(tmp_path / path)
    with pytest.raises(WebDNNError, match="not a regular file"):
        source.read(tmp_path / path)


def test_names_that_are_not_utf8() -> None:
    for name in ("Relu_1", "c", "y"):
        data = convolution().SerializeToString().replace(name.encode(), b"\xff" * len(name))
        with pytest.raises(WebDNNError, match="is not UTF-8"):
            load(data)


def test_element_types_that_nobody_knows() -> None:
    x = tensor("x", [2])
    x.type.tensor_type.elem_type = 99
    with pytest.raises(
        WebDNNError, match="value 'x' has an element type that is not known here: number 99"
    ):
        load(model_of([make_node("Relu", ["x"], ["y"])], [x], [tensor("y", [2])]))


def test_graphs_nested_ten_thousand_deep() -> None:
    def tagged(field: int, content: bytes) -> bytes:
        length, size = len(content), bytearray()
        while length >= 0x80:
            size.append(length & 0x7F | 0x80)
            length >>= 7
        return bytes([field << 3 | 2, *size, length]) + content

    graph = tagged(1, tagged(4, b"Neg") + tagged(1, b"x") + tagged(2, b"y"))
    for _ in range(10_000):
        attribute = tagged(1, b"body") + tagged(6, graph)
        graph = tagged(1, tagged(4, b"Loop") + tagged(5, attribute))
    with pytest.raises(WebDNNError, match="nested more than 32 deep"):
        load(b"\x08\x08" + tagged(7, graph))

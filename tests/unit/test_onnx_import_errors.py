"""Every way in which a model can be wrong gives one exact WebDNNError."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_node, make_opsetid

from tests.unit.onnx_models import convolution, model_of, tensor, with_if
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx import load


def message(model: str | Path | bytes | ModelProto, **options: Any) -> str:
    with pytest.raises(WebDNNError) as caught:
        load(model, **options)
    return str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "no.onnx"
    assert message(path) == f"there is no such model file\n  where: {path}"
    assert message(tmp_path).startswith("the model is a folder, not an ONNX file")


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x07"])
def test_not_onnx(content: bytes, tmp_path: Path) -> None:
    expected = "the model is empty"
    if content:
        expected = "this is not an ONNX model, or the file is truncated"
    assert message(content).startswith(f"{expected}\n  where: the given bytes")
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    assert message(path).startswith(f"{expected}\n  where: {path}")


@pytest.mark.parametrize("make", [convolution, with_if])
def test_truncated_and_damaged_models_never_crash(make: Callable[[], ModelProto]) -> None:
    content = make().SerializeToString()
    rng = np.random.default_rng(1)
    damaged = [content[:n] for n in range(0, len(content), 7)]
    for _ in range(150):
        copy = bytearray(content)
        copy[rng.integers(len(copy))] = rng.integers(256)
        damaged.append(bytes(copy))
    for each in damaged:
        try:
            load(each)
        except WebDNNError as error:
            assert str(error)


def test_no_opset() -> None:
    model = convolution()
    del model.opset_import[:]
    assert message(model).startswith("the model does not say which opset its operators are of")


def test_newer_opset() -> None:
    newest = onnx.defs.onnx_opset_version()
    assert message(convolution(newest + 1)).startswith(
        f"the model is of opset {newest + 1} of ai.onnx, and the newest that is known here is {newest}"
    )


def test_all_unknown_operators_are_listed() -> None:
    nodes = [
        make_node("FancyOp", ["x"], ["a"], name="F1", domain="com.acme"),
        make_node("FancyOp", ["a"], ["b"], name="F2", domain="com.acme"),
        make_node("Gelu", ["b"], ["c"], name="G"),
        make_node("Nonsense", ["c"], ["y"]),
    ]
    imports = [make_opsetid("", 17), make_opsetid("com.acme", 1)]
    model = model_of(nodes, [tensor("x", [2])], [tensor("y", [2])], opset_imports=imports)
    assert message(model).splitlines()[:2] == [
        "4 nodes use operators that ONNX does not define",
        "  where: com.acme.FancyOp: F1, F2, ai.onnx.Gelu (not in opset 17): G, ai.onnx.Nonsense: y",
    ]


def test_quantised_operators_of_onnx_runtime() -> None:
    """As the README says, these are not supported, and another format is."""
    node = make_node("QLinearAdd", [*"xsz"] * 2 + ["s", "z"], ["y"], domain="com.microsoft")
    imports = [make_opsetid("", 21), make_opsetid("com.microsoft", 1)]
    inputs = [
        tensor("x", [2], TensorProto.UINT8),
        tensor("s", []),
        tensor("z", [], TensorProto.UINT8),
    ]
    text = message(model_of([node], inputs, [tensor("y", [2])], opset_imports=imports))
    assert "com.microsoft.QLinearAdd: y" in text and "QuantFormat.QDQ" in text


def test_many_nodes_of_one_kind_are_five_and_a_count() -> None:
    nodes = [make_node("Fancy", ["x"], [f"y{i}"], name=f"F{i}", domain="acme") for i in range(211)]
    imports = [make_opsetid("", 21), make_opsetid("acme", 1)]
    outputs = [tensor("y0", [2])]
    text = message(model_of(nodes, [tensor("x", [2])], outputs, opset_imports=imports))
    assert text.startswith("211 nodes use operators that ONNX does not define")
    assert "  where: acme.Fancy: F0, F1, F2, F3, F4, ... (211 in all)\n" in text
    nodes = [make_node("Relu", [f"x{i}"], [f"y{i}"], name=f"R{i}") for i in range(180)]
    text = message(model_of(nodes, [], outputs))
    assert "'x4', read by node R4, ... (180 in all)" in text and "R5" not in text


def test_cycle_names_its_nodes_only() -> None:
    nodes = [
        make_node("Relu", ["x"], ["before"], name="before"),
        make_node("Add", ["before", "c"], ["a"], name="first"),
        make_node("Neg", ["a"], ["b"], name="second"),
        make_node("Abs", ["b"], ["c"], name="third"),
        make_node("Exp", ["c"], ["y"], name="after"),
    ]
    text = message(model_of(nodes, [tensor("x", [2])], [tensor("y", [2])]))
    first, where, _ = text.splitlines()
    assert first == "the graph has a cycle"
    assert sorted(where.removeprefix("  where: ").split(", ")) == ["first", "second", "third"]


def test_duplicate_names() -> None:
    nodes = [
        make_node("Relu", ["x"], ["a"], name="R"),
        make_node("Neg", ["x"], ["a"], name="N"),
        make_node("Abs", ["a"], ["y"], name="A"),
    ]
    assert message(model_of(nodes, [tensor("x", [2])], [tensor("y", [2])])).splitlines()[:2] == [
        "test defines more than one value of the same name",
        "  where: 'a' by node R and by node N",
    ]


def test_undefined_values() -> None:
    model = model_of([make_node("Relu", ["z"], ["y"], name="R")], [], [tensor("y", [2])])
    assert message(model) == (
        "test reads values that nothing defines\n  where: 'z', read by node R"
    )


def test_checker() -> None:
    node = make_node("Conv", ["x", "x"], ["y"], name="C", pads="same")
    model = model_of([node], [tensor("x", [1, 1, 3, 3])], [tensor("y", None)])
    text = message(model)
    assert text.startswith("the model breaks the rules of ONNX")
    assert "pads" in text


def test_data_that_does_not_fit() -> None:
    model = convolution()
    model.graph.initializer[0].raw_data = b"\0" * 2000
    assert message(model) == (
        "the data of a tensor does not fit its type and shape\n  where: w\n"
        "  why:   it needs 432 bytes and has 2000"
    )


# External data


def external(tmp_path: Path, location: str, **entries: int) -> Path:
    model = convolution()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        weight.external_data.add(key=key, value=str(value))
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_missing_external_data(tmp_path: Path) -> None:
    path = external(tmp_path, "weights.bin")
    assert message(path) == (
        f"the external data file 'weights.bin' is missing\n  where: w\n  try:   put it into {tmp_path}"
    )
    assert message(path.read_bytes()).startswith(
        "the data of 'w' is in another file, 'weights.bin', and the model came without a folder"
    )


@pytest.mark.parametrize(
    "location",
    ["../secret.bin", "/etc/hostname", "out/secret.bin", "sub/../w.bin", "C:\\w.bin", "..\\w", ""],
)
def test_external_data_outside_of_the_folder(location: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret.bin").write_bytes(b"\0" * 432)
    (folder / "out").symlink_to(tmp_path)
    assert message(external(folder, location)).startswith(
        f"the external data file '{location}' is outside the model's folder\n  where: w"
    )


def test_external_data_may_be_a_link_of_the_user(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "data").write_bytes(np.full(108, 2, np.float32).tobytes())
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    for name in ("w.bin", "sub/w.bin"):
        (folder / name).symlink_to(tmp_path / "disk" / "data")
        assert (load(external(folder, name)).weights["w"] == 2).all()
    (folder / "loop.bin").symlink_to("loop.bin")
    for name in ("loop.bin", "n" * 5000, "sub", "/".join("d" * 3000), "w.bin/x"):
        assert "is missing" in message(external(folder, name))


def test_cache_of_the_hugging_face_hub(tmp_path: Path) -> None:
    """The files of a revision are links to blobs, which are called after their content."""
    blobs, revision = tmp_path / "blobs", tmp_path / "snapshots" / "0123" / "onnx"
    blobs.mkdir()
    revision.mkdir(parents=True)
    external(tmp_path, "model.onnx_data").rename(blobs / "abc")
    (blobs / "def").write_bytes(np.full(108, 3, np.float32).tobytes())
    (revision / "model.onnx").symlink_to("../../../blobs/abc")
    missing = message(revision / "model.onnx")
    assert missing.endswith(f"put it into {revision}")
    (revision / "model.onnx_data").symlink_to("../../../blobs/def")
    assert (load(revision / "model.onnx").weights["w"] == 3).all()
    (tmp_path / "my.onnx").symlink_to(revision / "model.onnx")
    assert "model.onnx_data' is missing" in message(tmp_path / "my.onnx"), "which is not in blobs/"


def test_a_link_to_a_model_finds_its_data(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    path = external(tmp_path / "models", "w.bin")
    (tmp_path / "models" / "w.bin").write_bytes(np.full(108, 4, np.float32).tobytes())
    (tmp_path / "my.onnx").symlink_to(path)
    assert (load(tmp_path / "my.onnx").weights["w"] == 4).all()


def test_short_external_data(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(b"\0" * 500)
    assert message(external(tmp_path, "w.bin", offset=100)) == (
        "the external data file 'w.bin' is too short\n  where: w\n"
        "  why:   the tensor needs 432 bytes at 100, and there are 400"
    )
    assert "says that it has 8" in message(external(tmp_path, "w.bin", length=8))


# Shapes


@pytest.mark.parametrize(
    ("shapes", "expected"),
    [
        ({"y": [1]}, "the model has no input named 'y'\n  try:   its inputs are 'x'"),
        ({"w": [1]}, "the model has no input named 'w'\n  try:   its inputs are 'x'"),
        (
            {"x": [1, 3, 8]},
            "input 'x' has 4 dimensions, and 3 sizes were given\n  where: x=1,3,8\n"
            "  why:   the model declares [1, 3, h, w_]",
        ),
        (
            {"x": [1, 4, 8, 8]},
            "dimension 1 of input 'x' is 3 in the model, not 4\n  where: x=1,4,8,8\n"
            "  why:   the model declares [1, 3, h, w_]",
        ),
        (
            {"x": [1, 3, -1, 8]},
            "the sizes of input 'x' must not be negative\n  where: x=1,3,-1,8",
        ),
    ],
)
def test_wrong_shapes(shapes: dict[str, list[int]], expected: str) -> None:
    assert message(convolution(), shapes=shapes) == expected


def test_contradicting_symbols() -> None:
    inputs = [tensor("a", ["n", 2]), tensor("b", ["n", 2])]
    model = model_of([make_node("Add", ["a", "b"], ["y"])], inputs, [tensor("y", ["n", 2])])
    assert message(model, shapes={"a": [3, 2], "b": [4, 2]}) == (
        "dimension 'n' is given two sizes: 3 by input 'a' and 4 by input 'b'\n"
        "  why:   a symbol has one size in the whole model"
    )


def test_sizes_that_the_operators_cannot_take() -> None:
    inputs = [tensor("a", ["n"]), tensor("b", ["m"])]
    model = model_of([make_node("Add", ["a", "b"], ["y"], name="A")], inputs, [tensor("y", None)])
    text = message(model, shapes={"a": [3], "b": [4]})
    assert text.startswith("the model cannot take inputs of these sizes\n  where: a=3, b=4\n")
    assert "node name: A" in text

"""Arrays in files: each has one of its own, whatever it is called."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import webdnn
from webdnn.array_files import file_stems, read_archive, write_archive, write_arrays
from webdnn.dialects.errors import WebDNNError
from webdnn.runner import run_files


def test_each_array_has_a_file_of_its_own(tmp_path: Path) -> None:
    names = [
        "a/b",
        "a_b",
        "a:b",
        "A_b",
        "",
        "..",
        "../x",
        "/etc/x",
        "con",
        "é",
        "z" * 500,
        "z" * 501,
    ]
    arrays = {name: np.array(i) for i, name in enumerate(names)}
    paths = write_arrays(arrays, tmp_path / "out")
    assert len({path.name.casefold() for path in paths.values()}) == len(names)
    assert {path.parent for path in paths.values()} == {tmp_path / "out"}
    assert sorted(paths.values()) == sorted((tmp_path / "out").iterdir())
    assert all(np.load(paths[name]) == i for i, name in enumerate(names))


def test_names_that_can_be_kept_are_kept() -> None:
    assert file_stems(["a/b", "a_b", "a_b-2", "y"]) == {
        "a/b": "a_b-3",
        "a_b": "a_b",
        "a_b-2": "a_b-2",
        "y": "y",
    }


def test_outputs_of_like_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            [onnx.helper.make_node(o, ["x"], [n]) for o, n in (("Neg", "a/b"), ("Abs", "a_b"))],
            "g",
            [onnx.helper.make_tensor_value_info("x", 1, [2])],
            [onnx.helper.make_tensor_value_info(n, 1, [2]) for n in ("a/b", "a_b")],
        ),
        opset_imports=[onnx.helper.make_opsetid("", 21)],
    )
    x = np.array([1, -2], np.float32)
    np.save(tmp_path / "x.npy", x)
    package = webdnn.compile(model, target="wasm", jobs=1)
    paths = write_arrays(run_files(package, [f"x={tmp_path / 'x.npy'}"], None), tmp_path / "out")
    np.testing.assert_array_equal(np.load(paths["a/b"]), -x)
    np.testing.assert_array_equal(np.load(paths["a_b"]), np.abs(x))


def test_archives_keep_any_name(tmp_path: Path) -> None:
    names = [
        "file",
        "args",
        "allow_pickle",
        "a",
        "a.npy",
        "a/b",
        "a\\b",
        "a\0b",
        "a\0c",
        "%61",
        "é",
        "\udcff",
    ]
    arrays = {name: np.full(3, i) for i, name in enumerate(names)}
    arrays["texts"] = np.array(["x", "yz"], object)
    write_archive(arrays, tmp_path / "w.npz")
    found = read_archive(tmp_path / "w.npz")
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_archives_of_numpy(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "w.npz", a=np.arange(3), b=np.ones((2, 2), np.float32))
    assert {name: a.shape for name, a in read_archive(tmp_path / "w.npz").items()} == {
        "a": (3,),
        "b": (2, 2),
    }


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04" * 9, "pickle"])
def test_damaged_archives(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    if content == "pickle":
        np.savez(path, a=np.array([object()], object))
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(WebDNNError, match="the arrays cannot be read"):
        read_archive(path)

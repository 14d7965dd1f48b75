"""The Python engine on a package that is written by hand: it reads the package format and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_wgsl_printer import ADD_RELU_WGSL

from webdnn.dialects.errors import WebDNNError
from webdnn.engines.wgpu import from_storage, run_webgpu, storage_dtype

COUNT = """\
@group(0) @binding(0) var<storage, read> y: array<f32, 1000>;
@group(0) @binding(1) var<storage, read_write> positive: array<i32, 1000>;

@compute @workgroup_size(64, 1, 1)
fn count(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < 1000) {
    positive[id.x] = i32(y[id.x] > 0.0);
  }
}
"""


def _package(folder: Path, **changes: Any) -> Path:
    """Two launches: y = relu(x + bias), and positive = y > 0 (a truth value is a word)."""
    shaders = (ADD_RELU_WGSL + COUNT).encode()
    first = len(ADD_RELU_WGSL.encode())
    bias = np.arange(10, dtype=np.float32) - 5
    (folder / "kernels.wgsl").write_bytes(shaders)
    (folder / "weights-0.bin").write_bytes(bias.tobytes()[:16])
    (folder / "weights-1.bin").write_bytes(bias.tobytes()[16:])
    whole = {"offset": 0, "bytes": 4000}
    section: dict[str, Any] = {
        "features": [],
        "limits": {},
        "weights": {"bytes": 40, "shards": [{"file": "weights-0.bin"}, {"file": "weights-1.bin"}]},
        "buffers": [
            {"kind": "weights", "bytes": 40, "offset": 0},
            *({"kind": "arena", "bytes": 4000} for _ in range(3)),
        ],
        "shaders": [{"file": "kernels.wgsl"}],
        "kernels": [
            {
                "name": "add_relu", "shader": 0, "range": {"offset": 0, "bytes": first},
                "entryPoint": "add_relu", "bindings": ["read", "read", "read_write"],
            },
            {
                "name": "count", "shader": 0, "range": {"offset": first, "bytes": len(shaders) - first},
                "entryPoint": "count", "bindings": ["read", "read_write"],
            },
        ],
        "launches": [
            {
                "kernel": 0, "workgroups": [16, 1, 1], "label": ["Add_3"],
                "bindings": [{"buffer": 1, **whole}, {"buffer": 0, "offset": 0, "bytes": 40}, {"buffer": 2, **whole}],
            },
            {
                "kernel": 1, "workgroups": [16, 1, 1], "label": ["Greater_5"],
                "bindings": [{"buffer": 2, **whole}, {"buffer": 3, **whole}],
            },
        ],
        "inputs": [{"buffer": 1, **whole, "storage": "f32"}],
        "outputs": [
            {"buffer": 2, **whole, "storage": "f32"},
            {"buffer": 3, **whole, "storage": "u32"},
        ],
    }  # fmt: skip
    manifest = {
        "inputs": [{"name": "x", "dtype": "float32", "shape": [100, 10]}],
        "outputs": [
            {"name": "y", "dtype": "float32", "shape": [100, 10]},
            {"name": "positive", "dtype": "bool", "shape": [100, 10]},
        ],
        "backends": {"webgpu": {**section, **changes}},
    }
    (folder / "model.json").write_text(json.dumps(manifest))
    return folder


def test_package_runs(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(100, 10)).astype(np.float32)
    outputs = run_webgpu(_package(tmp_path), {"x": x})
    expected = np.maximum(x + (np.arange(10, dtype=np.float32) - 5), 0)
    np.testing.assert_array_equal(outputs["y"], expected)
    np.testing.assert_array_equal(outputs["positive"], expected > 0)
    assert outputs["positive"].dtype == np.bool_


@pytest.mark.parametrize(
    ("inputs", "message"),
    [({}, "input is missing"), ({"x": np.zeros((10, 100), np.float32)}, "is 10, and must be 100")],
)
def test_wrong_inputs(tmp_path: Path, inputs: dict[str, Any], message: str) -> None:
    with pytest.raises(WebDNNError, match=message):
        run_webgpu(_package(tmp_path), inputs)


def test_missing_feature_and_limit(tmp_path: Path) -> None:
    x = np.zeros((100, 10), np.float32)
    with pytest.raises(WebDNNError, match="lacks time-travel"):
        run_webgpu(_package(tmp_path, features=["time-travel"]), {"x": x})
    with pytest.raises(WebDNNError, match="maxStorageBufferBindingSize of 1099511627776"):
        run_webgpu(_package(tmp_path, limits={"maxStorageBufferBindingSize": 2**40}), {"x": x})


def test_package_without_webgpu(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text('{"backends": {}}')
    with pytest.raises(WebDNNError, match="no WebGPU back end"):
        run_webgpu(tmp_path, {})


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "float16"]
)
def test_elements_in_32_bit_words(dtype: str) -> None:
    values = np.array([0, 1, 1, 0]) if dtype == "bool" else np.array([0, 1, 2, 100])
    array = values.astype(dtype)
    words = array.astype(storage_dtype(dtype))
    assert words.itemsize == 4
    np.testing.assert_array_equal(from_storage(words, dtype), array)
    if dtype.startswith(("int", "uint")):
        # Only the low bits count: what lies above them is left over from arithmetic.
        bits = np.iinfo(dtype).bits
        if bits < 32:
            np.testing.assert_array_equal(
                from_storage(words + words.dtype.type(1 << bits), dtype), array
            )


def test_64_bits() -> None:
    """Integers of 64 bits are stored as they are; floats of 64 bits cannot be stored."""
    assert storage_dtype("int64") == np.int64
    with pytest.raises(WebDNNError, match="no storage for float64"):
        storage_dtype("float64")

"""Runs a model compiled: wasm in wasmtime, WGSL in wgpu."""

from __future__ import annotations

from typing import Literal

import onnx

import webdnn
from webdnn.dialects.dtypes import Array

Level = Literal["wasm", "webgpu"]


def run_compiled(
    model: onnx.ModelProto, inputs: dict[str, Array], target: Level
) -> dict[str, Array]:
    """Compile a model for one target and run it once; free sizes are bound to those of the inputs."""
    shapes = {name: list(value.shape) for name, value in inputs.items()}
    package = webdnn.compile(model, target=target, shapes=shapes)
    return package.run(inputs, engine="wasmtime" if target == "wasm" else "wgpu")


def run_wasm(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    return run_compiled(model, inputs, "wasm")


def run_webgpu(model: onnx.ModelProto, inputs: dict[str, Array]) -> dict[str, Array]:
    return run_compiled(model, inputs, "webgpu")

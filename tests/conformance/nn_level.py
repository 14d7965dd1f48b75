"""Runs a model on level `nn`: the front end, the lowering to `nn`, and the numpy meaning of its ops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from xdsl.dialects.func import FuncOp

from tests.conformance.cases import bound
from webdnn.dialects.dtypes import Array
from webdnn.dialects.numpy_meaning.nn import run_nn_block
from webdnn.dialects.onnx import SEED
from webdnn.dialects.threefry import seed_words
from webdnn.frontends.onnx import load
from webdnn.lowering.onnx_to_nn.convert import convert_onnx_to_nn
from webdnn.lowering.onnx_to_nn.registry import inlined_operators


def run_on_nn(model: onnx.ModelProto, inputs: Sequence[Any]) -> list[Array]:
    """The outputs of a model; free sizes are bound to those of the inputs."""
    model, inputs = bound(model, inputs)
    names = [v.name for v in model.graph.input]
    shapes = {
        name: list(value.shape)
        for name, value in zip(names, inputs, strict=False)
        if hasattr(value, "shape")
    }
    imported = load(model, shapes, inline=inlined_operators())
    convert_onnx_to_nn(imported.module, imported.weights)
    imported.module.verify()
    function = next(op for op in imported.module.body.block.ops if isinstance(op, FuncOp))
    arguments = [np.asarray(v) for v in inputs]
    if SEED in function.attributes:
        arguments.append(seed_words(0))
    return run_nn_block(function.body.block, tuple(arguments), imported.weights)

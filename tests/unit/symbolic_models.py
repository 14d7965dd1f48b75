"""Models lowered once to `nn` with symbols in their sizes, run in numpy at several sizes beside ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import ModelProto
from xdsl.dialects.builtin import ModuleOp

from webdnn.compiler import CompileOptions, lower
from webdnn.dialects.dtypes import Array
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import WeightStore, attach_weights
from webdnn.frontends.onnx import load
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.dimensions import Dims
from webdnn.lowering.onnx_to_nn.registry import inlined_operators

Sizes = Mapping[str, int]


def lowered_to_nn(
    model: ModelProto | bytes, dims: Dims, shapes: Shapes = ()
) -> tuple[ModuleOp, WeightStore]:
    """A model at the end of stage `nn`."""
    imported = load(model, shapes, dims=dims, inline=inlined_operators())
    attach_weights(imported.module, imported.weights)
    lower(imported.module, "onnx", "nn", None, CompileOptions())
    imported.module.verify()
    return imported.module, imported.weights


def inputs_of(model: ModelProto, sizes: Sizes, seed: int = 0) -> dict[str, Array]:
    """Inputs whose symbols have these values: normal floats, integers from 0 to 9, fair truth values."""
    rng = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for value in model.graph.input:
        tensor = value.type.tensor_type
        shape = [
            eval(d.dim_param, {}, dict(sizes)) if d.dim_param else d.dim_value
            for d in tensor.shape.dim
        ]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        if dtype.kind == "f":
            inputs[value.name] = rng.standard_normal(shape).astype(dtype)
        else:
            inputs[value.name] = rng.integers(0, 2 if dtype.kind == "b" else 10, shape).astype(
                dtype
            )
    return inputs


def check_sizes(
    model: ModelProto | str,
    dims: Dims,
    runs: Sequence[Sizes],
    *,
    shapes: Shapes = (),
    tolerance: float = 1e-5,
) -> ModuleOp:
    """Compare one lowered model with ONNX Runtime at several sizes; gives the module."""
    made = onnx.parser.parse_model(model) if isinstance(model, str) else model
    module, weights = lowered_to_nn(made, dims, shapes)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(made.SerializeToString(), options)
    for number, sizes in enumerate(runs):
        inputs = inputs_of(made, sizes, number)
        expected = session.run(None, inputs)
        got = run_module(module, weights, inputs)
        for (name, mine), theirs in zip(got.items(), expected, strict=True):
            assert isinstance(theirs, np.ndarray)
            assert (mine.dtype, mine.shape) == (theirs.dtype, theirs.shape), (name, sizes)
            span = max(
                1.0,
                np.abs(np.nan_to_num(theirs.astype(np.float64), posinf=0, neginf=0)).max(initial=0),
            )
            np.testing.assert_allclose(
                mine.astype(np.float64), theirs.astype(np.float64), rtol=0, atol=tolerance * span
            )
    return module

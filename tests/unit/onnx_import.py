"""Checks of imported ONNX models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import ModelProto
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin, ModuleOp, NameLoc
from xdsl.dialects.func import Func, FuncOp
from xdsl.ir import Operation

from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.numpy_meaning.onnx import run_module, to_model_proto
from webdnn.dialects.onnx import Onnx
from webdnn.frontends.onnx import ImportedModel

Array = npt.NDArray[Any]

NEWEST = onnx.defs.onnx_opset_version()


def text_of(module: ModuleOp) -> str:
    return ir_text(module)


def parse(text: str) -> ModuleOp:
    context = Context()
    for dialect in (Builtin, Func, Onnx):
        context.load_dialect(dialect)
    return IRParser(context, text).parse_module()


def check_text(imported: ImportedModel) -> None:
    """The module verifies, and its text parses to the same module and prints to the same text."""
    imported.module.verify()
    text = text_of(imported.module)
    parsed = parse(text)
    parsed.verify()
    assert parsed.is_structurally_equivalent(imported.module)
    assert text_of(parsed) == text


def session(model: ModelProto | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    content = model if isinstance(model, bytes) else model.SerializeToString()
    return onnxruntime.InferenceSession(content, options)


def run_session(model: ModelProto | bytes, feeds: Mapping[str, Array]) -> list[Array]:
    return [np.asarray(result) for result in session(model).run(None, dict(feeds))]


def check_meaning(
    model: ModelProto, imported: ImportedModel, feeds: Mapping[str, Array], rtol: float = 1e-5
) -> None:
    """The module, run in numpy and run as a model in ONNX Runtime, computes what ONNX Runtime computes of the model."""
    expected = run_session(model, feeds)
    in_numpy = run_module(imported.module, imported.weights, list(feeds.values()))
    exported = to_model_proto(imported.module, imported.weights)
    for results in (in_numpy, run_session(exported, feeds)):
        for result, wanted in zip(results, expected, strict=True):
            assert result.dtype == wanted.dtype
            np.testing.assert_allclose(result, wanted, rtol=rtol, atol=rtol)


def ops_of(module: ModuleOp, name: str) -> list[Operation]:
    return [op for op in module.walk() if op.name == name]


def main_of(module: ModuleOp) -> FuncOp:
    (function,) = module.ops
    assert isinstance(function, FuncOp)
    return function


def name_of(op: Operation) -> str:
    assert isinstance(op.location, NameLoc)
    return op.location.desc.data


def feeds_of(model: ModelProto, sizes: Mapping[str, int] | None = None) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    initializers = {tensor.name for tensor in model.graph.initializer}
    feeds: dict[str, Array] = {}
    for value in model.graph.input:
        if value.name not in initializers:
            dims = value.type.tensor_type.shape.dim
            shape = [(sizes or {}).get(d.dim_param, d.dim_value) for d in dims]
            dtype = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
            feeds[value.name] = (rng.standard_normal(shape) * 3).astype(dtype)
    return feeds

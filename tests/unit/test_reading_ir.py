"""IR that is printed and read again is the same IR: what is in it, and the code that is made from it."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from xdsl.dialects import arith, llvm
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.utils.exceptions import ParseError

from webdnn.codegen.wasm.llvm_ir import to_llvmlite
from webdnn.dialects.dtypes import array_of_dense, dense_attr
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.passes import context
from webdnn.stages import run_stages

MODEL = """
    <ir_version: 10, opset_import: ["" : 21]>
    example (float[64, 64] x) => (float[64, 64] y) { y = Transpose(x) }
"""
"""Enough work to be shared by threads."""


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("count", [1, 3])
def test_floats_by_their_bits(dtype: type[np.floating], count: int) -> None:
    for value in (np.inf, -np.inf, np.nan, 12583039.0, 1 / 3, -0.0, 65504.0):
        if dtype == np.float16 and value == 12583039.0:
            continue
        array = np.array([value, 1, 2][:count], dtype)
        dense = dense_attr(array)
        read = IRParser(context(), str(dense)).parse_attribute()
        assert isinstance(read, DenseIntOrFPElementsAttr)
        np.testing.assert_array_equal(array_of_dense(read), array)


def test_zeros_of_both_signs() -> None:
    """Two kernels that differ in them alone must not be told apart by nothing."""
    array = np.array([0.0, -0.0], np.float32)
    op = arith.ConstantOp(dense_attr(array))
    read = IRParser(context(), ir_text(op)).parse_operation()
    assert isinstance(read, arith.ConstantOp)
    assert isinstance(read.value, DenseIntOrFPElementsAttr)
    assert np.signbit(array_of_dense(read.value)).tolist() == [False, True]


def test_too_many_bits() -> None:
    with pytest.raises(ParseError, match="0x3F8000000 has more bits than f32"):
        IRParser(context(), "dense<0x3F8000000> : tensor<f32>").parse_attribute()


def test_target_is_read_as_it_was() -> None:
    imported = load(onnx.parser.parse_model(MODEL))
    module = imported.module
    attach_weights(module, imported.weights)
    run_stages(module, "onnx", "target", "wasm")
    read = _read(str(module))
    assert str(read) == str(module)
    assert "noinline" in str(_llvm(module))
    assert str(_llvm(read)) == str(_llvm(module))


def _read(text: str) -> ModuleOp:
    return IRParser(context(), text).parse_module()


def _llvm(module: ModuleOp) -> str:
    functions = [op.clone() for op in module.ops if isinstance(op, llvm.FuncOp)]
    return str(to_llvmlite(ModuleOp(functions), triple="wasm32-unknown-unknown"))

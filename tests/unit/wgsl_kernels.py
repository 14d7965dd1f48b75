"""GPU kernels of level `loops`, written as text, for the tests of the WGSL target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects import get_all_dialects
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from webdnn.engines.wgpu import run_kernel
from webdnn.universe import WEBDNN_UNIVERSE

Array = npt.NDArray[Any]

IR_TYPES = {
    "float32": "f32", "float16": "f16", "int32": "i32", "uint32": "i32", "int16": "i16",
    "uint16": "i16", "int8": "i8", "uint8": "i8", "bool": "i1",
}  # fmt: skip


@cache
def context() -> Context:
    ctx = Context()
    for name, load in {**get_all_dialects(), **WEBDNN_UNIVERSE.all_dialects}.items():
        ctx.register_dialect(name, load)
    return ctx


def parse(text: str) -> ModuleOp:
    """A verified module."""
    module = Parser(context(), text).parse_module()
    module.verify()
    return module


def launch(grid: Sequence[int] = (1, 1, 1), workgroup: Sequence[int] = (64, 1, 1)) -> str:
    """The attributes of a kernel with one output."""
    x, y, z = grid
    a, b, c = workgroup
    return (
        f"attributes {{num_outputs = 1 : i64, grid = [{x} : i64, {y} : i64, {z} : i64], "
        f"workgroup = [{a} : i64, {b} : i64, {c} : i64]}}"
    )


def elementwise(body: str, inputs: Sequence[str], output: str, size: int) -> str:
    """A kernel that computes `%r` from `%a`, `%b` ... (types of the IR) in each of `size` invocations."""
    names = "abcd"[: len(inputs)]
    operands = ", ".join(f"%in_{n}: memref<{size}x{t}>" for n, t in zip(names, inputs, strict=True))
    loads = "\n    ".join(
        f"%{n} = memref.load %in_{n}[%i] : memref<{size}x{t}>"
        for n, t in zip(names, inputs, strict=True)
    )
    return f"""
kernel.func @elementwise({operands}, %out: memref<{size}x{output}>)
    {launch(((size + 63) // 64, 1, 1))} {{
  %block = "gpu.block_id"() {{dimension = #gpu<dim x>}} : () -> index
  %thread = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %width = arith.constant 64 : index
  %size = arith.constant {size} : index
  %start = arith.muli %block, %width : index
  %i = arith.addi %start, %thread : index
  %inside = arith.cmpi slt, %i, %size : index
  scf.if %inside {{
    {loads}
    {body}
    memref.store %r, %out[%i] : memref<{size}x{output}>
  }}
  kernel.return
}}
"""


def run_elementwise(body: str, arrays: Sequence[Array], output: str) -> Array:
    """Run `body` (see `elementwise`) on arrays of one size; the result has the type `output` of the IR."""
    text = elementwise(body, [IR_TYPES[a.dtype.name] for a in arrays], output, arrays[0].size)
    (result,) = run_kernel(parse(text), "elementwise", arrays)
    return result


def relative_error(actual: Array, expected: Array) -> float:
    """The largest error relative to the expected value, where that is finite and not subnormal."""
    exact = expected.astype(np.float64)
    counted = np.isfinite(exact) & (np.abs(exact) > 1.2e-38)
    return float(
        np.max(np.abs(actual[counted] - exact[counted]) / np.abs(exact[counted]), initial=0)
    )

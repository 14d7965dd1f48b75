"""CPU kernels of level `loops`, written as text, run in wasmtime for the tests of the wasm target."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from xdsl.context import Context
from xdsl.dialects import get_all_dialects
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from webdnn.engines.wasmtime import run_kernel
from webdnn.universe import WEBDNN_UNIVERSE

Array = npt.NDArray[Any]

DTYPES: dict[str, Any] = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16,
    "i64": np.int64, "i32": np.int32, "i16": np.int16, "i8": np.int8, "i1": np.bool_,
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


def elementwise(
    body: str, inputs: Sequence[str], output: str, count: int, lanes: int | None = None
) -> ModuleOp:
    """A kernel @k that applies `body` to each element.

    Args:
        body: ops that make %r of %a, %b, ...; `{T}` and `{R}` stand for the type of %a and of %r.
        inputs: the element types of %a, %b, ...
        output: the element type of %r.
        count: how many elements.
        lanes: how many at a time, as a vector; `None` for scalars.
    """

    def kind(element: str) -> str:
        return f"vector<{lanes}x{element}>" if lanes else element

    def access(element: str) -> str:
        return f"memref<{count}x{element}>" + (f", {kind(element)}" if lanes else "")

    op = "vector" if lanes else "memref"
    names = "abcd"[: len(inputs)]
    args = ", ".join(f"%m{n}: memref<{count}x{t}>" for n, t in zip(names, inputs, strict=True))
    loads = "\n".join(
        f"%{n} = {op}.load %m{n}[%i] : {access(t)}" for n, t in zip(names, inputs, strict=True)
    )
    filled = body.replace("{T}", kind(inputs[0])).replace("{R}", kind(output))
    return parse(f"""
    kernel.func @k({args}, %out: memref<{count}x{output}>) attributes {{num_outputs = 1 : i64}} {{
      %c0 = arith.constant 0 : index
      %cn = arith.constant {count} : index
      %cs = arith.constant {lanes or 1} : index
      scf.for %i = %c0 to %cn step %cs {{
        {loads}
        {filled}
        {op}.store %r, %out[%i] : {access(output)}
      }}
      kernel.return
    }}""")


def apply(
    body: str,
    arrays: Sequence[Array],
    types: Sequence[str],
    output: str,
    lanes: int | None = None,
    *,
    relaxed: bool = False,
) -> Array:
    """Runs an elementwise kernel; see `elementwise`. The arrays have one length, a multiple of `lanes`."""
    module = elementwise(body, types, output, arrays[0].size, lanes)
    shape = (arrays[0].size,)
    return run_kernel(module, "k", arrays, [(shape, DTYPES[output])], relaxed=relaxed)[0]

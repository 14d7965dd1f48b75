"""Builds kernels of level `kernels` for the tests of the lowering to GPU loops, and runs what they become."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import IntegerType, ModuleOp, TensorType, f16, f32, i1
from xdsl.ir import Attribute, Block, SSAValue

from webdnn.dialects.kernel import FuncOp, ReturnOp, ScheduleAttr
from webdnn.engines.wgpu import run_kernel
from webdnn.lowering.loops_gpu.lower import lower_kernel
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder

Array = npt.NDArray[Any]

ELEMENTS: dict[str, Attribute] = {
    "float32": f32,
    "float16": f16,
    "bool": i1,
    **{f"{sign}int{n}": IntegerType(n) for n in (8, 16, 32) for sign in ("", "u")},
}


def tensor_type(array: Array) -> TensorType[Attribute]:
    """The tensor type of an array."""
    return TensorType(ELEMENTS[array.dtype.name], array.shape)


def make_kernel(
    arrays: Sequence[Array],
    build: Callable[[RegionBuilder], SSAValue | Sequence[SSAValue]],
    schedule: dict[str, Any] | None = None,
) -> FuncOp:
    """A kernel whose inputs have the types of the arrays; `build` gives its results."""
    outer = Block(arg_types=[tensor_type(a) for a in arrays])
    region = RegionBuilder(outer.args)
    results = build(region)
    results = [results] if isinstance(results, SSAValue) else list(results)
    region.builder.insert(ReturnOp(*results))
    block = region.block
    from xdsl.ir import Region

    func = FuncOp(
        "k",
        ([a.type for a in block.args], [v.type for v in results]),
        Region(block),
        schedule=None if schedule is None else ScheduleAttr.of(schedule),
    )
    func.verify()
    return func


def run_on_gpu(func: FuncOp, arrays: Sequence[Array]) -> list[Array]:
    """The outputs of a kernel of level `kernels`, lowered to WGSL and run by wgpu."""
    shapes = [t.get_shape() for t in func.function_type.outputs]  # pyright: ignore
    module = ModuleOp([lower_kernel(func.clone())])
    module.verify()
    outputs = run_kernel(module, "k", arrays)
    return [o.reshape(s) for o, s in zip(outputs, shapes, strict=True)]


def assert_close(actual: Array, expected: Array, tolerance: float = 1e-5) -> None:
    """Equal up to `tolerance` of the range of the expected values."""
    assert actual.shape == expected.shape
    if expected.size == 0:
        return
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    scale = max(float(np.abs(expected).max()), 1e-30)
    error = float(np.abs(actual.astype(np.float64) - expected).max()) / scale
    assert error <= tolerance, f"relative error {error}"

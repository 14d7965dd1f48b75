"""A schedule must not change what a kernel computes, but for the order of sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp, TensorType
from xdsl.ir import Attribute

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.engines.wasmtime import run_kernel
from webdnn.lowering.kernels.apply_schedules import write_entry
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS, lower_kernel
from webdnn.lowering.loops_cpu.pack import choose_packings
from webdnn.lowering.packing import pack_operand
from webdnn.tuning.candidates import Candidate

TOLERANCE = 1e-4
"""The largest difference, relative to the largest result: sums in another order differ by much less."""


def computes_the_same(
    func: FuncOp, weights: Sequence[int], one: Candidate, other: Candidate
) -> bool:
    """Whether two schedules of a kernel give the same results on random operands, in wasmtime.

    Args:
        func: the kernel on level `kernels`, not packed.
        weights: the operands that may be packed.
    """
    generator = np.random.default_rng(0)
    inputs = [_random(type, generator) for type in func.function_type.inputs]
    try:
        results = [_run(func, weights, candidate, inputs) for candidate in (one, other)]
    except WebDNNError:
        return False
    return all(_close(a, b) for a, b in zip(*results, strict=True))


def _run(
    func: FuncOp, weights: Sequence[int], candidate: Candidate, inputs: Sequence[Array]
) -> list[Array]:
    copy = func.clone()
    write_entry(copy, candidate.entry())
    arrays = list(inputs)
    for packing in choose_packings(copy, weights, scratch_elements=SCRATCH_ELEMENTS):
        pack_operand(copy, packing)
        arrays[packing.operand] = packing.apply(arrays[packing.operand])
    outputs = [(_tensor(t).get_shape(), _dtype(t)) for t in func.function_type.outputs]
    module = ModuleOp([lower_kernel(copy)])
    return run_kernel(module, func.sym_name.data, arrays, outputs)


def _close(a: Array, b: Array) -> bool:
    if a.dtype.kind in "iub":
        return bool(np.array_equal(a, b))
    x, y = a.astype(np.float64), b.astype(np.float64)
    finite = np.isfinite(x) & np.isfinite(y)
    scale = float(np.max(np.abs(x[finite]), initial=0.0)) or 1.0
    same = (x == y) | (np.isnan(x) & np.isnan(y)) | (np.abs(x - y) <= TOLERANCE * scale)
    return bool(same.all())


def _random(type: Attribute, generator: np.random.Generator) -> Array:
    """Small floats, truth values, and zeros for other integers, which may be indices."""
    shape, dtype = _tensor(type).get_shape(), _dtype(type)
    if dtype == np.bool_:
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype == np.int8:
        return generator.integers(-100, 100, shape).astype(dtype)
    if dtype.kind in "iu":
        return np.zeros(shape, dtype)
    return generator.standard_normal(shape, np.float32).astype(dtype)


def _tensor(type: Attribute) -> TensorType[Attribute]:
    assert isinstance(type, TensorType)
    return type


def _dtype(type: Attribute) -> np.dtype[Any]:
    return numpy_dtype(_tensor(type).element_type)

"""Products of small integers on a CPU: sums of pairs, exact to the last bit, on ragged shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import IntegerType, i8, i16, i32
from xdsl.ir import SSAValue

from tests.unit.kernels import Kernel, Scalars, check, compare, dims
from tests.unit.wasm_kernels import apply
from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.nn.base import shape_of
from webdnn.dialects.numpy_meaning.arith import dtype_of
from webdnn.dialects.numpy_meaning.kernel import run_kernel
from webdnn.lowering.loops_cpu.lower import SCRATCH_ELEMENTS
from webdnn.lowering.loops_cpu.pack import choose_packings
from webdnn.lowering.packing import pack_operand


def madd(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
    """`acc + x * w` in 32 bits."""
    x, w = (s(arith.ExtSIOp, v, i32) for v in a[:2])
    return s(arith.AddiOp, s(arith.MuliOp, x, w), a[2])


def doubled(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
    return s(arith.AddiOp, a[0], s(arith.AddiOp, a[0], a[1]))


def matmul(m: int, n: int, k: int, x: IntegerType, w: IntegerType) -> FuncOp:
    """`2 * (A[m, k] @ B[k, n]) + bias[n]`."""
    kernel = Kernel("matmul", [([m, k], x), ([k, n], w), ([n], i32)])
    a, b, bias = kernel.args
    i, j, p = dims(3)
    out = kernel.fill([m, n], 0, i32)
    c = kernel.generic([(a, [i, p]), (b, [p, j])], [(out, [i, j])], "ppr", madd)
    return kernel.done(kernel.elementwise([c, bias], doubled))


def conv(size: int, c: int, m: int, window: int, stride: int = 1) -> FuncOp:
    """A convolution of a map of i16 with filters of i8."""
    out = (size - window) // stride + 1
    kernel = Kernel("conv", [([2, size, size, c], i16), ([window, window, c, m], i8), ([m], i32)])
    x, w, bias = kernel.args
    n, y, z, o, ky, kx, p = dims(7)
    r = kernel.generic(
        [(x, [n, y * stride + ky, z * stride + kx, p]), (w, [ky, kx, p, o])],
        [(kernel.fill([2, out, out, m], 0, i32), [n, y, z, o])],
        "pppprrr",
        madd,
    )
    return kernel.done(kernel.elementwise([r, bias], doubled))


def inputs_of(func: FuncOp) -> list[Array]:
    """Integers of the whole range of their type."""
    rng = np.random.default_rng(0)
    arrays: list[Array] = []
    for type in func.function_type.inputs:
        dtype = dtype_of(type)
        limits = np.iinfo(dtype)
        shape = shape_of(type)
        arrays.append(rng.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype))
    return arrays


@pytest.mark.parametrize(
    "func",
    [
        matmul(12, 16, 32, i16, i8),
        matmul(7, 9, 13, i16, i8),
        matmul(1, 33, 70, i16, i8),
        matmul(6, 12, 64, i16, i16),
        matmul(5, 20, 9, i8, i8),
        conv(7, 8, 16, 1),
        conv(6, 4, 8, 3),
        conv(9, 3, 10, 3, stride=2),
        conv(5, 5, 5, 2),
    ],
    ids=lambda func: func.sym_name.data,
)
def test_packed_in_pairs(func: FuncOp) -> None:
    inputs = inputs_of(func)
    wanted = run_kernel(func, inputs)
    func = func.clone()
    (packing,) = choose_packings(func, [1], scratch_elements=SCRATCH_ELEMENTS)
    assert packing.pairs is not None
    pack_operand(func, packing)
    func.verify()
    inputs[1] = packing.apply(inputs[1])
    assert inputs[1].shape == packing.packed
    compare(run_kernel(func, inputs), wanted)
    lowered = check(func, inputs=inputs)
    assert "vector_ext.dot" in str(lowered) and "arith.muli %" not in str(lowered).split("dot")[1]


@pytest.mark.parametrize(
    "func",
    [matmul(5, 7, 9, i16, i8), matmul(13, 1, 66, i16, i8), conv(6, 4, 8, 3)],
    ids=lambda func: func.sym_name.data,
)
def test_not_packed(func: FuncOp) -> None:
    check(func, inputs=inputs_of(func))


@pytest.mark.parametrize("width", [1, 2, 3, 4, 8, 12])
def test_dot_op(width: int) -> None:
    rng = np.random.default_rng(width)
    x = rng.integers(-(1 << 15), 1 << 15, 4 * width).astype(np.int16)
    acc = rng.integers(-(1 << 31), 1 << 31, 4 * width).astype(np.int32)
    body = (
        "%p = vector.shuffle %a, %a [" + ", ".join(str(i // 2) for i in range(2 * width)) + "]"
        f" : {{T}}, {{T}}\n"
        f"%q = vector_ext.dot %p, %p, %b : vector<{2 * width}xi16>, vector<{width}xi32>\n"
        f"%r = vector_ext.dot %p, %p, %q : vector<{2 * width}xi16>, vector<{width}xi32>"
    )
    wanted = acc + 4 * x.astype(np.int64) ** 2
    got = apply(body, [x, acc], ["i16", "i32"], "i32", width)
    np.testing.assert_array_equal(got, wanted.astype(np.int32))

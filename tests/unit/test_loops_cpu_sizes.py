"""Kernels whose sizes are symbols, lowered once and run at several sizes, as loops in numpy and in wasmtime."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from xdsl.dialects import arith, math, tensor
from xdsl.dialects.builtin import f32, i16, i32, i64
from xdsl.ir import SSAValue

from tests.unit import kernels as k
from webdnn.dialects.kernel import ScheduleAttr, SizeOp
from webdnn.dialects.linalg_ext import CountingSortOp, SelectOp, TopKOp
from webdnn.dialects.sizes.expression import Symbol
from webdnn.lowering.loops_cpu.target import WASM

N = Symbol("n0", 0, 70).size
M = Symbol("n1", 1, 40).size
H = Symbol("n0", 5, 40).size
W = Symbol("n1", 5, 40).size
EVEN = Symbol("n0", 4, 64, unit=4).size


@pytest.mark.parametrize("relu", [True, False])
def test_matrix_product(relu: bool) -> None:
    k.check_at(k.matmul(N, 24, 20, epilogue=relu), [0], [1], [7], [64], [70], shared=relu)


def test_product_of_symbolic_columns_and_depth() -> None:
    k.check_at(k.matmul(5, N, M), [0, 3], [1, 1], [17, 40], [70, 5])
    k.check_at(k.matmul(M, 8, N), [3, 0], [1, 1], [13, 70])


def test_batched_product() -> None:
    k.check_at(k.batched_matmul_bt(2, N, N, 16), [1], [33], [70])
    k.check_at(k.batched_matmul_bt(N, 3, M, 8), [1, 1], [3, 33])


def test_convolution() -> None:
    k.check_at(k.conv([H, W], 3, 8, [3, 3]), [5, 5], [9, 40], [40, 17], shared=True)
    k.check_at(k.conv([H, W], 4, 8, [3, 3], stride=2), [5, 5], [9, 40], [40, 17])
    k.check_at(k.conv([H, W], 8, 8, [3, 3], groups=8), [5, 6], [9, 40])
    k.check_at(k.conv([EVEN], 8, 8, [1]), [4], [64])


def test_pooling() -> None:
    k.check_at(k.max_pool(H, W, 8, 3, 2), [5, 5], [9, 40], [40, 17])


def test_rows() -> None:
    k.check_at(k.softmax([3, N]), [1], [7], [64], [70])
    k.check_at(k.softmax([N, 20]), [0], [1], [7], [70], shared=True)
    k.check_at(k.softmax([2, N, M]), [1, 1], [7, 40])
    k.check_at(k.norm([1, N, 24], [2]), [0], [1], [7], [70])
    k.check_at(k.norm([N, M, 24], [2]), [1, 1], [7, 40])


def test_transposition() -> None:
    k.check_at(k.transpose([N, M], [1, 0]), [0, 1], [1, 1], [9, 40], [70, 5])
    k.check_at(k.transpose([N, 4, 16], [1, 0, 2]), [1], [9])
    k.check_at(k.transpose([2, 16, N], [0, 2, 1]), [1], [9], [64])


def test_elementwise() -> None:
    kernel = k.Kernel("sum", [[N, M], [N, M], [M]])
    a, b, c = kernel.args
    func = kernel.done(
        kernel.elementwise(
            [a, b, c], lambda s, v: s(arith.AddfOp, s(arith.MulfOp, v[0], v[1]), v[2])
        )
    )
    k.check_at(func, [0, 1], [1, 1], [7, 3], [70, 40], shared=True)


def test_order() -> None:
    kernel = k.Kernel("top", [([M, N], i32)])
    top = kernel.add(TopKOp(kernel.args[0], 3)).results[0]
    k.check_at(kernel.done(top), [1, 3], [40, 70])
    kernel = k.Kernel("select", [([M, N], i64)])
    chosen = kernel.add(SelectOp(kernel.args[0], 3)).results[0]
    k.check_at(kernel.done(chosen), [1, 3], [40, 70])
    kernel = k.Kernel("sort", [([M, N], i32)])
    order = kernel.add(CountingSortOp(kernel.args[0], None, 0)).results[0]
    k.check_at(kernel.done(order), [1, 3], [40, 70])


def test_parts_side_by_side() -> None:
    kernel = k.Kernel("concat", [[M, 3], [N, 3], [M, 3]])
    out = kernel.add(tensor.ConcatOp(kernel.args, 0, k.tensor_type(f32, [M + N + M, 3]))).results[0]
    plain = kernel.done(out)
    k.check_at(plain, [1, 0], [40, 7])
    kernel = k.Kernel("concat_exp", [[M, 3], [N, 3]])
    both = kernel.add(tensor.ConcatOp(kernel.args, 0, k.tensor_type(f32, [M + N, 3]))).results[0]
    func = kernel.done(kernel.elementwise([both], lambda s, v: s(math.ExpOp, v[0])))
    k.check_at(func, [1, 0], [40, 7])


def test_long_sums_and_means() -> None:
    long = Symbol("n0", 1, 5000, likely=2000).size
    kernel = k.Kernel("mean", [[3, long]])
    i, j = k.dims(2)
    total = kernel.generic(
        [(kernel.args[0], [i, j])],
        [(kernel.fill([3], 0.0), [i])],
        "pr",
        lambda s, a: s(arith.AddfOp, a[1], a[0]),
    )

    def divide(s: k.Scalars, a: Sequence[SSAValue]) -> SSAValue:
        count = s.builder.insert(SizeOp(long)).res
        whole = s(arith.IndexCastOp, count, i32)
        return s(arith.DivfOp, a[0], s(arith.SIToFPOp, whole, f32))

    k.check_at(kernel.done(kernel.elementwise([total], divide)), [1], [511], [4999])


def test_packed_panels_and_pairs() -> None:
    func = k.matmul(N, 20, 24)
    assert WASM.pack(func, [1])
    k.check_at(func, [0], [1], [5], [70], shared=True)
    kernel = k.Kernel("integers", [([N, 30], i16), ([30, 20], i16)])
    i, j, p = k.dims(3)

    def widened(s: k.Scalars, a: Sequence[SSAValue]) -> SSAValue:
        x, y = (s(arith.ExtSIOp, v, i32) for v in a[:2])
        return s(arith.AddiOp, a[2], s(arith.MuliOp, x, y))

    func = kernel.done(
        kernel.generic(
            [(kernel.args[0], [i, p]), (kernel.args[1], [p, j])],
            [(kernel.fill([N, 20], 0, i32), [i, j])],
            "ppr",
            widened,
        )
    )
    assert WASM.pack(func, [1])
    k.check_at(func, [0], [1], [5], [70])


def test_transposed_squares() -> None:
    lowered = k.check_at(k.transpose([EVEN, 32], [1, 0]), [4], [8], [64])
    assert any(op.name == "vector.shuffle" for op in lowered.walk())


def test_rows_too_long_for_scratch_memory() -> None:
    """Their exponentials are computed twice."""
    k.check_at(k.softmax([3, Symbol("n0", 1, 10**6).size]), [1], [70])


def test_rows_of_an_image_as_one() -> None:
    func = k.conv([H, W], 4, 8, [3, 3])
    func.schedule = ScheduleAttr.of(
        {"strategy": "tiles", "merge": [0], "tile": [6, 8, 1, 4], "vector": 1, "order": [0, 1]}
    )
    k.check_at(func, [5, 5], [9, 40], [40, 17], shared=True)

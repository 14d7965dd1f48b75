"""Kernels whose sizes are symbols, lowered once and run at several sizes, as loops in numpy and in wasmtime."""

from __future__ import annotations

import pytest
from xdsl.dialects import arith

from tests.unit import kernels as k
from webdnn.dialects.sizes.expression import Symbol

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

"""Kernels lowered to CPU loops: their meaning before, their meaning after, and WebAssembly agree."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import f64, i8, i32, i64

from tests.unit import index_kernels as ik
from tests.unit import kernels as k
from tests.unit.kernels import check
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp

PRODUCTS: dict[str, Callable[[], FuncOp]] = {
    "whole tiles": lambda: k.matmul(12, 16, 20),
    "ragged": lambda: k.matmul(7, 9, 5),
    "one row": lambda: k.matmul(1, 33, 70),
    "one column": lambda: k.matmul(13, 1, 66),
    "one element": lambda: k.matmul(1, 1, 1),
    "no terms": lambda: k.matmul(3, 4, 0),
    "no rows": lambda: k.matmul(0, 4, 3),
    "without epilogue": lambda: k.matmul(5, 6, 7, epilogue=False),
    "transposed": lambda: k.batched_matmul_bt(2, 5, 6, 9),
    "transposed and long": lambda: k.batched_matmul_bt(2, 5, 7, 64),
    "i64": lambda: ik.matmul_of(i64, 5, 7, 9),
    "i32": lambda: ik.matmul_of(i32, 6, 8, 4),
    "f64": lambda: ik.matmul_of(f64, 7, 5, 9),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_product(name: str) -> None:
    check(PRODUCTS[name]())


CONVOLUTIONS: dict[str, Callable[[], FuncOp]] = {
    "3x3": lambda: k.conv([6, 6], 3, 5, [3, 3]),
    "rows as one line": lambda: k.conv([9, 9], 8, 8, [3, 3]),
    "strided": lambda: k.conv([9, 9], 8, 17, [3, 3], stride=2, n=2),
    "pointwise": lambda: k.conv([7, 7], 16, 24, [1, 1]),
    "pointwise and strided": lambda: k.conv([7, 7], 6, 4, [1, 1], stride=2),
    "dilated, of one dimension": lambda: k.conv([10], 4, 8, [3], dilation=2),
    "of three dimensions": lambda: k.conv([5, 6, 7], 3, 4, [2, 3, 2]),
    "depthwise": lambda: k.conv([6, 11], 6, 6, [3, 3], groups=6),
    "depthwise and strided": lambda: k.conv([9, 9], 5, 5, [3, 3], groups=5, stride=2),
    "grouped": lambda: k.conv([6, 6], 6, 8, [3, 3], groups=2),
    "one output channel": lambda: k.conv([6, 6], 20, 1, [1, 1]),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution(name: str) -> None:
    check(CONVOLUTIONS[name]())


REDUCTIONS: dict[str, Callable[[], FuncOp]] = {
    "max pool": lambda: k.max_pool(9, 9, 5, 3, 2),
    "sums of rows": lambda: ik.sum_and_squares(5, 70, 1),
    "sums of columns": lambda: ik.sum_and_squares(70, 6, 0),
    "softmax": lambda: k.softmax([2, 3, 70]),
    "softmax of short rows": lambda: k.softmax([5, 3]),
    "softmax of one element": lambda: k.softmax([5, 1]),
    "norm of rows": lambda: k.norm([2, 3, 33], [2]),
    "norm of an image": lambda: k.norm([2, 4, 5, 9], [1, 2]),
    "norm of the middle": lambda: k.norm([2, 3, 16], [1]),
    "norm of everything": lambda: k.norm([3, 5], [0, 1]),
    "argmax of rows": lambda: ik.argmax([3, 9], 1),
    "argmax of columns": lambda: ik.argmax([4, 9], 0),
    "bytes": lambda: ik.reduce_integers(4, 21, i8),
    "i32": lambda: ik.reduce_integers(4, 21, i32),
    "i64": lambda: ik.reduce_integers(4, 5, i64),
    "truth values": lambda: ik.mask(19),
}


@pytest.mark.parametrize("name", REDUCTIONS)
def test_reduction(name: str) -> None:
    check(REDUCTIONS[name]())


MOVES: dict[str, Callable[[], FuncOp]] = {
    "transpose": lambda: k.transpose([8, 16], [1, 0]),
    "transpose of ragged blocks": lambda: k.transpose([5, 11], [1, 0]),
    "channels last": lambda: k.transpose([2, 3, 5, 7], [0, 2, 3, 1]),
    "channels first": lambda: k.transpose([2, 5, 7, 6], [0, 3, 1, 2]),
    "outer axes": lambda: k.transpose([3, 4, 9], [1, 0, 2]),
    "concat of channels": lambda: ik.concat([[2, 3, 5], [2, 3, 8], [2, 3, 1]], 2),
    "concat of rows": lambda: ik.concat([[2, 5], [3, 5]], 0),
    "concat and relu": lambda: ik.concat([[4, 3], [4, 6], [4, 2]], 1, relu=True),
    "concat of rows and relu": lambda: ik.concat([[2, 6], [3, 6]], 0, relu=True),
    "rows of a table": lambda: ik.gather_rows(7, 11, 5),
    "columns of a table": lambda: ik.gather_columns(3, 9, 6),
    "padding of an image": lambda: ik.pad([3, 4, 5], [1, 2, 0], [2, 0, 0], 0.5),
    "padding of the last axis": lambda: ik.pad([3, 6], [0, 3], [0, 2], -1.0),
    "resize": lambda: ik.nearest_resize(3, 4, 6, 2),
    "maps with divisions": lambda: ik.repeat_by_map(6, 3),
    "every other element": lambda: ik.interleave(9),
    "backwards": lambda: ik.reversed_rows(3, 10),
    "casts": lambda: ik.casts(11),
}


@pytest.mark.parametrize("name", MOVES)
def test_move(name: str) -> None:
    check(MOVES[name]())


def test_broadcast() -> None:
    kernel = k.Kernel("broadcast", [[2, 5, 6], [5, 1], [6]])
    func = kernel.done(
        kernel.elementwise(
            kernel.args,
            lambda s, a: s(arith.MulfOp, s(arith.AddfOp, a[0], a[1]), a[2]),
        )
    )
    check(func)


def test_two_outputs_of_one_shape_are_one_loop() -> None:
    kernel = k.Kernel("two", [[4, 8]])
    (x,) = kernel.args
    func = kernel.done(
        kernel.elementwise([x], k.relu),
        kernel.elementwise([x], lambda s, a: s(arith.NegfOp, a[0])),
    )
    lowered = check(func)
    assert str(lowered).count("vector.load") == str(lowered).count("vector.store") // 2


def test_results_that_are_inputs_or_constants() -> None:
    kernel = k.Kernel("trivial", [[3, 5]])
    func = kernel.done(kernel.args[0], kernel.fill([7], 2.5))
    check(func)


def test_result_used_inside_and_returned() -> None:
    """A product is returned, and its relu too."""
    kernel = k.Kernel("both", [[5, 8], [8, 9]])
    a, b = kernel.args
    i, j, p = k.dims(3)
    c = kernel.generic(
        [(a, [i, p]), (b, [p, j])], [(kernel.fill([5, 9], 0.0), [i, j])], "ppr", k.madd
    )
    check(kernel.done(c, kernel.elementwise([c], k.relu)))


def test_two_products_added() -> None:
    """The first product needs a place in memory; its rows are shared with the second."""
    kernel = k.Kernel("sum", [[5, 8], [8, 9], [5, 6], [6, 9]])
    i, j, p = k.dims(3)
    products = [
        kernel.generic(
            [(kernel.args[n], [i, p]), (kernel.args[n + 1], [p, j])],
            [(kernel.fill([5, 9], 0.0), [i, j])],
            "ppr",
            k.madd,
        )
        for n in (0, 2)
    ]
    check(kernel.done(kernel.elementwise(products, lambda s, a: s(arith.AddfOp, a[0], a[1]))))


def test_values_at_the_edges_of_floats() -> None:
    func = k.softmax([3, 8])
    x = np.zeros((3, 8), np.float32)
    x[0, 2], x[1] = 80.0, -1e30
    check(func, inputs=[x])


def test_too_much_scratch_is_refused() -> None:
    """A sum over the whole of a product cannot be in one kernel with it."""
    kernel = k.Kernel("chain", [[40, 300], [300, 8]])
    b, c = kernel.args
    i, j, p = k.dims(3)
    first = kernel.generic(
        [(b, [p, i]), (b, [p, j])], [(kernel.fill([300, 300], 0.0), [i, j])], "ppr", k.madd
    )
    n, p, q = k.dims(3)
    second = kernel.generic(
        [(first, [p, q]), (c, [q, n])], [(kernel.fill([8], 0.0), [n])], "prr", k.madd
    )
    with pytest.raises(WebDNNError, match="scratch"):
        check(kernel.done(second))

"""The numpy meaning of kernels on tensors, against numpy itself."""

from __future__ import annotations

import time

import numpy as np
import pytest
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp, i8
from xdsl.interpreter import Interpreter

from tests.unit import index_kernels as ik
from tests.unit import kernels as k
from tests.unit.kernels import random_inputs
from webdnn.dialects.numpy_meaning import linalg as meaning
from webdnn.dialects.numpy_meaning.kernel import register_kernel_meanings, run_kernel


@pytest.fixture(params=[64, meaning.PIECE])
def pieces(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Iteration spaces in many pieces, and in one."""
    monkeypatch.setattr(meaning, "PIECE", request.param)


@pytest.mark.usefixtures("pieces")
def test_matmul() -> None:
    func = k.matmul(7, 9, 11)
    a, b, bias = random_inputs(func)
    (result,) = run_kernel(func, [a, b, bias])
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, np.maximum(a @ b + bias, 0), atol=1e-5)


@pytest.mark.usefixtures("pieces")
def test_convolution() -> None:
    func = k.conv([9, 8], 3, 5, [3, 2], stride=2, n=2, epilogue=False)
    x, w, _ = random_inputs(func)
    wanted = np.zeros((2, 4, 4, 5), np.float32)
    for ky in range(3):
        for kx in range(2):
            wanted += x[:, ky : ky + 7 : 2, kx : kx + 7 : 2] @ w[ky, kx]
    np.testing.assert_allclose(run_kernel(func, random_inputs(func))[0], wanted, atol=1e-5)


@pytest.mark.usefixtures("pieces")
def test_depthwise_convolution() -> None:
    func = k.conv([6, 7], 4, 4, [3, 3], groups=4, epilogue=False)
    x, w, _ = random_inputs(func)
    wanted = np.zeros((1, 4, 5, 4), np.float32)
    for ky in range(3):
        for kx in range(3):
            wanted += x[:, ky : ky + 4, kx : kx + 5] * w[ky, kx, 0]
    np.testing.assert_allclose(run_kernel(func, random_inputs(func))[0], wanted, atol=1e-5)


@pytest.mark.usefixtures("pieces")
def test_max_pool() -> None:
    func = k.max_pool(7, 7, 3, 3, 2)
    x, w = random_inputs(func)
    windows = np.lib.stride_tricks.sliding_window_view(x[0], (3, 3), (0, 1))[::2, ::2]
    np.testing.assert_array_equal(run_kernel(func, [x, w])[0][0], windows.max((-1, -2)))


@pytest.mark.usefixtures("pieces")
def test_softmax() -> None:
    func = k.softmax([3, 4, 10])
    (x,) = random_inputs(func)
    e = np.exp(x - x.max(-1, keepdims=True))
    np.testing.assert_allclose(run_kernel(func, [x])[0], e / e.sum(-1, keepdims=True), atol=1e-6)


def test_results_of_one_reduction() -> None:
    func = ik.argmax([4, 9], 1)
    (x,) = random_inputs(func)
    where, top = run_kernel(func, [x])
    np.testing.assert_array_equal(where, x.argmax(1))
    np.testing.assert_array_equal(top, x.max(1))
    assert where.dtype == np.int64
    total, squares = run_kernel(ik.sum_and_squares(5, 6, 0), [np.ones((5, 6), np.float32)])
    assert total.tolist() == [5] * 6 == squares.tolist()


def test_positions() -> None:
    func = ik.gather_columns(3, 9, 6)
    x, _ = random_inputs(func)
    ids = np.array([0, -1, 3, -9, 8, 2])
    np.testing.assert_array_equal(run_kernel(func, [x, ids])[0], x[:, ids])
    padded = run_kernel(ik.pad([3, 4], [1, 0], [0, 2], 0.5), [np.ones((3, 4), np.float32)])[0]
    wanted = np.pad(np.ones((3, 4)), [(1, 0), (0, 2)], constant_values=0.5)
    np.testing.assert_array_equal(padded, wanted)


def test_position_outside_of_a_tensor_is_an_error() -> None:
    func = ik.gather_columns(3, 9, 2)
    with pytest.raises(IndexError):
        run_kernel(func, [np.zeros((3, 9), np.float32), np.array([0, 9])])


def test_maps_that_are_not_linear() -> None:
    x, y = np.arange(4, dtype=np.float32), np.arange(4, dtype=np.float32) * 10
    (result,) = run_kernel(ik.repeat_by_map(4, 2), [x, y])
    np.testing.assert_array_equal(result, np.repeat(x, 2) - np.tile(y, 2))


def test_initial_value_that_is_kept() -> None:
    (result,) = run_kernel(ik.interleave(3), [np.array([1, 2, 3], np.float32)] * 2)
    assert result.tolist() == [0, 1, 0, 2, 0, 3]


def test_types() -> None:
    x = np.array([-2.59, -0.04, 0.0, 0.31, 12.96], np.float32)
    positive, byte, word, long, half, double, rest = run_kernel(ik.casts(5), [x])
    assert positive.tolist() == [False, False, False, True, True]
    assert byte.tolist() == [-25, 0, 0, 3, -127] == [*word[:4].tolist(), byte[4].item()]
    assert (word.dtype, long.dtype, half.dtype, double.dtype) == (
        np.int32, np.int64, np.float16, np.float64,
    )  # fmt: skip
    np.testing.assert_array_equal(rest, np.where(x > 0, x * np.float32(10), word))


def test_a_convolution_of_a_real_network_takes_milliseconds() -> None:
    func = k.conv([58, 58], 64, 64, [3, 3])
    inputs = random_inputs(func)
    run_kernel(func, inputs)
    start = time.perf_counter()
    run_kernel(func, inputs)
    assert time.perf_counter() - start < 2.0  # alone on a machine it is 0.02


def test_upstream_interpreter_calls_kernels() -> None:
    func = k.matmul(3, 4, 5)
    module = ModuleOp([func])
    interpreter = Interpreter(module)
    register_kernel_meanings(interpreter)
    inputs = random_inputs(func)
    (result,) = interpreter.call_op(func, tuple(inputs))
    np.testing.assert_array_equal(result, run_kernel(func, inputs)[0])


def test_integers_wrap() -> None:
    kernel = k.Kernel("wrap", [([3], i8)])
    func = kernel.done(kernel.elementwise(kernel.args, lambda s, a: s(arith.AddiOp, a[0], a[0])))
    (result,) = run_kernel(func, [np.array([100, -100, 1], np.int8)])
    assert result.tolist() == [-56, 56, 2]

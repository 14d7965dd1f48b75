"""Matrix products and convolutions as GPU loops, over ragged shapes and schedules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from xdsl.builder import Builder
from xdsl.dialects import arith, vector
from xdsl.dialects.builtin import Float32Type, IntegerType, f32
from xdsl.ir import SSAValue
from xdsl.ir.affine import AffineExpr

from tests.unit.gpu_kernels import Array, Scalars, check, make_kernel
from webdnn.lowering.loops_gpu.contraction import as_product
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, dims

RNG = np.random.default_rng(3)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def d(position: int) -> AffineExpr:
    return AffineExpr.dimension(position)


def multiply_add(b: Builder, args: Sequence[SSAValue]) -> SSAValue:
    x, y, acc = args
    if isinstance(acc.type, Float32Type):
        return b.insert(arith.AddfOp(b.insert(arith.MulfOp(x, y)).result, acc)).result
    s = Scalars(b)
    wide = [v if v.type == acc.type else s(arith.ExtSIOp, v, acc.type) for v in (x, y)]
    return s(arith.AddiOp, s(arith.MuliOp, *wide), acc)


def matmul(
    r: RegionBuilder, m: int, n: int, transposed_a: bool = False, transposed_b: bool = False
) -> SSAValue:
    a, b = r.args[:2]
    a_exprs = [d(2), d(0)] if transposed_a else [d(0), d(2)]
    b_exprs = [d(1), d(2)] if transposed_b else [d(2), d(1)]
    out = r.fill(0, [m, n], f32)
    (result,) = r.generic([(a, a_exprs), (b, b_exprs)], [(out, [d(0), d(1)])], "ppr", multiply_add)
    return result


@pytest.mark.parametrize("memory", ["workgroup", "none"])
@pytest.mark.parametrize("transposed_b", [False, True])
@pytest.mark.parametrize("transposed_a", [False, True])
@pytest.mark.parametrize("m,n,k", [(64, 64, 64), (5, 9, 7), (33, 36, 20), (70, 3, 11), (1, 8, 5)])
def test_matmul(
    m: int, n: int, k: int, transposed_a: bool, transposed_b: bool, memory: str
) -> None:
    a, b = floats(m, k), floats(k, n)
    arrays = [a.T.copy() if transposed_a else a, b.T.copy() if transposed_b else b]
    schedule = {"strategy": "contraction", "memory": memory, "k": 16}
    kernel = make_kernel(arrays, lambda r: matmul(r, m, n, transposed_a, transposed_b), schedule)
    check(kernel, arrays, [a @ b])


@pytest.mark.parametrize(
    "schedule",
    [
        {"tile": [8, 8], "k": 8},
        {"tile": [1, 4], "workgroup": [4, 16]},
        {"tile": [2, 12], "workgroup": [16, 2], "k": 4},
        {"tile": [4, 4], "workgroup": [16, 16], "k": 16},
        {"tile": [3, 4], "memory": "none"},
        {"tile": [4, 4], "split": 4, "k": 8},
        {"tile": [4, 8], "split": 2, "k": 4, "workgroup": [4, 4]},
        {"tile": [2, 4], "split": 2, "k": 12},
    ],
)
def test_matmul_schedules(schedule: dict[str, Any]) -> None:
    a, b = floats(37, 24), floats(24, 40)
    kernel = make_kernel(
        [a, b], lambda r: matmul(r, 37, 40), {"strategy": "contraction", **schedule}
    )
    check(kernel, [a, b], [a @ b])


@pytest.mark.parametrize("memory", ["workgroup", "none"])
def test_batch_matmul_broadcasts(memory: str) -> None:
    a, b = floats(3, 2, 10, 12), floats(2, 12, 8)

    def build(r: RegionBuilder) -> SSAValue:
        out = r.fill(0, [3, 2, 10, 8], f32)
        (result,) = r.generic(
            [(r.args[0], [d(0), d(1), d(2), d(4)]), (r.args[1], [d(1), d(4), d(3)])],
            [(out, dims(4))],
            "ppppr",
            multiply_add,
        )
        return result

    schedule = {"strategy": "contraction", "memory": memory}
    check(make_kernel([a, b], build, schedule), [a, b], [a @ b])


def test_transposed_result() -> None:
    a, b = floats(12, 20), floats(20, 6)

    def build(r: RegionBuilder) -> SSAValue:
        out = r.fill(0, [6, 12], f32)
        (result,) = r.generic(
            [(r.args[0], [d(0), d(2)]), (r.args[1], [d(2), d(1)])],
            [(out, [d(1), d(0)])],
            "ppr",
            multiply_add,
        )
        return result

    check(make_kernel([a, b], build, {"strategy": "contraction"}), [a, b], [(a @ b).T])


@pytest.mark.parametrize("memory", ["workgroup", "none"])
@pytest.mark.parametrize("m,n", [(9, 12), (32, 10)])
def test_epilogue(m: int, n: int, memory: str) -> None:
    """Bias, residual and activation are computed on the register tile."""
    a, b, bias, residual = floats(m, 16), floats(16, n), floats(n), floats(m, n)

    def build(r: RegionBuilder) -> SSAValue:
        product = matmul(r, m, n)

        def body(inner: Builder, args: Sequence[SSAValue]) -> SSAValue:
            s = Scalars(inner)
            total = s(arith.AddfOp, s(arith.AddfOp, args[0], args[1]), args[2])
            return s(arith.MaximumfOp, total, s.constant(0.0))

        return r.elementwise([product, r.args[2], r.args[3]], [m, n], f32, body)

    arrays = [a, b, bias, residual]
    schedule = {"strategy": "contraction", "memory": memory}
    check(make_kernel(arrays, build, schedule), arrays, [np.maximum(a @ b + bias + residual, 0)])


def test_integers() -> None:
    """int8 times int8 into int32."""
    a = RNG.integers(-128, 128, (17, 30)).astype(np.int8)
    b = RNG.integers(-128, 128, (30, 12)).astype(np.int8)

    def build(r: RegionBuilder) -> SSAValue:
        out = r.fill(0, [17, 12], IntegerType(32))
        (result,) = r.generic(
            [(r.args[0], [d(0), d(2)]), (r.args[1], [d(2), d(1)])],
            [(out, [d(0), d(1)])],
            "ppr",
            multiply_add,
        )
        return result

    kernel = make_kernel([a, b], build, {"strategy": "contraction"})
    check(kernel, [a, b], [a.astype(np.int32) @ b.astype(np.int32)])


def conv2d(x: Array, w: Array, stride: int, dilation: int) -> Array:
    """NHWC, filter HWIO, no padding."""
    n, height, width, _ = x.shape
    kh, kw, _, m = w.shape
    oh = (height - (kh - 1) * dilation - 1) // stride + 1
    ow = (width - (kw - 1) * dilation - 1) // stride + 1
    out = np.zeros((n, oh, ow, m))
    for i in range(kh):
        for j in range(kw):
            part = x[:, i * dilation :, j * dilation :][:, ::stride, ::stride][:, :oh, :ow]
            out += part.astype(np.float64) @ w[i, j]
    return out.astype(np.float32)


def build_conv(shape: Sequence[int], stride: int, dilation: int):
    def build(r: RegionBuilder) -> SSAValue:
        out = r.fill(0, shape, f32)
        y, x = d(1) * stride + d(4) * dilation, d(2) * stride + d(5) * dilation
        (result,) = r.generic(
            [(r.args[0], [d(0), y, x, d(6)]), (r.args[1], [d(4), d(5), d(6), d(3)])],
            [(out, dims(4))],
            "pppprrr",
            multiply_add,
        )
        return result

    return build


@pytest.mark.parametrize("width", [9, 14])
def test_overlapping_windows_are_loaded_once(width: int) -> None:
    """Four windows of three pixels that lie side by side read six pixels."""
    x, w = floats(1, 6, width + 2, 4), floats(3, 3, 4, 4)
    schedule = {
        "strategy": "contraction",
        "memory": "none",
        "workgroup": [8, 1],
        "tile": [2 if width == 14 else 3, 4],
        "unroll": 3,
    }
    kernel = make_kernel([x, w], build_conv((1, 4, width, 4), 1, 1), schedule)
    lowered = check(kernel, [x, w], [conv2d(x, w, 1, 1)])
    loads = sum(isinstance(op, vector.LoadOp) for op in lowered.walk())
    assert loads == 3 * 4 + (4 if width == 14 else 5)


@pytest.mark.parametrize("memory", ["workgroup", "none"])
@pytest.mark.parametrize(
    "x_shape,w_shape,stride,dilation",
    [
        ((1, 10, 10, 32), (3, 3, 32, 16), 1, 1),
        ((2, 9, 7, 3), (3, 3, 3, 8), 2, 1),
        ((1, 11, 12, 8), (3, 2, 8, 12), 1, 2),
        ((1, 6, 5, 16), (1, 1, 16, 20), 1, 1),
        ((1, 8, 8, 8), (1, 1, 8, 4), 2, 1),
        ((1, 12, 12, 6), (5, 5, 6, 3), 3, 1),
    ],
)
def test_conv(
    x_shape: tuple[int, ...], w_shape: tuple[int, ...], stride: int, dilation: int, memory: str
) -> None:
    x, w = floats(*x_shape), floats(*w_shape)
    expected = conv2d(x, w, stride, dilation)
    unroll = 6 if memory == "none" else 1
    schedule = {"strategy": "contraction", "memory": memory, "k": 32, "unroll": unroll}
    kernel = make_kernel([x, w], build_conv(expected.shape, stride, dilation), schedule)
    check(kernel, [x, w], [expected])


@pytest.mark.parametrize("memory", ["workgroup", "none"])
def test_grouped_conv(memory: str) -> None:
    groups, c, m = 3, 4, 8
    x, w = floats(1, 7, 7, groups, c), floats(3, 3, c, groups, m)

    def build(r: RegionBuilder) -> SSAValue:
        out = r.fill(0, [1, 5, 5, groups, m], f32)
        (result,) = r.generic(
            [
                (r.args[0], [d(0), d(1) + d(5), d(2) + d(6), d(3), d(7)]),
                (r.args[1], [d(5), d(6), d(7), d(3), d(4)]),
            ],
            [(out, dims(5))],
            "ppppprrr",
            multiply_add,
        )
        return result

    expected = np.stack([conv2d(x[..., g, :], w[..., g, :], 1, 1) for g in range(groups)], axis=-2)
    schedule = {"strategy": "contraction", "memory": memory}
    check(make_kernel([x, w], build, schedule), [x, w], [expected])


@pytest.mark.parametrize("memory", ["workgroup", "none"])
def test_padding_inside_of_the_product(memory: str) -> None:
    """The operand of a product may be any expression: here a pad that the fusion left in the kernel."""
    x, w = floats(1, 6, 6, 8), floats(3, 3, 8, 12)

    def build(r: RegionBuilder) -> SSAValue:
        def pad(b: Builder, _: Sequence[SSAValue]) -> SSAValue:
            s = Scalars(b)
            indices = [s.index(i) for i in range(4)]
            inside = s.constant(1, IntegerType(1))
            for axis in (1, 2):
                at = s(arith.SubiOp, indices[axis], s.constant_index(1))
                inside = s(arith.AndIOp, inside, s(arith.CmpiOp, at, s.constant_index(0), "sge"))
                inside = s(arith.AndIOp, inside, s(arith.CmpiOp, at, s.constant_index(5), "sle"))
                low = s(arith.MaxSIOp, at, s.constant_index(0))
                indices[axis] = s(arith.MinSIOp, low, s.constant_index(5))
            value = s.extract(r.args[0], indices)
            return s(arith.SelectOp, inside, value, s.constant(0.0))

        padded = r.elementwise([], [1, 8, 8, 8], f32, pad)
        out = r.fill(0, [1, 6, 6, 12], f32)
        (result,) = r.generic(
            [
                (padded, [d(0), d(1) + d(4), d(2) + d(5), d(6)]),
                (r.args[1], [d(4), d(5), d(6), d(3)]),
            ],
            [(out, dims(4))],
            "pppprrr",
            multiply_add,
        )
        return result

    expected = conv2d(np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), w, 1, 1)
    unroll = 6 if memory == "none" else 1
    schedule = {"strategy": "contraction", "memory": memory, "unroll": unroll}
    check(make_kernel([x, w], build, schedule), [x, w], [expected])


def test_axes_of_a_convolution() -> None:
    """Image positions are rows, filters columns, and the window and its channels are what is summed over."""
    x, w = floats(1, 10, 10, 32), floats(3, 3, 32, 16)
    product = as_product(read_kernel(make_kernel([x, w], build_conv((1, 8, 8, 16), 1, 1))))
    assert product is not None
    assert [dim.size for dim in product.m] == [8, 8]
    assert [dim.size for dim in product.n] == [16]
    assert [dim.size for dim in product.k] == [
        3,
        96,
    ]  # a window's row and its channels lie side by side
    assert product.batch == ()


@pytest.mark.parametrize("workgroup,tile", [((3, 4), (2, 8)), ((1, 8), (1, 4)), ((2, 4), (3, 4))])
def test_blocks_of_odd_heights(workgroup: tuple[int, int], tile: tuple[int, int]) -> None:
    """A transposed operand is read in squares of four by four only where blocks are made of such."""
    a, b = floats(20, 16), floats(20, 12)
    schedule = {"strategy": "contraction", "workgroup": workgroup, "tile": tile, "k": 8}
    kernel = make_kernel([a, b], lambda r: matmul(r, 16, 12, True, False), schedule)
    check(kernel, [a, b], [a.T @ b])


def test_parts_of_a_sum_over_several_dims() -> None:
    """The parts reach over the end of the sum though blocks of k do not cross its innermost dim."""
    x, w = floats(1, 13, 17, 16), floats(3, 1, 16, 12)
    expected = conv2d(x, w, 1, 1)
    schedule = {"strategy": "contraction", "workgroup": [2, 2], "k": 16, "split": 2}
    kernel = make_kernel([x, w], build_conv(expected.shape, 1, 1), schedule)
    check(kernel, [x, w], [expected])

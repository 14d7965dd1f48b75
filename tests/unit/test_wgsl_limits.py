"""What WebGPU cannot do is refused at compile time, or folded into what it can."""

from __future__ import annotations

import numpy as np
import pytest
from wgsl_kernels import context, elementwise, launch, parse

from webdnn.dialects.errors import WebDNNError
from webdnn.engines.wgpu import run_kernel
from webdnn.lowering.target_wgsl.fold_grid import WGSLFoldGridPass, folded
from webdnn.lowering.target_wgsl.narrow_i64 import WGSLNarrowI64Pass
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass
from webdnn.lowering.target_wgsl.verify_limits import VerifyWGSLLimitsPass


def _lower(text: str) -> None:
    LowerToWGSLPass().apply(context(), parse(text))


@pytest.mark.parametrize("count", [1, 65_535, 65_536, 1_000_000, 65_535 * 65_535 + 1, 2**31 - 1])
def test_folded_grid_is_large_enough_and_not_much_larger(count: int) -> None:
    grid = folded(count, 65_535)
    total = grid[0] * grid[1] * grid[2]
    assert max(grid) <= 65_535
    assert count <= total <= count * 1.01 + 65_535


@pytest.mark.parametrize("grid", [(70_000, 1, 1), (66_000, 3, 1), (1, 66_001, 2), (2, 1, 65_537)])
def test_long_grid_runs(grid: tuple[int, int, int]) -> None:
    size = grid[0] * grid[1] * grid[2]
    x, y, _ = grid
    text = f"""
kernel.func @k(%x: memref<{size}xf32>, %out: memref<{size}xf32>) {launch(grid, (1, 1, 1))} {{
  %bx = "gpu.block_id"() {{dimension = #gpu<dim x>}} : () -> index
  %by = "gpu.block_id"() {{dimension = #gpu<dim y>}} : () -> index
  %bz = "gpu.block_id"() {{dimension = #gpu<dim z>}} : () -> index
  %nx = arith.constant {x} : index
  %ny = arith.constant {y} : index
  %0 = arith.muli %bz, %ny : index
  %1 = arith.addi %0, %by : index
  %2 = arith.muli %1, %nx : index
  %i = arith.addi %2, %bx : index
  %v = memref.load %x[%i] : memref<{size}xf32>
  %w = arith.addf %v, %v : f32
  memref.store %w, %out[%i] : memref<{size}xf32>
  kernel.return
}}"""
    data = np.random.default_rng(0).normal(size=size).astype(np.float32)
    (actual,) = run_kernel(parse(text), "k", [data])
    np.testing.assert_array_equal(actual, data * 2)


def test_barriers_stay_in_uniform_control_flow() -> None:
    """A folded kernel with a barrier: the guard is the same for a whole workgroup."""
    count = 70
    text = f"""
kernel.func @k(%x: memref<{count * 4}xf32>, %out: memref<{count * 4}xf32>) {launch((count, 1, 1), (4, 1, 1))} {{
  %b = "gpu.block_id"() {{dimension = #gpu<dim x>}} : () -> index
  %t = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %c4 = arith.constant 4 : index
  %c3 = arith.constant 3 : index
  %tile = memref.alloca() : memref<4xf32, "workgroup">
  %0 = arith.muli %b, %c4 : index
  %i = arith.addi %0, %t : index
  %v = memref.load %x[%i] : memref<{count * 4}xf32>
  memref.store %v, %tile[%t] : memref<4xf32, "workgroup">
  "gpu.barrier"() : () -> ()
  %r = arith.subi %c3, %t : index
  %w = memref.load %tile[%r] : memref<4xf32, "workgroup">
  memref.store %w, %out[%i] : memref<{count * 4}xf32>
  kernel.return
}}"""
    module = parse(text)
    WGSLFoldGridPass(most=16).apply(context(), module)
    module.verify()
    data = np.arange(count * 4, dtype=np.float32)
    (actual,) = run_kernel(module, "k", [data])
    np.testing.assert_array_equal(actual.reshape(-1, 4), data.reshape(-1, 4)[:, ::-1])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (launch((1, 1, 1), (16, 32, 1)), "512 invocations of at most 256"),
        (launch((1, 1, 1), (1, 1, 128)), "128 long in z"),
        (launch((1, 1, 1), (0, 1, 1)), "0 long in x"),
    ],
)
def test_workgroup_limits(text: str, message: str) -> None:
    kernel = f'kernel.func @k(%out: memref<4xf32>) {text} {{ kernel.return }} loc(fused["Conv_3", "Relu_4"])'
    with pytest.raises(WebDNNError, match=message) as error:
        _lower(kernel)
    assert error.value.where == ("Conv_3", "Relu_4")


def test_workgroup_memory_limit() -> None:
    kernel = f"""kernel.func @k(%out: memref<4xf32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %v = arith.constant 0.0 : f32
  %tile = memref.alloca() : memref<5000xf32, "workgroup">
  memref.store %v, %tile[%i] : memref<5000xf32, "workgroup">
  kernel.return
}}"""
    with pytest.raises(WebDNNError, match="20000 bytes of workgroup memory of at most 16384"):
        _lower(kernel)


def test_function_memory_limit() -> None:
    kernel = f"""kernel.func @k(%out: memref<4xf32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %scratch = memref.alloca() : memref<2049xf32>
  %v = memref.load %scratch[%i] : memref<2049xf32>
  memref.store %v, %out[%i] : memref<4xf32>
  kernel.return
}}"""
    with pytest.raises(WebDNNError, match="arrays take 8196 bytes of at most 8192"):
        _lower(kernel)


def test_number_of_buffers() -> None:
    operands = ", ".join(f"%a{i}: memref<4xf32>" for i in range(9))
    with pytest.raises(WebDNNError, match="9 storage buffers of at most 8"):
        _lower(f"kernel.func @k({operands}) {launch()} {{ kernel.return }}")


def test_size_of_a_binding() -> None:
    kernel = f"kernel.func @k(%x: memref<40000000xf32>) {launch()} {{ kernel.return }}"
    with pytest.raises(WebDNNError, match="operand x has 160000000 bytes"):
        VerifyWGSLLimitsPass().apply(context(), parse(kernel))
    VerifyWGSLLimitsPass(binding_bytes=2**30).apply(context(), parse(kernel))


def test_64_bit_floats_are_refused() -> None:
    kernel = f'kernel.func @k(%x: memref<4xf64>) {launch()} {{ kernel.return }} loc("Gather_1")'
    with pytest.raises(WebDNNError, match="64-bit floats") as error:
        _lower(kernel)
    assert error.value.where == ("Gather_1",)


_INDEX_IN_I64 = """%wide = arith.index_cast %i : index to i64
    %three = arith.constant 3 : i64
    %scaled = arith.muli %wide, %three : i64
    %small = arith.trunci %scaled : i64 to i32
    %r = arith.addi %small, %a : i32"""


def test_index_arithmetic_in_i64_is_narrowed() -> None:
    x = np.arange(100, dtype=np.int32)
    text = elementwise(_INDEX_IN_I64, ["i32"], "i32", 100)
    module = parse(text)
    WGSLNarrowI64Pass().apply(context(), module)
    assert "i64" not in str(module).replace(" : i64", "")
    (actual,) = run_kernel(parse(text), "elementwise", [x])
    np.testing.assert_array_equal(actual, x * 4)


def test_arithmetic_that_may_not_fit_stays_in_i64() -> None:
    body = _INDEX_IN_I64.replace(
        "%wide = arith.index_cast %i : index", "%wide = arith.extsi %a : i32"
    )
    module = parse(elementwise(body, ["i32"], "i32", 100))
    WGSLNarrowI64Pass().apply(context(), module)
    assert "arith.muli %wide, %three : i64" in str(module)

"""Vectors: aligned memory as arrays of vec4, other vector accesses, vectors of any length."""

from __future__ import annotations

import numpy as np
import pytest
from wgsl_kernels import context, launch, parse

from webdnn.codegen.wgsl import print_wgsl
from webdnn.engines.wgpu import run_kernel
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass


def _source(text: str) -> str:
    module = parse(text)
    LowerToWGSLPass().apply(context(), module)
    return print_wgsl(module)


def scaled_sum_kernel(length: int, offset: int, size: int) -> str:
    """Each invocation i adds vectors of `length` elements at i * length + offset and doubles them."""
    vec = f"vector<{length}xf32>"
    return f"""
kernel.func @k(%x: memref<{size}xf32>, %y: memref<{size}xf32>, %out: memref<{size}xf32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %length = arith.constant {length} : index
  %offset = arith.constant {offset} : index
  %two = arith.constant dense<2.0> : {vec}
  %start = arith.muli %i, %length : index
  %at = arith.addi %start, %offset : index
  %a = vector.load %x[%at] : memref<{size}xf32>, {vec}
  %b = vector.load %y[%at] : memref<{size}xf32>, {vec}
  %s = vector.fma %a, %two, %b : {vec}
  vector.store %s, %out[%at] : memref<{size}xf32>, {vec}
  kernel.return
}}"""


@pytest.mark.parametrize(
    ("length", "offset"),
    [(4, 0), (4, 8), (4, 1), (2, 0), (3, 0), (8, 0), (8, 4), (6, 0), (1, 3), (5, 2)],
)
def test_vectors_of_any_length_and_alignment(length: int, offset: int) -> None:
    size = -(-(64 * length + offset) // 4) * 4
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, size)).astype(np.float32)
    (actual,) = run_kernel(parse(scaled_sum_kernel(length, offset, size)), "k", [x, y])
    inside = slice(offset, offset + 64 * length)
    np.testing.assert_allclose(actual[inside], (x * 2 + y)[inside], rtol=1e-6)


def test_aligned_memory_is_an_array_of_vectors() -> None:
    source = _source(scaled_sum_kernel(4, 8, 264))
    assert "x: array<vec4f, 66>" in source
    assert "out: array<vec4f, 66>" in source
    assert "let at_div4 = i32(local_id.x) + 2;" in source
    assert "x: array<vec4f, 130>" in _source(scaled_sum_kernel(8, 4, 520))


def test_unaligned_memory_is_not() -> None:
    assert "x: array<f32, 260>" in _source(scaled_sum_kernel(4, 1, 260))
    # The size must be a whole number of vectors too.
    assert "x: array<f32, 258>" in _source(scaled_sum_kernel(4, 0, 258))


def test_vectors_in_loops_branches_and_workgroup_memory() -> None:
    text = f"""
kernel.func @k(%x: memref<2048xf32>, %out: memref<512xf32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %c0 = arith.constant 0 : index
  %c8 = arith.constant 8 : index
  %c32 = arith.constant 32 : index
  %c64 = arith.constant 64 : index
  %c4 = arith.constant 4 : index
  %c63 = arith.constant 63 : index
  %zero = arith.constant dense<0.0> : vector<8xf32>
  %tile = memref.alloca() : memref<512xf32, "workgroup">
  %row = arith.muli %i, %c32 : index
  %sum = scf.for %k = %c0 to %c32 step %c8 iter_args(%acc = %zero) -> (vector<8xf32>) {{
    %at = arith.addi %row, %k : index
    %v = vector.load %x[%at] : memref<2048xf32>, vector<8xf32>
    %n = arith.addf %acc, %v : vector<8xf32>
    scf.yield %n : vector<8xf32>
  }}
  %mine = arith.muli %i, %c8 : index
  vector.store %sum, %tile[%mine] : memref<512xf32, "workgroup">, vector<8xf32>
  "gpu.barrier"() : () -> ()
  %other = arith.subi %c63, %i : index
  %theirs = arith.muli %other, %c8 : index
  %o = vector.load %tile[%theirs] : memref<512xf32, "workgroup">, vector<8xf32>
  %low = arith.cmpi slt, %i, %c32 : index
  %r = scf.if %low -> (vector<8xf32>) {{
    scf.yield %o : vector<8xf32>
  }} else {{
    %m = arith.negf %o : vector<8xf32>
    scf.yield %m : vector<8xf32>
  }}
  vector.store %r, %out[%mine] : memref<512xf32>, vector<8xf32>
  kernel.return
}}"""
    x = np.random.default_rng(1).normal(size=(64, 4, 8)).astype(np.float32)
    (actual,) = run_kernel(parse(text), "k", [x])
    expected = x.sum(axis=1)[::-1].copy()
    expected[32:] *= -1
    np.testing.assert_allclose(actual.reshape(64, 8), expected, rtol=1e-5, atol=1e-6)
    assert "tile: array<vec4f, 128>" in _source(text)


@pytest.mark.parametrize("length", [2, 4, 7])
@pytest.mark.parametrize("kind", ["add", "mul", "maximumf", "minnumf"])
def test_reductions(length: int, kind: str) -> None:
    size = 64 * length
    text = f"""
kernel.func @k(%x: memref<{size}xf32>, %out: memref<64xf32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %length = arith.constant {length} : index
  %start = arith.muli %i, %length : index
  %a = vector.load %x[%start] : memref<{size}xf32>, vector<{length}xf32>
  %s = vector.reduction <{kind}>, %a : vector<{length}xf32> into f32
  memref.store %s, %out[%i] : memref<64xf32>
  kernel.return
}}"""
    x = np.random.default_rng(2).normal(size=(64, length)).astype(np.float32)
    (actual,) = run_kernel(parse(text), "k", [x])
    reduce = {"add": np.add, "mul": np.multiply, "maximumf": np.maximum, "minnumf": np.minimum}[
        kind
    ]
    np.testing.assert_allclose(actual, reduce.reduce(x, axis=1), rtol=1e-5, atol=1e-6)


def test_elements_of_vectors() -> None:
    text = f"""
kernel.func @k(%x: memref<512xf32>, %out: memref<512xf32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %c8 = arith.constant 8 : index
  %at = arith.muli %i, %c8 : index
  %a = vector.load %x[%at] : memref<512xf32>, vector<8xf32>
  %swapped = vector.shuffle %a, %a [7, 6, 5, 4, 11, 10, 9, 8] : vector<8xf32>, vector<8xf32>
  %e = vector.extract %a[5] : f32 from vector<8xf32>
  %b = vector.insert %e, %swapped[0] : f32 into vector<8xf32>
  vector.store %b, %out[%at] : memref<512xf32>, vector<8xf32>
  kernel.return
}}"""
    x = np.arange(512, dtype=np.float32)
    (actual,) = run_kernel(parse(text), "k", [x])
    rows = x.reshape(64, 8)
    expected = rows[:, [5, 6, 5, 4, 3, 2, 1, 0]]
    np.testing.assert_array_equal(actual.reshape(64, 8), expected)


def test_comparison_and_selection_of_vectors() -> None:
    text = f"""
kernel.func @k(%x: memref<256xf32>, %y: memref<256xi1>, %out: memref<256xi32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %c4 = arith.constant 4 : index
  %at = arith.muli %i, %c4 : index
  %zero = arith.constant dense<0.0> : vector<4xf32>
  %a = vector.load %x[%at] : memref<256xf32>, vector<4xf32>
  %b = vector.load %y[%at] : memref<256xi1>, vector<4xi1>
  %p = vector_ext.cmpf "ogt" %a, %zero : vector<4xf32> -> vector<4xi1>
  %both = arith.andi %p, %b : vector<4xi1>
  %whole = vector_ext.fptosi %a : vector<4xf32> to vector<4xi32>
  %one = arith.constant dense<1> : vector<4xi32>
  %r = vector_ext.select %both, %whole, %one : vector<4xi1>, vector<4xi32>
  vector.store %r, %out[%at] : memref<256xi32>, vector<4xi32>
  kernel.return
}}"""
    rng = np.random.default_rng(3)
    x = (rng.normal(size=256) * 10).astype(np.float32)
    y = rng.random(256) < 0.5
    (actual,) = run_kernel(parse(text), "k", [x, y])
    np.testing.assert_array_equal(actual, np.where((x > 0) & y, x.astype(np.int32), 1))
    assert "y: array<vec4i, 64>" in _source(text)

"""Sizes that a run sets, on level `target` and in WGSL: kernels written as text, run by wgpu."""

from __future__ import annotations

import numpy as np
import pytest
from wgsl_kernels import context, parse

from webdnn.codegen.wgsl import print_shaders
from webdnn.dialects.sizes.expression import Symbol
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.engines.wgpu import run_kernel
from webdnn.lowering.target_wgsl.fold_grid import folded
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass

MOST = 65_535
S = "s[0 to 2000000 by 4]"


def scaled(element: str, grid: str, sizes: str = S) -> str:
    """A kernel with a workgroup for each row of four elements, which it numbers by all three ids of its grid."""
    return f"""
kernel.func @k(%s: index, %x: memref<?x{element}>, %out: memref<?x{element}>) attributes {{
    sizes = #nn.sizes<{sizes}>, lengths = #nn.sizes<{sizes}, {sizes}>, num_outputs = 1 : i64,
    grid = #nn.sizes<{grid}>, workgroup = [1 : i64, 1 : i64, 1 : i64]}} {{
  %bx = "gpu.block_id"() {{dimension = #gpu<dim x>}} : () -> index
  %by = "gpu.block_id"() {{dimension = #gpu<dim y>}} : () -> index
  %c4 = arith.constant 4 : index
  %c2 = arith.constant 2 : index
  %pairs = arith.muli %by, %c2 : index
  %row = arith.addi %bx, %pairs : index
  %one = arith.constant 1 : index
  %zero = arith.constant 0 : index
  %at = arith.muli %row, %c4 : index
  scf.for %i = %zero to %c4 step %one {{
    %place = arith.addi %at, %i : index
    %v = memref.load %x[%place] : memref<?x{element}>
    %r = arith.{"addf" if element.startswith("f") else "addi"} %v, %v : {element}
    memref.store %r, %out[%place] : memref<?x{element}>
  }}
  kernel.return
}}"""


@pytest.mark.parametrize("count", [0, 4, 1000, MOST * 4, MOST * 4 + 4, 2_000_000])
def test_grid_that_is_long_for_some_sizes_only(count: int) -> None:
    text = scaled("f32", f"{S} floordiv 4, 1, 1")
    data = np.arange(count, dtype=np.float32)
    (actual,) = run_kernel(parse(text), "k", [data], sizes={"s": count})
    np.testing.assert_array_equal(actual, data * 2)


@pytest.mark.parametrize("count", [0, 8, 1000, 2_000_000])
def test_grid_of_two_dimensions(count: int) -> None:
    sizes = S.replace("by 4", "by 8")
    text = scaled("f32", f"2, {sizes} floordiv 8, 1", sizes)
    data = np.arange(count, dtype=np.float32)
    (actual,) = run_kernel(parse(text), "k", [data], sizes={"s": count})
    np.testing.assert_array_equal(actual, data * 2)


@pytest.mark.parametrize("dtype", ["int8", "int32", "int64", "float16"])
def test_element_types(dtype: str) -> None:
    element = ("f" if dtype.startswith("f") else "i") + dtype.lstrip("floatin")
    data = np.arange(-20, 20).astype(dtype)
    text = scaled(element, f"{S} floordiv 4, 1, 1")
    (actual,) = run_kernel(parse(text), "k", [data], sizes={"s": data.size})
    np.testing.assert_array_equal(actual, data * 2)


def test_large_operand_of_known_size_is_bound_in_parts() -> None:
    """An operand beside it whose size depends on symbols is bound whole, and the uniform is behind all parts."""
    text = """
kernel.func @k(%s: index, %table: memref<200xf32>, %ids: memref<?xi32>, %out: memref<?xf32>) attributes {
    sizes = #nn.sizes<s[0 to 1000]>, lengths = #nn.sizes<200, s[0 to 1000], s[0 to 1000]>, num_outputs = 1 : i64,
    grid = #nn.sizes<s[0 to 1000], 1, 1>, workgroup = [1 : i64, 1 : i64, 1 : i64]} {
  %i = "gpu.block_id"() {dimension = #gpu<dim x>} : () -> index
  %id = memref.load %ids[%i] : memref<?xi32>
  %row = arith.index_cast %id : i32 to index
  %v = memref.load %table[%row] : memref<200xf32>
  memref.store %v, %out[%i] : memref<?xf32>
  kernel.return
}"""
    table, ids = np.arange(200, dtype=np.float32), np.arange(0, 200, 3, dtype=np.int32)
    lowering = LowerToWGSLPass(binding_bytes=256)
    (found,) = run_kernel(parse(text), "k", [table, ids], lowering, {"s": ids.size})
    np.testing.assert_array_equal(found, table[ids])


@pytest.mark.parametrize("high", [MOST + 1, 10**6, 2**31 - 1, 2**50])
def test_folded_grid_is_large_enough_at_any_size(high: int) -> None:
    grid = folded(Symbol("n", 0, high).size, MOST)
    assert all(at_most(count) <= MOST for count in grid)
    high = min(high, 2**31 - 1)
    for count in {0, 1, MOST, MOST + 1, high // 3, high - 1, high}:
        x, y, z = (evaluate(n, {"n": count}) for n in grid)
        assert count <= x * y * z <= count * 1.01 + MOST


def test_host_is_told_sizes_and_grid() -> None:
    sizes = S.replace("2000000", "2000")
    module = parse(scaled("f32", f"{sizes} floordiv 4, 1, 1", sizes))
    LowerToWGSLPass().apply(context(), module)
    ((info,),) = (shader.kernels for shader in print_shaders(module))
    assert info.sizes == ("s",)
    assert info.bindings == ("read", "read_write")
    assert [evaluate(n, {"s": 40}) for n in info.workgroups] == [10, 1, 1]
    assert info.parts(Symbol("s", 0, 9).size) == [(0, Symbol("s", 0, 9).size)]

"""What the WGSL looks like: structured, named, short; and that each construct is right when it runs."""

from __future__ import annotations

import numpy as np
import pytest
from wgsl_kernels import context, elementwise, launch, parse, run_elementwise
from xdsl.dialects.builtin import ModuleOp, f32

from webdnn.codegen.wgsl import print_shaders, print_wgsl
from webdnn.codegen.wgsl.names import RESERVED, Namer
from webdnn.codegen.wgsl.types import float_literal
from webdnn.dialects.errors import WebDNNError
from webdnn.engines.wgpu import run_kernel
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass


def _lowered(text: str) -> ModuleOp:
    module = parse(text)
    LowerToWGSLPass().apply(context(), module)
    module.verify()
    return module


ADD_RELU = """
kernel.func @add_relu(%x: memref<1000xf32>, %bias: memref<10xf32>, %y: memref<1000xf32>)
    attributes {num_outputs = 1 : i64, grid = [16 : i64, 1 : i64, 1 : i64], workgroup = [64 : i64, 1 : i64, 1 : i64]} {
  %block = "gpu.block_id"() {dimension = #gpu<dim x>} : () -> index
  %thread = "gpu.thread_id"() {dimension = #gpu<dim x>} : () -> index
  %c64 = arith.constant 64 : index
  %c10 = arith.constant 10 : index
  %n = arith.constant 1000 : index
  %zero = arith.constant 0.0 : f32
  %0 = arith.muli %block, %c64 : index
  %i = arith.addi %0, %thread : index
  %in = arith.cmpi slt, %i, %n : index
  scf.if %in {
    %c = arith.remsi %i, %c10 : index
    %1 = memref.load %x[%i] : memref<1000xf32>
    %2 = memref.load %bias[%c] : memref<10xf32>
    %3 = arith.addf %1, %2 : f32
    %4 = arith.maximumf %3, %zero : f32
    memref.store %4, %y[%i] : memref<1000xf32>
  }
  kernel.return
} loc(fused["Add_3", "Relu_4"])
"""

ADD_RELU_WGSL = """\
// Add_3, Relu_4
@group(0) @binding(0) var<storage, read> x: array<f32, 1000>;
@group(0) @binding(1) var<storage, read> bias: array<f32, 10>;
@group(0) @binding(2) var<storage, read_write> y: array<f32, 1000>;

@compute @workgroup_size(64, 1, 1)
fn add_relu(@builtin(workgroup_id) workgroup_id: vec3u, @builtin(local_invocation_id) local_id: vec3u) {
  let i = i32(workgroup_id.x) * 64 + i32(local_id.x);
  if (i < 1000) {
    let v = x[i] + bias[i % 10];
    y[i] = select(max(v, 0.0), v, ((bitcast<i32>(v) & 2147483647) > 2139095040));
  }
}
"""


def test_elementwise_kernel_reads_like_a_shader() -> None:
    assert print_wgsl(_lowered(ADD_RELU)) == ADD_RELU_WGSL


def test_elementwise_kernel_runs() -> None:
    rng = np.random.default_rng(0)
    x, bias = (rng.normal(size=n).astype(np.float32) for n in (1000, 10))
    (actual,) = run_kernel(parse(ADD_RELU), "add_relu", [x, bias])
    np.testing.assert_array_equal(actual.reshape(100, 10), np.maximum(x.reshape(100, 10) + bias, 0))


def test_what_the_host_needs_to_know() -> None:
    (shader,) = print_shaders(_lowered(ADD_RELU))
    (info,) = shader.kernels
    assert (info.name, info.entry_point, info.bindings, info.workgroups, info.workgroup_size) == (
        "add_relu", "add_relu", ("read", "read", "read_write"), (16, 1, 1), (64, 1, 1),
    )  # fmt: skip


def test_kernels_share_a_source_without_clashes() -> None:
    module = _lowered(
        ADD_RELU + ADD_RELU.replace("@add_relu", "@other") + ADD_RELU.replace("@add_relu", "@loop")
    )
    (shader,) = print_shaders(module)
    assert [k.entry_point for k in shader.kernels] == ["add_relu", "other", "loop_1"]
    assert "var<storage, read> x_1:" in shader.source
    assert len(print_shaders(module, kernels_per_shader=2)) == 2


def matmul_kernel(rows: int, inner: int, columns: int) -> str:
    return f"""
kernel.func @matmul(%a: memref<{rows * inner}xf32>, %b: memref<{inner * columns}xf32>,
                    %out: memref<{rows * columns}xf32>)
    {launch((-(-columns // 16), -(-rows // 16), 1), (16, 16, 1))} {{
  %bx = "gpu.block_id"() {{dimension = #gpu<dim x>}} : () -> index
  %by = "gpu.block_id"() {{dimension = #gpu<dim y>}} : () -> index
  %tx = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %ty = "gpu.thread_id"() {{dimension = #gpu<dim y>}} : () -> index
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c16 = arith.constant 16 : index
  %rows = arith.constant {rows} : index
  %inner = arith.constant {inner} : index
  %columns = arith.constant {columns} : index
  %zero = arith.constant 0.0 : f32
  %tile_a = memref.alloca() : memref<256xf32, "workgroup">
  %tile_b = memref.alloca() : memref<256xf32, "workgroup">
  %r0 = arith.muli %by, %c16 : index
  %row = arith.addi %r0, %ty : index
  %k0 = arith.muli %bx, %c16 : index
  %column = arith.addi %k0, %tx : index
  %t0 = arith.muli %ty, %c16 : index
  %t = arith.addi %t0, %tx : index
  %row_in = arith.cmpi slt, %row, %rows : index
  %column_in = arith.cmpi slt, %column, %columns : index
  %sum = scf.for %k = %c0 to %inner step %c16 iter_args(%acc = %zero) -> (f32) {{
    %ka = arith.addi %k, %tx : index
    %ka_in = arith.cmpi slt, %ka, %inner : index
    %load_a = arith.andi %row_in, %ka_in : i1
    %va = scf.if %load_a -> (f32) {{
      %1 = arith.muli %row, %inner : index
      %2 = arith.addi %1, %ka : index
      %3 = memref.load %a[%2] : memref<{rows * inner}xf32>
      scf.yield %3 : f32
    }} else {{
      scf.yield %zero : f32
    }}
    memref.store %va, %tile_a[%t] : memref<256xf32, "workgroup">
    %kb = arith.addi %k, %ty : index
    %kb_in = arith.cmpi slt, %kb, %inner : index
    %load_b = arith.andi %column_in, %kb_in : i1
    %vb = scf.if %load_b -> (f32) {{
      %4 = arith.muli %kb, %columns : index
      %5 = arith.addi %4, %column : index
      %6 = memref.load %b[%5] : memref<{inner * columns}xf32>
      scf.yield %6 : f32
    }} else {{
      scf.yield %zero : f32
    }}
    memref.store %vb, %tile_b[%t] : memref<256xf32, "workgroup">
    "gpu.barrier"() : () -> ()
    %inner_sum = scf.for %kk = %c0 to %c16 step %c1 iter_args(%acc2 = %acc) -> (f32) {{
      %8 = arith.addi %t0, %kk : index
      %9 = memref.load %tile_a[%8] : memref<256xf32, "workgroup">
      %10 = arith.muli %kk, %c16 : index
      %11 = arith.addi %10, %tx : index
      %12 = memref.load %tile_b[%11] : memref<256xf32, "workgroup">
      %13 = arith.mulf %9, %12 : f32
      %14 = arith.addf %acc2, %13 : f32
      scf.yield %14 : f32
    }}
    "gpu.barrier"() : () -> ()
    scf.yield %inner_sum : f32
  }}
  %inside = arith.andi %row_in, %column_in : i1
  scf.if %inside {{
    %o = arith.muli %row, %columns : index
    %p = arith.addi %o, %column : index
    memref.store %sum, %out[%p] : memref<{rows * columns}xf32>
  }}
  kernel.return
}}"""


@pytest.mark.parametrize("shape", [(64, 64, 64), (17, 33, 5), (1, 100, 1), (40, 1, 20)])
def test_tiled_matmul(shape: tuple[int, int, int]) -> None:
    rows, inner, columns = shape
    rng = np.random.default_rng(1)
    a = rng.normal(size=(rows, inner)).astype(np.float32)
    b = rng.normal(size=(inner, columns)).astype(np.float32)
    (actual,) = run_kernel(parse(matmul_kernel(*shape)), "matmul", [a, b])
    np.testing.assert_allclose(actual.reshape(rows, columns), a @ b, rtol=1e-5, atol=1e-5)


def test_nested_loops_share_the_accumulator() -> None:
    source = print_wgsl(_lowered(matmul_kernel(64, 64, 64)))
    assert source.count("var acc") == 1
    assert "acc += tile_a[t0 + kk] * tile_b[kk * 16 + tx];" in source


def serial_kernel(body: str, result: str = "f32") -> str:
    """A kernel of one invocation on eight numbers; `body` gives `%r`."""
    return f"""
kernel.func @k(%x: memref<8xf32>, %out: memref<1x{result}>) {launch((1, 1, 1), (1, 1, 1))} {{
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c8 = arith.constant 8 : index
  %zero = arith.constant 0.0 : f32
  %one = arith.constant 1.0 : f32
  {body}
  memref.store %r, %out[%c0] : memref<1x{result}>
  kernel.return
}}"""


def _run_serial(body: str, x: np.ndarray) -> float:
    (actual,) = run_kernel(parse(serial_kernel(body)), "k", [x])
    return float(actual[0])


X = np.array([1.5, -2.0, 3.0, 0.25, -1.0, 2.0, 4.0, 0.5], np.float32)


def test_loop_carried_values_are_assigned_at_once() -> None:
    """Fibonacci swaps: each new value is computed from both old ones."""
    body = """%a, %b = scf.for %i = %c0 to %c8 step %c1 iter_args(%p = %zero, %q = %one) -> (f32, f32) {
      %s = arith.addf %p, %q : f32
      scf.yield %q, %s : f32, f32
    }
    %r = arith.subf %b, %a : f32"""
    assert _run_serial(body, X) == 34 - 21


def test_loop_carried_values_that_swap() -> None:
    body = """%a, %b = scf.for %i = %c0 to %c1 step %c1 iter_args(%p = %zero, %q = %one) -> (f32, f32) {
      scf.yield %q, %p : f32, f32
    }
    %r = arith.subf %a, %b : f32"""
    assert _run_serial(body, X) == 1


def test_initial_value_that_is_read_again_is_kept() -> None:
    body = """%s = scf.for %i = %c0 to %c8 step %c1 iter_args(%acc = %zero) -> (f32) {
      %v = memref.load %x[%i] : memref<8xf32>
      %inner = scf.for %j = %c0 to %c8 step %c1 iter_args(%acc2 = %acc) -> (f32) {
        %n = arith.addf %acc2, %v : f32
        scf.yield %n : f32
      }
      %m = arith.addf %inner, %acc : f32
      scf.yield %m : f32
    }
    %r = arith.addf %s, %zero : f32"""
    total = np.float32(0)
    for v in X:
        total = (total + 8 * v) + total
    assert _run_serial(body, X) == total


def test_loop_continues_the_sum_of_an_earlier_loop() -> None:
    body = """%s = scf.for %i = %c0 to %c8 step %c1 iter_args(%acc = %zero) -> (f32) {
      %v = memref.load %x[%i] : memref<8xf32>
      %n = arith.addf %acc, %v : f32
      scf.yield %n : f32
    }
    %t = scf.for %i = %c0 to %c8 step %c1 iter_args(%acc = %s) -> (f32) {
      %v = memref.load %x[%i] : memref<8xf32>
      %n = arith.mulf %acc, %v : f32
      scf.yield %n : f32
    }
    %r = arith.addf %t, %zero : f32"""
    assert _run_serial(body, X) == pytest.approx(X.sum() * X.prod(), rel=1e-6)


def test_loads_do_not_move_over_stores() -> None:
    body = """%m = memref.alloca() : memref<2xf32>
    memref.store %one, %m[%c0] : memref<2xf32>
    %before = memref.load %m[%c0] : memref<2xf32>
    memref.store %zero, %m[%c0] : memref<2xf32>
    %after = memref.load %m[%c0] : memref<2xf32>
    %r = arith.subf %before, %after : f32"""
    assert _run_serial(body, X) == 1


def test_loads_do_not_move_over_loops_that_store() -> None:
    body = """%m = memref.alloca() : memref<2xf32>
    memref.store %one, %m[%c0] : memref<2xf32>
    %before = memref.load %m[%c0] : memref<2xf32>
    scf.for %i = %c0 to %c8 step %c1 {
      memref.store %zero, %m[%c0] : memref<2xf32>
    }
    %r = arith.addf %before, %zero : f32"""
    assert _run_serial(body, X) == 1


def test_branches_give_several_values() -> None:
    body = """%v = memref.load %x[%c1] : memref<8xf32>
    %negative = arith.cmpf olt, %v, %zero : f32
    %a, %b = scf.if %negative -> (f32, f32) {
      %n = arith.negf %v : f32
      scf.yield %n, %one : f32, f32
    } else {
      scf.yield %v, %zero : f32, f32
    }
    %r = arith.addf %a, %b : f32"""
    assert _run_serial(body, X) == 3


def test_gather_with_bounds() -> None:
    text = f"""
kernel.func @gather(%x: memref<10xf32>, %at: memref<64xi32>, %out: memref<64xf32>) {launch()} {{
  %i = "gpu.thread_id"() {{dimension = #gpu<dim x>}} : () -> index
  %c0 = arith.constant 0 : index
  %c10 = arith.constant 10 : index
  %k = memref.load %at[%i] : memref<64xi32>
  %j = arith.index_cast %k : i32 to index
  %negative = arith.cmpi slt, %j, %c0 : index
  %wrapped = arith.addi %j, %c10 : index
  %p = arith.select %negative, %wrapped, %j : index
  %v = memref.load %x[%p] : memref<10xf32>
  memref.store %v, %out[%i] : memref<64xf32>
  kernel.return
}}"""
    rng = np.random.default_rng(2)
    x = rng.normal(size=10).astype(np.float32)
    at = rng.integers(-10, 10, 64).astype(np.int32)
    (actual,) = run_kernel(parse(text), "gather", [x, at])
    np.testing.assert_array_equal(actual, x[at])


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e-30, 3.4e38, 16777217.0, -0.0, 5e-39, 123456.789])
def test_float_literals_are_exact(value: float) -> None:
    exact = np.float32(value)
    x = np.zeros(3, np.float32)
    body = f"%c = arith.constant {float(exact):.12e} : f32\n %r = arith.addf %a, %c : f32"
    text = float_literal(float(exact), f32)
    assert np.float32(float(text)) == exact
    if abs(exact) > 1.2e-38 or exact == 0:  # devices may flush subnormal numbers
        np.testing.assert_array_equal(run_elementwise(body, [x], "f32"), np.full(3, exact))


@pytest.mark.parametrize("bits", ["0x7F800000", "0xFF800000", "0x7FC00000"])
def test_infinities_and_nan(bits: str) -> None:
    body = f"%c = arith.constant {bits} : f32\n %r = arith.select %a, %c, %b : f32"
    choose = np.array([True, False, True])
    other = np.arange(3, dtype=np.float32)
    expected = np.where(choose, np.uint32(int(bits, 16)).view(np.float32), other)
    np.testing.assert_array_equal(run_elementwise(body, [choose, other], "f32"), expected)


def test_constant_expressions_do_not_overflow_in_the_compiler() -> None:
    body = """%c = arith.constant 2147483647 : i32
    %one = arith.constant 1 : i32
    %d = arith.addi %c, %one : i32
    %r = arith.addi %d, %a : i32"""
    actual = run_elementwise(body, [np.zeros(2, np.int32)], "i32")
    np.testing.assert_array_equal(actual, [-(2**31)] * 2)


def test_mixed_operators_are_in_parentheses() -> None:
    """WGSL forbids `a + b << c`, `a & b == c` and the like."""
    body = """%two = arith.constant 2 : i32
    %s = arith.addi %a, %b : i32
    %t = arith.shli %s, %two : i32
    %u = arith.andi %t, %s : i32
    %v = arith.ori %u, %a : i32
    %w = arith.cmpi eq, %v, %b : i32
    %x = arith.cmpi slt, %v, %b : i32
    %y = arith.cmpi sgt, %t, %b : i32
    %p = arith.andi %x, %y : i1
    %q = arith.ori %p, %w : i1
    %r = arith.select %q, %v, %t : i32"""
    rng = np.random.default_rng(3)
    a, b = rng.integers(-1000, 1000, (2, 200)).astype(np.int32)
    s = a + b
    t = s << 2
    v = (t & s) | a
    expected = np.where(((v < b) & (t > b)) | (v == b), v, t)
    np.testing.assert_array_equal(run_elementwise(body, [a, b], "i32"), expected)


def test_names_are_legal_and_unique() -> None:
    namer = Namer()
    assert namer.unique("loop") == "loop_1"
    assert namer.unique("x.y") == "x_y"
    assert namer.unique("x_y") == "x_y_1"
    assert namer.unique("__a") == "a"
    assert namer.unique("7up") == "v7up"
    inner = Namer(namer)
    assert inner.unique("a") == "a_1"
    assert "vec4f" in RESERVED


def test_shader_errors_show_the_line() -> None:
    from webdnn.engines.wgpu import compile_source

    with pytest.raises(WebDNNError, match="return y;"):
        compile_source("fn f() -> i32 {\n  let x = 1;\n  return y;\n}", "broken")


def test_level_loops_is_refused() -> None:
    text = elementwise("%r = math.tanh %a : f32", ["f32"], "f32", 4)
    with pytest.raises(Exception, match="lower-to-wgsl"):
        print_wgsl(parse(text))

"""Loops, branches and memory on the wasm target."""

from __future__ import annotations

import numpy as np
import pytest

from tests.unit.wasm_kernels import DTYPES, context, parse
from webdnn.engines.wasmtime import run_kernel
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM

CONSTANTS = "".join(f"%c{n} = arith.constant {n} : index\n" for n in (*range(9), 11, 35, 64))


def test_matrix_product() -> None:
    module = parse(f"""
    kernel.func @k(%x: memref<35xf32>, %y: memref<77xf32>, %o: memref<55xf32>) attributes {{num_outputs = 1 : i64}} {{
      {CONSTANTS}
      %z = arith.constant 0.0 : f32
      "scf.parallel"(%c0, %c0, %c5, %c11, %c1, %c1) <{{operandSegmentSizes = array<i32: 2, 2, 2, 0>}}> ({{
      ^bb0(%i: index, %j: index):
        %acc = scf.for %k = %c0 to %c7 step %c1 iter_args(%a = %z) -> (f32) {{
          %i7 = arith.muli %i, %c7 : index
          %ik = arith.addi %i7, %k : index
          %k11 = arith.muli %k, %c11 : index
          %kj = arith.addi %k11, %j : index
          %xv = memref.load %x[%ik] : memref<35xf32>
          %yv = memref.load %y[%kj] : memref<77xf32>
          %p = arith.mulf %xv, %yv : f32
          %n = arith.addf %a, %p : f32
          scf.yield %n : f32
        }}
        %i11 = arith.muli %i, %c11 : index
        %ij = arith.addi %i11, %j : index
        memref.store %acc, %o[%ij] : memref<55xf32>
        scf.reduce
      }}) : (index, index, index, index, index, index) -> ()
      kernel.return
    }}""")
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((5, 7), np.float32), rng.standard_normal((7, 11), np.float32)
    (got,) = run_kernel(module, "k", [a, b], [((5, 11), np.float32)])
    np.testing.assert_allclose(got, a @ b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "bounds", [(0, 0, 1), (3, 3, 2), (5, 2, 1), (0, 7, 3), (-4, 3, 2), (0, 1, 8)]
)
@pytest.mark.parametrize("constant", [True, False])
def test_trip_counts(bounds: tuple[int, int, int], constant: bool) -> None:
    """Loops with no iteration, a ragged last step, negative bounds; with bounds known or read from memory."""
    lower, upper, step = bounds
    if constant:
        head = f"""
        %lb = arith.constant {lower} : index
        %ub = arith.constant {upper} : index
        %st = arith.constant {step} : index"""
    else:
        names = ("lb", "ub", "st")
        head = "".join(
            f"""
        %{n}v = memref.load %x[%c{i}] : memref<3xi32>
        %{n} = arith.index_cast %{n}v : i32 to index"""
            for i, n in enumerate(names)
        )
    module = parse(f"""
    kernel.func @k(%x: memref<3xi32>, %o: memref<2xi32>) attributes {{num_outputs = 1 : i64}} {{
      {CONSTANTS}
      %z = arith.constant 0 : i32
      %one = arith.constant 1 : i32
      {head}
      %n, %s = scf.for %i = %lb to %ub step %st iter_args(%a = %z, %b = %z) -> (i32, i32) {{
        %a1 = arith.addi %a, %one : i32
        %iv = arith.index_cast %i : index to i32
        %b1 = arith.addi %b, %iv : i32
        scf.yield %a1, %b1 : i32, i32
      }}
      memref.store %n, %o[%c0] : memref<2xi32>
      memref.store %s, %o[%c1] : memref<2xi32>
      kernel.return
    }}""")
    (got,) = run_kernel(module, "k", [np.array(bounds, np.int32)], [((2,), np.int32)])
    values = range(lower, upper, step)
    np.testing.assert_array_equal(got, [len(values), sum(values)])


def test_carried_values_may_change_places() -> None:
    module = parse(f"""
    kernel.func @k(%o: memref<2xi32>) attributes {{num_outputs = 1 : i64}} {{
      {CONSTANTS}
      %z = arith.constant 0 : i32
      %one = arith.constant 1 : i32
      %a, %b = scf.for %i = %c0 to %c11 step %c1 iter_args(%p = %z, %q = %one) -> (i32, i32) {{
        %s = arith.addi %p, %q : i32
        scf.yield %q, %s : i32, i32
      }}
      memref.store %a, %o[%c0] : memref<2xi32>
      memref.store %b, %o[%c1] : memref<2xi32>
      kernel.return
    }}""")
    (got,) = run_kernel(module, "k", [], [((2,), np.int32)])
    np.testing.assert_array_equal(got, [89, 144])


def test_branches() -> None:
    """An `if` with results and a nested loop, one without `else`, and one inside the other."""
    module = parse(f"""
    kernel.func @k(%x: memref<64xf32>, %o: memref<64xf32>) attributes {{num_outputs = 1 : i64}} {{
      {CONSTANTS}
      %z = arith.constant 0.0 : f32
      %ten = arith.constant 10.0 : f32
      scf.for %i = %c0 to %c64 step %c1 {{
        %v = memref.load %x[%i] : memref<64xf32>
        memref.store %v, %o[%i] : memref<64xf32>
        %neg = arith.cmpf olt, %v, %z : f32
        %r = scf.if %neg -> (f32) {{
          %t = scf.for %k = %c0 to %c3 step %c1 iter_args(%a = %v) -> (f32) {{
            %s = arith.addf %a, %v : f32
            scf.yield %s : f32
          }}
          scf.yield %t : f32
        }} else {{
          %big = arith.cmpf ogt, %v, %ten : f32
          %u = scf.if %big -> (f32) {{
            scf.yield %ten : f32
          }} else {{
            scf.yield %v : f32
          }}
          scf.yield %u : f32
        }}
        %odd = arith.remui %i, %c2 : index
        %isodd = arith.cmpi eq, %odd, %c1 : index
        scf.if %isodd {{
          memref.store %r, %o[%i] : memref<64xf32>
        }}
      }}
      kernel.return
    }}""")
    x = np.random.default_rng(0).uniform(-20, 20, 64).astype(np.float32)
    (got,) = run_kernel(module, "k", [x], [((64,), np.float32)])
    want = np.where(x < 0, 4 * x, np.minimum(x, 10))
    want[::2] = x[::2]
    np.testing.assert_allclose(got, want, rtol=1e-6)


@pytest.mark.parametrize("type", ["f32", "f64", "f16", "i64", "i32", "i16", "i8", "i1"])
def test_scratch_arrays(type: str) -> None:
    """Reverses blocks of eight through an array on the stack, one for each iteration of two loops."""
    module = parse(f"""
    kernel.func @k(%x: memref<64x{type}>, %o: memref<64x{type}>) attributes {{num_outputs = 1 : i64}} {{
      {CONSTANTS}
      scf.for %b = %c0 to %c64 step %c8 {{
        %scratch = memref.alloca() : memref<8x{type}>
        scf.for %i = %c0 to %c8 step %c1 {{
          %bi = arith.addi %b, %i : index
          %v = memref.load %x[%bi] : memref<64x{type}>
          %j = arith.subi %c7, %i : index
          memref.store %v, %scratch[%j] : memref<8x{type}>
        }}
        scf.for %i = %c0 to %c8 step %c1 {{
          %bi = arith.addi %b, %i : index
          %v = memref.load %scratch[%i] : memref<8x{type}>
          memref.store %v, %o[%bi] : memref<64x{type}>
        }}
      }}
      kernel.return
    }}""")
    x = np.random.default_rng(0).integers(0, 100, 64).astype(DTYPES[type])
    (got,) = run_kernel(module, "k", [x], [((64,), DTYPES[type])])
    np.testing.assert_array_equal(got, x.reshape(8, 8)[:, ::-1].ravel())


def test_indices_may_be_negative_on_the_way() -> None:
    """A padded window: x[(i - 3) + j] where it exists. The sum of a negative number and a constant does not wrap."""
    module = parse(f"""
    kernel.func @k(%x: memref<8xf32>, %o: memref<8xf32>) attributes {{num_outputs = 1 : i64}} {{
      {CONSTANTS}
      %z = arith.constant 0.0 : f32
      scf.for %i = %c0 to %c8 step %c1 {{
        %m = arith.subi %i, %c3 : index
        %s = scf.for %j = %c0 to %c7 step %c1 iter_args(%a = %z) -> (f32) {{
          %p = arith.addi %m, %j : index
          %ge = arith.cmpi sge, %p, %c0 : index
          %lt = arith.cmpi slt, %p, %c8 : index
          %in = arith.andi %ge, %lt : i1
          %n = scf.if %in -> (f32) {{
            %v = memref.load %x[%p] : memref<8xf32>
            %b = arith.addf %a, %v : f32
            scf.yield %b : f32
          }} else {{
            scf.yield %a : f32
          }}
          scf.yield %n : f32
        }}
        memref.store %s, %o[%i] : memref<8xf32>
      }}
      kernel.return
    }}""")
    x = np.random.default_rng(0).standard_normal(8).astype(np.float32)
    (got,) = run_kernel(module, "k", [x], [((8,), np.float32)])
    np.testing.assert_allclose(got, np.convolve(x, np.ones(7), "same"), rtol=1e-5, atol=1e-6)


def test_division_of_indices() -> None:
    """Of natural numbers by unsigned instructions, of others with all guards."""
    body = "\n".join(
        f"""
        %r{n} = arith.{op} %{"p" if n % 2 else "i"}, %c7 : index
        %v{n} = arith.index_cast %r{n} : index to i32
        %a{n} = arith.addi %base, %c{n} : index
        memref.store %v{n}, %o[%a{n}] : memref<512xi32>"""
        for n, op in enumerate(
            op for op in ("divsi", "remsi", "floordivsi", "ceildivsi") for _ in range(2)
        )
    )
    module = parse(f"""
    kernel.func @k(%o: memref<512xi32>) attributes {{num_outputs = 1 : i64}} {{
      {CONSTANTS}
      scf.for %i = %c0 to %c64 step %c1 {{
        %p = arith.subi %i, %c35 : index
        %base = arith.muli %i, %c8 : index
        {body}
      }}
      kernel.return
    }}""")
    (got,) = run_kernel(module, "k", [], [((64, 8), np.int32)])
    i = np.arange(64)
    p = i - 35
    toward_zero = np.trunc(p / 7).astype(int)
    want = [i // 7, toward_zero, i % 7, p - 7 * toward_zero, i // 7, p // 7, -(-i // 7), -(-p // 7)]
    np.testing.assert_array_equal(got, np.stack(want, 1))


def test_outputs_may_lie_over_inputs_where_the_kernel_says_so() -> None:
    text = """
    kernel.func @k(%x: memref<8xf32>, %y: memref<8xf32>, %o: memref<8xf32>) attributes {num_outputs = 1 : i64 KEY} {
      kernel.return
    }"""
    for key, alone in (("", 3), (", may_alias = array<i64: 0, 2>", 1)):
        module = parse(text.replace("KEY", key))
        LowerKernelsToLLVM().apply(context(), module)
        module.verify()
        assert str(module).count("llvm.noalias") == alone

"""`vector` on the wasm target: every width, every movement of lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.wasm_kernels import DTYPES, apply, parse
from webdnn.codegen.wasm.compile import compile_assembly
from webdnn.engines.wasmtime import run_kernel
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.passes import context

WIDTHS = (1, 2, 3, 4, 5, 6, 8, 12, 16)


def _vector(count: int, type: str, seed: int = 0) -> Any:
    values = np.random.default_rng(seed).integers(-50, 50, count)
    return (values % 2 if type == "i1" else values).astype(DTYPES[type])


@pytest.mark.parametrize("type", ["f32", "f64", "f16", "i64", "i32", "i8", "i1"])
def test_loads_and_stores(type: str) -> None:
    """At addresses that are aligned to an element only."""
    for width in WIDTHS:
        module = parse(f"""
        kernel.func @k(%x: memref<32x{type}>, %o: memref<32x{type}>) attributes {{num_outputs = 1 : i64}} {{
          %c1 = arith.constant 1 : index
          %c3 = arith.constant 3 : index
          %v = vector.load %x[%c3] : memref<32x{type}>, vector<{width}x{type}>
          vector.store %v, %o[%c1] : memref<32x{type}>, vector<{width}x{type}>
          kernel.return
        }}""")
        x = _vector(32, type)
        (got,) = run_kernel(module, "k", [x], [((32,), DTYPES[type])])
        np.testing.assert_array_equal(got[1 : 1 + width], x[3 : 3 + width], err_msg=str(width))
        untouched = np.delete(got.view(np.uint8).reshape(32, -1), np.arange(1, 1 + width), axis=0)
        assert (untouched == 0xA5).all(), width


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("type", ["f32", "f64"])
def test_multiply_add(type: str, relaxed: bool) -> None:
    for width in WIDTHS:
        a, b, c = (_vector(4 * width, type, seed) / 7 for seed in range(3))
        a, b, c = (v.astype(DTYPES[type]) for v in (a, b, c))
        body = "%p = vector.fma %a, %b, %c : {T}\n%q = vector.fma %a, %c, %p : {T}\n%r = vector.fma %b, %b, %q : {T}"
        got = apply(body, [a, b, c], [type] * 3, type, width, relaxed=relaxed)
        np.testing.assert_allclose(got, a * b + c + a * c + b * b, rtol=1e-5)


def test_scalar_multiply_add() -> None:
    a, b, c = (_vector(8, "f32", seed) for seed in range(3))
    got = apply("%r = math.fma %a, %b, %c : {T}", [a, b, c], ["f32"] * 3, "f32")
    np.testing.assert_array_equal(got, a * b + c)


def test_lanes_in_and_out() -> None:
    for width in WIDTHS:
        last = width - 1
        module = parse(f"""
        kernel.func @k(%x: memref<16xf32>, %n: memref<1xi32>, %o: memref<40xf32>)
            attributes {{num_outputs = 1 : i64}} {{
          %c0 = arith.constant 0 : index
          %c16 = arith.constant 16 : index
          %c32 = arith.constant 32 : index
          %nv = memref.load %n[%c0] : memref<1xi32>
          %i = arith.index_cast %nv : i32 to index
          %v = vector.load %x[%c0] : memref<16xf32>, vector<{width}xf32>
          %first = vector.extract %v[0] : f32 from vector<{width}xf32>
          %some = vector.extract %v[%i] : f32 from vector<{width}xf32>
          %w = vector.insert %first, %v[{last}] : f32 into vector<{width}xf32>
          %u = vector.insert %some, %w[%i] : f32 into vector<{width}xf32>
          %b = vector.broadcast %some : f32 to vector<{width}xf32>
          vector.store %u, %o[%c0] : memref<40xf32>, vector<{width}xf32>
          vector.store %b, %o[%c16] : memref<40xf32>, vector<{width}xf32>
          memref.store %some, %o[%c32] : memref<40xf32>
          kernel.return
        }}""")
        x = _vector(16, "f32")
        for index in {0, last // 2, last}:
            (got,) = run_kernel(
                module, "k", [x, np.array([index], np.int32)], [((40,), np.float32)]
            )
            want = x[:width].copy()
            want[last] = x[0]
            want[index] = x[index]
            np.testing.assert_array_equal(got[:width], want)
            np.testing.assert_array_equal(got[16 : 16 + width], np.full(width, x[index]))
            assert got[32] == x[index]


@pytest.mark.parametrize(("left", "right"), [(4, 4), (8, 8), (2, 6), (6, 2), (1, 3), (4, 16)])
def test_shuffle(left: int, right: int) -> None:
    rng = np.random.default_rng(left * 17 + right)
    for count in (1, 3, 4, 8):
        mask = rng.integers(0, left + right, count)
        module = parse(f"""
        kernel.func @k(%x: memref<32xi32>, %o: memref<{count}xi32>) attributes {{num_outputs = 1 : i64}} {{
          %c0 = arith.constant 0 : index
          %c9 = arith.constant 9 : index
          %a = vector.load %x[%c0] : memref<32xi32>, vector<{left}xi32>
          %b = vector.load %x[%c9] : memref<32xi32>, vector<{right}xi32>
          %s = vector.shuffle %a, %b [{", ".join(map(str, mask))}] : vector<{left}xi32>, vector<{right}xi32>
          vector.store %s, %o[%c0] : memref<{count}xi32>, vector<{count}xi32>
          kernel.return
        }}""")
        x = np.arange(32, dtype=np.int32)
        (got,) = run_kernel(module, "k", [x], [((count,), np.int32)])
        np.testing.assert_array_equal(got, np.concatenate([x[:left], x[9 : 9 + right]])[mask])


REDUCE: dict[str, dict[str, Any]] = {
    "f32": {"add": np.sum, "mul": np.prod, "maximumf": np.max, "minimumf": np.min,
            "maxnumf": np.max, "minnumf": np.min},
    "i32": {"add": np.sum, "mul": np.prod, "maxsi": np.max, "minsi": np.min, "and": np.bitwise_and.reduce,
            "or": np.bitwise_or.reduce, "xor": np.bitwise_xor.reduce},
    "i64": {"add": np.sum, "maxsi": np.max},
    "f64": {"add": np.sum, "maximumf": np.max},
    "i8": {"maxui": lambda v: np.max(v.view(np.uint8)).view(np.int8)},
}  # fmt: skip


@pytest.mark.parametrize("type", REDUCE)
@pytest.mark.parametrize("with_start", [False, True])
def test_reduction(type: str, with_start: bool) -> None:
    for kind, meaning in REDUCE[type].items():
        for width in (1, 3, 4, 6, 16):
            start = ", %s" if with_start else ""
            module = parse(f"""
            kernel.func @k(%x: memref<32x{type}>, %o: memref<1x{type}>) attributes {{num_outputs = 1 : i64}} {{
              %c0 = arith.constant 0 : index
              %c20 = arith.constant 20 : index
              %s = memref.load %x[%c20] : memref<32x{type}>
              %v = vector.load %x[%c0] : memref<32x{type}>, vector<{width}x{type}>
              %r = "vector.reduction"(%v{start}) <{{kind = #vector.kind<{kind}>}}> :
                  (vector<{width}x{type}>{f", {type}" if with_start else ""}) -> {type}
              memref.store %r, %o[%c0] : memref<1x{type}>
              kernel.return
            }}""")
            x = (
                _vector(32, type)
                if kind != "mul"
                else (1 + _vector(32, type) % 2).astype(DTYPES[type])
            )
            (got,) = run_kernel(module, "k", [x], [((1,), DTYPES[type])])
            values = np.append(x[:width], x[20:21]) if with_start else x[:width]
            np.testing.assert_allclose(
                got[0], meaning(values).astype(DTYPES[type]), rtol=1e-6, err_msg=kind
            )


def _micro_kernel(rows: int, columns: int, unroll: int, depth: int) -> str:
    """A register tile of a matrix product: packed panels, the sum unrolled."""
    a, b, c = rows * depth, columns * depth, rows * columns
    vector, tile = "vector<4xf32>", [(i, j) for i in range(rows) for j in range(0, columns, 4)]
    numbers = {depth, unroll, rows, columns, *range(max(rows, columns) * unroll)}
    lines = [f"%c{n} = arith.constant {n} : index" for n in sorted(numbers)]
    lines += [f"%z = arith.constant dense<0.0> : {vector}"]
    types = ", ".join([vector] * len(tile))
    starts = ", ".join(f"%s{i}_{j} = %z" for i, j in tile)
    lines += [
        f"%r:{len(tile)} = scf.for %k = %c0 to %c{depth} step %c{unroll} iter_args({starts}) -> ({types}) {{"
    ]
    lines += [f"%ka = arith.muli %k, %c{rows} : index", f"%kb = arith.muli %k, %c{columns} : index"]
    sums = {t: f"%s{t[0]}_{t[1]}" for t in tile}
    for u in range(unroll):
        for j in range(0, columns, 4):
            lines += [f"%bi{u}_{j} = arith.addi %kb, %c{u * columns + j} : index"]
            lines += [f"%b{u}_{j} = vector.load %b[%bi{u}_{j}] : memref<{b}xf32>, {vector}"]
        for i in range(rows):
            lines += [f"%ai{u}_{i} = arith.addi %ka, %c{u * rows + i} : index"]
            lines += [f"%a{u}_{i} = memref.load %a[%ai{u}_{i}] : memref<{a}xf32>"]
            lines += [f"%x{u}_{i} = vector.broadcast %a{u}_{i} : f32 to {vector}"]
            for j in range(0, columns, 4):
                lines += [
                    f"%f{u}_{i}_{j} = vector.fma %x{u}_{i}, %b{u}_{j}, {sums[i, j]} : {vector}"
                ]
                sums[i, j] = f"%f{u}_{i}_{j}"
    lines += [f"scf.yield {', '.join(sums[t] for t in tile)} : {types}", "}"]
    for n, (i, j) in enumerate(tile):
        lines += [f"%o{n} = arith.constant {i * columns + j} : index"]
        lines += [f"vector.store %r#{n}, %c[%o{n}] : memref<{c}xf32>, {vector}"]
    body = "\n".join(lines)
    return f"""
    kernel.func @k(%a: memref<{a}xf32>, %b: memref<{b}xf32>, %c: memref<{c}xf32>)
        attributes {{num_outputs = 1 : i64}} {{
      {body}
      kernel.return
    }}"""


@pytest.mark.parametrize(
    ("rows", "columns", "unroll"), [(6, 8, 4), (4, 8, 2), (2, 16, 1), (3, 12, 4)]
)
@pytest.mark.parametrize("relaxed", [False, True])
def test_register_tile(rows: int, columns: int, unroll: int, relaxed: bool) -> None:
    module = parse(_micro_kernel(rows, columns, unroll, 32))
    rng = np.random.default_rng(0)
    a, b = (
        rng.standard_normal((32, rows), np.float32),
        rng.standard_normal((32, columns), np.float32),
    )
    (got,) = run_kernel(module, "k", [a, b], [((rows, columns), np.float32)], relaxed=relaxed)
    np.testing.assert_allclose(got, a.T @ b, rtol=1e-4, atol=1e-5)


def test_code_of_a_register_tile() -> None:
    """What its speed rests on: constant offsets in the loads, one instruction a multiply-add, the order kept."""
    module = parse(_micro_kernel(6, 8, 4, 32))
    LowerKernelsToLLVM(relaxed=True).apply(context(), module)
    text = compile_assembly(module, ("simd128", "relaxed-simd"))
    loop = [line.split() for line in text[text.index("loop") : text.index("end_loop")].splitlines()]
    ops = [line[0] for line in loop if line]
    assert ops.count("f32x4.relaxed_madd") == 6 * 2 * 4
    assert ops.count("v128.load32_splat") == 6 * 4
    assert ops.count("v128.load") == 2 * 4
    # The addresses of a and b, the induction variable; nothing for each load.
    assert ops.count("i32.add") <= 4
    # Each step of the sum is done before the next one begins: its loads lie among its own products.
    splats = [n for n, op in enumerate(ops) if op == "v128.load32_splat"]
    products = [n for n, op in enumerate(ops) if op == "f32x4.relaxed_madd"]
    for step in range(1, 4):
        assert splats[6 * step] > products[12 * step - 2]

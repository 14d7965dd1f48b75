"""Browsers take what we print: Tint (Chromium) and naga (wgpu) compile a corpus of every construct."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from wgsl_kernels import context, elementwise, parse
from xdsl.dialects import math

from tests.unit.test_wgsl_printer import ADD_RELU, matmul_kernel, serial_kernel
from tests.unit.test_wgsl_vectors import scaled_sum_kernel
from webdnn.codegen.wgsl import print_wgsl
from webdnn.dialects import arith_ext
from webdnn.engines.wgpu import compile_source
from webdnn.lowering.target_wgsl.math_functions import FUNCTIONS
from webdnn.lowering.target_wgsl.pipeline import LowerToWGSLPass

CHECK = Path(__file__).parent.parent / "e2e" / "check_wgsl.mjs"

BINARY = (arith_ext.RemFOp, math.Atan2Op, math.CopySignOp, math.PowFOp)
BUILT_IN = [
    math.AbsFOp, math.CeilOp, math.FloorOp, math.RoundEvenOp, math.RsqrtOp,
    math.SqrtOp, math.TruncOp,
]  # fmt: skip
BINARY_INTEGERS = [
    "addi", "subi", "muli", "divsi", "divui", "remsi", "remui", "floordivsi", "ceildivsi", "ceildivui", "minsi",
    "minui", "maxsi", "maxui", "andi", "ori", "xori", "shli", "shrsi", "shrui",
]  # fmt: skip


def _texts() -> Iterator[tuple[str, str]]:
    """Names and kernels of level `loops`."""
    for op in [*FUNCTIONS, *BUILT_IN]:
        operands = "%a, %b" if op in BINARY else "%a"
        body = f"%r = {op.name} {operands} : f32"
        yield op.name, elementwise(body, ["f32", "f32"], "f32", 100)
        yield f"{op.name}_f16", elementwise(body.replace("f32", "f16"), ["f16", "f16"], "f16", 100)
        vector = f"""%v = vector.broadcast %a : f32 to vector<4xf32>
    %w = vector.broadcast %b : f32 to vector<4xf32>
    %u = {op.name} {operands.replace("%a", "%v").replace("%b", "%w")} : vector<4xf32>
    %r = vector.extract %u[2] : f32 from vector<4xf32>"""
        yield f"{op.name}_vec4", elementwise(vector, ["f32", "f32"], "f32", 100)
    for name in BINARY_INTEGERS:
        for type in ("i8", "i16", "i32", "i64"):
            body = f"%r = arith.{name} %a, %b : {type}"
            yield f"{name}_{type}", elementwise(body, [type, type], type, 100)
    for name in ("sitofp", "uitofp"):
        yield f"{name}_i64", elementwise(f"%r = arith.{name} %a : i64 to f32", ["i64"], "f32", 100)
    for name in ("fptosi", "fptoui"):
        yield f"{name}_i64", elementwise(f"%r = arith.{name} %a : f32 to i64", ["f32"], "i64", 100)
    for name in ("eq", "ne", "slt", "sle", "sgt", "sge", "ult", "ule", "ugt", "uge"):
        body = f"%r = arith.cmpi {name}, %a, %b : i32"
        yield f"cmpi_{name}", elementwise(body, ["i32", "i32"], "i1", 100)
    for name in (
        "oeq",
        "ogt",
        "oge",
        "olt",
        "ole",
        "one",
        "ord",
        "ueq",
        "ugt",
        "ult",
        "une",
        "uno",
        "true",
    ):
        body = f"%r = arith.cmpf {name}, %a, %b : f32"
        yield f"cmpf_{name}", elementwise(body, ["f32", "f32"], "i1", 100)
    for value in ("0x7F800000", "0xFF800000", "0x7FC00000", "-0.0", "3.4e38", "1.0e-45"):
        body = f"%c = arith.constant {value} : f32\n %r = arith.addf %a, %c : f32"
        yield f"constant_{value}", elementwise(body, ["f32"], "f32", 100)
    yield "add_relu", ADD_RELU
    yield "matmul", matmul_kernel(17, 33, 5)
    for length, offset in ((4, 0), (4, 1), (8, 4), (7, 0), (1, 0)):
        yield f"vectors_{length}_{offset}", scaled_sum_kernel(length, offset, 64 * length + 8)
    yield (
        "branch",
        serial_kernel("""%v = memref.load %x[%c1] : memref<8xf32>
    %p = arith.cmpf olt, %v, %zero : f32
    %r = scf.if %p -> (f32) {
      scf.yield %one : f32
    } else {
      scf.yield %v : f32
    }"""),
    )
    yield "large", elementwise("%r = arith.addf %a, %a : f32", ["f32"], "f32", 20_000_000)


@pytest.fixture(scope="module")
def shaders() -> dict[str, str]:
    sources: dict[str, str] = {}
    for name, text in _texts():
        module = parse(text)
        LowerToWGSLPass().apply(context(), module)
        sources[name] = print_wgsl(module)
    for name in ("math.exp", "math.erf_vec4", "addi_i32"):
        module = parse(dict(_texts())[name].replace("f32", "f16"))
        LowerToWGSLPass(shader_f16=True).apply(context(), module)
        sources[f"{name}_shader_f16"] = print_wgsl(module)
    return sources


def test_naga_compiles_all(shaders: dict[str, str]) -> None:
    for name, source in shaders.items():
        compile_source(source, name)


def test_tint_compiles_all(shaders: dict[str, str], tmp_path: Path) -> None:
    files: list[Path] = []
    for name, source in shaders.items():
        if source.startswith("enable f16"):
            continue  # SwiftShader has no halves
        files.append(tmp_path / f"{name}.wgsl")
        files[-1].write_text(source)
    done = subprocess.run(
        ["node", str(CHECK), *map(str, files)], capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stdout + done.stderr

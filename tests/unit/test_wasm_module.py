"""The host program, the linked module and packages on the wasm target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime
from xdsl.dialects.builtin import MemRefType, ModuleOp, f32, i8

from tests.unit.wasm_kernels import elementwise, parse
from webdnn.codegen.wasm.compile import compile_object
from webdnn.codegen.wasm.link import link
from webdnn.codegen.wasm.module_reader import data_end, exports, imports, sections
from webdnn.dialects import kernel, plan
from webdnn.dialects.errors import WebDNNError
from webdnn.engines.wasmtime import kernel_wasm, run_wasm
from webdnn.lowering.target_wasm.expand_math import BINARY, UNARY
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.lowering.target_wasm.launch_calls import KernelWork
from webdnn.lowering.target_wasm.layout import MemoryLayout, memory_layout, stack_bytes
from webdnn.lowering.target_wasm.plan_to_llvm import LowerPlanToLLVM, program_module
from webdnn.lowering.target_wasm.warm_up import LEAST_WORK, empty_calls, warm_up_function
from webdnn.passes import context

COUNT = 256


def _kernels() -> ModuleOp:
    add = elementwise("%r = arith.addf %a, %b : {T}", ["f32", "f32"], "f32", COUNT, 4)
    exp = elementwise("%r = math.exp %a : {T}", ["f32"], "f32", COUNT, 4)
    module = ModuleOp([])
    for name, source in (("add", add), ("exp", exp)):
        (func,) = source.ops
        assert isinstance(func, kernel.FuncOp)
        func.detach()
        func.properties["sym_name"] = type(func.sym_name)(name)
        module.body.block.add_op(func)
    return module


def _program() -> plan.ProgramOp:
    """y = exp(x + w); z = y + w."""
    type = MemRefType(f32, [COUNT])
    size = 4 * COUNT
    program = plan.ProgramOp("main")
    w = plan.SliceOp("weights", 0, 64, size, type)
    x, t, y, z = (plan.SliceOp("arena", 0, n * size, size, type) for n in range(4))
    program.body.block.add_ops(
        [
            *(w, x, t, y, z),
            plan.LaunchIntoOp("add", [x.res, w.res, t.res]),
            plan.LaunchIntoOp("exp", [t.res, y.res]),
            plan.LaunchIntoOp("add", [y.res, w.res, z.res]),
        ]
    )
    return program


def _layout() -> MemoryLayout:
    return memory_layout(_program(), stack_bytes=stack_bytes(_kernels()))


def _linked(relaxed: bool = False) -> bytes:
    features = ("simd128", "relaxed-simd") if relaxed else ("simd128",)
    kernels = _kernels()
    LowerKernelsToLLVM(relaxed=relaxed).apply(context(), kernels)
    layout = _layout()
    host = compile_object(program_module(_program(), layout, {}), features)
    return link(
        [host, compile_object(kernels, features)],
        stack_size=layout.stack_bytes,
        memory_pages=layout.pages,
        data_limit=layout.weights_offset,
    )


class _Instance:
    def __init__(self, module: bytes) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        pages = _layout().pages
        self.memory = wasmtime.Memory(
            self.store, wasmtime.MemoryType(wasmtime.Limits(pages, pages))
        )
        instance = wasmtime.Instance(self.store, wasmtime.Module(engine, module), [self.memory])
        self.exports = instance.exports(self.store)

    def call(self, name: str, *args: int) -> None:
        function = self.exports[name]
        assert isinstance(function, wasmtime.Func)
        function(self.store, *args)

    def write(self, address: int, array: Any) -> None:
        self.memory.write(self.store, array.tobytes(), address)

    def read(self, number: int) -> Any:
        start = _layout().arena_offset + 4 * COUNT * number
        return np.frombuffer(
            bytes(self.memory.read(self.store, start, start + 4 * COUNT)), np.float32
        )


def _inputs() -> tuple[Any, Any]:
    x, w = np.random.default_rng(0).standard_normal((2, COUNT)).astype(np.float32)
    return x, w


@pytest.mark.parametrize("relaxed", [False, True])
def test_run(relaxed: bool) -> None:
    x, w = _inputs()
    instance, layout = _Instance(_linked(relaxed)), _layout()
    instance.write(layout.weights_offset + 64, w)
    instance.write(layout.arena_offset, x)
    instance.call("run")
    np.testing.assert_allclose(instance.read(3), np.exp(x + w) + w, rtol=1e-6)


def test_run_range() -> None:
    x, w = _inputs()
    instance, layout = _Instance(_linked()), _layout()
    instance.write(layout.weights_offset + 64, w)
    instance.write(layout.arena_offset, x)
    instance.call("run_range", 0, 0)
    assert not instance.read(1).any()
    instance.call("run_range", 0, 1)
    np.testing.assert_array_equal(instance.read(1), x + w)
    assert not instance.read(2).any()
    instance.call("run_range", 1, 3)
    np.testing.assert_allclose(instance.read(3), np.exp(x + w) + w, rtol=1e-6)


def test_module_asks_for_memory_only_and_is_reproducible() -> None:
    module = _linked()
    assert imports(module) == [("env", "memory", "memory")]
    assert exports(module) == [("run", "func"), ("run_range", "func")]
    assert module == _linked()
    names = b"".join(content for number, content in sections(module) if number == 0)
    assert b"add" in names and b"exp" in names


def test_no_function_calls_a_library() -> None:
    """The linker refuses what is not defined; this is every function that might want to call one."""
    unary = [op.name for op in UNARY] + ["math.sqrt", "math.floor", "math.roundeven", "math.absf"]
    body = "\n".join(f"%u{n} = {name} %a : {{T}}" for n, name in enumerate(unary))
    binary = [op.name for op in BINARY if "powi" not in op.name]
    body += "\n" + "\n".join(f"%v{n} = {name} %a, %b : {{T}}" for n, name in enumerate(binary))
    values = [f"%u{n}" for n in range(len(unary))] + [f"%v{n}" for n in range(len(binary))]
    total = "%a"
    for n, value in enumerate(values):
        body += f"\n%s{n} = arith.addf {total}, {value} : {{T}}"
        total = f"%s{n}"
    body += f"\n%r = arith.addf {total}, %b : {{T}}"
    for type, lanes in (("f32", 4), ("f64", None), ("f16", None)):
        module = kernel_wasm(elementwise(body, [type, type], type, 16, lanes), "k")
        assert imports(module) == [("env", "memory", "memory")], (type, lanes)


def test_layout() -> None:
    layout = _layout()
    assert layout.weights_offset % 64 == layout.arena_offset % 64 == 0
    assert layout.weights_offset >= layout.stack_bytes + layout.data_bytes
    assert layout.arena_offset >= layout.weights_offset + 64 + 4 * COUNT
    assert (layout.pages - 1) * 65536 < layout.arena_offset + 16 * COUNT <= layout.pages * 65536


def test_more_than_4_gib_are_refused() -> None:
    program = plan.ProgramOp("main")
    for n in range(5):
        program.body.block.add_op(
            plan.SliceOp("arena", 0, n * 2**30, 2**30, MemRefType(i8, [2**30]))
        )
    with pytest.raises(WebDNNError, match="4 GiB"):
        memory_layout(program, stack_bytes=65536)
    with pytest.raises(WebDNNError, match="4 GiB"):
        link([], memory_pages=65537)


def test_stack_is_as_large_as_the_largest_kernel_needs() -> None:
    text = """
    kernel.func @NAME(%x: memref<8xf32>) attributes {num_outputs = 1 : i64} {
      %a = memref.alloca() : memref<SIZExf32>
      kernel.return
    }"""
    kernels = "".join(
        text.replace("NAME", n).replace("SIZE", s) for n, s in (("a", "5000"), ("b", "9"))
    )
    small = "".join(text.replace("NAME", n).replace("SIZE", s) for n, s in (("a", "8"), ("b", "9")))
    assert (
        stack_bytes(parse(kernels)) - stack_bytes(parse(small)) == 20000 - 48 + (-20000 + 48) % 64
    )


def test_data_end() -> None:
    module = wasmtime.wat2wasm(
        '(module (memory 1) (data (i32.const 1000) "abc") (data (i32.const 8) "x"))'
    )
    assert data_end(bytes(module)) == 1003
    assert data_end(_linked()) == 0


def test_lowering_of_a_whole_module() -> None:
    """The passes in the other order: the program first, while the stack of the kernels is known."""
    module = _kernels()
    module.body.block.add_op(_program())
    LowerPlanToLLVM().apply(context(), module)
    LowerKernelsToLLVM().apply(context(), module)
    module.verify()
    layout = _layout()
    linked = link(
        [compile_object(module)], memory_pages=layout.pages, stack_size=layout.stack_bytes
    )
    x, w = _inputs()
    instance = _Instance(linked)
    instance.write(layout.weights_offset + 64, w)
    instance.write(layout.arena_offset, x)
    instance.call("run")
    np.testing.assert_allclose(instance.read(3), np.exp(x + w) + w, rtol=1e-6)


def test_linker_errors_are_told() -> None:
    with pytest.raises(WebDNNError, match="wasm-ld failed"):
        link([b"no object"])


def test_run_wasm_of_a_package(tmp_path: Path) -> None:
    x, w = _inputs()
    layout = _layout()
    weights = np.concatenate([np.zeros(16, np.float32), w]).tobytes()
    (tmp_path / "a.wasm").write_bytes(_linked())
    (tmp_path / "broken.wasm").write_bytes(b"\0asm\1\0\0\0\xff")
    (tmp_path / "w0.bin").write_bytes(weights[:500])
    (tmp_path / "w1.bin").write_bytes(weights[500:])
    tensor = {"dtype": "float32", "shape": [16, COUNT // 16]}
    manifest = {
        "inputs": [{"name": "x", **tensor}],
        "outputs": [{"name": "z", **tensor}],
        "backends": {
            "wasm": {
                "modules": [{"file": "broken.wasm"}, {"file": "a.wasm"}],
                "memory": {"pages": layout.pages},
                "weights": {
                    "offset": layout.weights_offset,
                    "shards": [{"file": "w0.bin"}, {"file": "w1.bin"}],
                },
                "inputs": [{"offset": layout.arena_offset, "bytes": 4 * COUNT}],
                "outputs": [{"offset": layout.arena_offset + 12 * COUNT, "bytes": 4 * COUNT}],
            }
        },
    }
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    for _ in range(2):
        got = run_wasm(tmp_path, {"x": x.reshape(16, -1)})["z"]
        np.testing.assert_allclose(got, (np.exp(x + w) + w).reshape(16, -1), rtol=1e-6)
    manifest["backends"] = {}
    (tmp_path / "model.json").write_text(json.dumps(manifest))
    with pytest.raises(WebDNNError, match="no wasm back end"):
        run_wasm(tmp_path, {"x": x})


def test_warm_up_calls_large_kernels_by_their_size() -> None:
    assert empty_calls(KernelWork(LEAST_WORK, 1)) == empty_calls(KernelWork(LEAST_WORK, 1, 10))
    small, large = (KernelWork(LEAST_WORK, 1, size) for size in (1000, 4000))
    assert empty_calls(small) == pytest.approx(4 * empty_calls(large), rel=0.01)
    program = _program()
    layout = memory_layout(program, stack_bytes=4096)
    # @add is launched twice a run, @exp once
    works = {
        "add": KernelWork(LEAST_WORK // 2, 1, 1000),
        "exp": KernelWork(LEAST_WORK // 2, 1, 1000),
    }
    text = str(warm_up_function(program.launches, layout, works))
    assert "@add" in text
    assert "@exp" not in text

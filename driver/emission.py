"""The last step on its own: IR of any stage to the text or bytes of a target."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp

from webdnn.codegen.wasm.compile import TRIPLE, compile_assembly, compile_object
from webdnn.codegen.wasm.link import link
from webdnn.codegen.wasm.llvm_ir import to_llvmlite
from webdnn.codegen.wgsl.module import print_wgsl
from webdnn.compiled_kernel import WASM_VARIANTS
from webdnn.compiler import CompileOptions, lower, package_from
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.values import InputValue
from webdnn.ir_files import apply_to_read, lower_read, read_module, stage_of
from webdnn.lowering.target_wasm.kernels_to_llvm import LowerKernelsToLLVM
from webdnn.lowering.target_wasm.launch_calls import PREPARE, RUN, RUN_RANGE
from webdnn.lowering.target_wasm.plan_to_llvm import LowerPlanToLLVM
from webdnn.lowering.target_wasm.warm_up import WARM_UP
from webdnn.stages import Target, context, stage_index

EMISSIONS: dict[str, Target] = {
    "wgsl": "webgpu",
    "llvm-ir": "wasm",
    "wasm-assembly": "wasm",
    "wasm-object": "wasm",
    "wasm-module": "wasm",
    "package": "wasm",
}
"""What can be emitted, and the target whose stages lead there."""


def emit(
    source: Path,
    kind: str,
    output: Path | None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, InputValue] | None = None,
    weights: Path | None = None,
    relaxed: bool = False,
) -> None:
    """Lower the module of a file as far as needed, and write one of `EMISSIONS` to `output` (None: standard output).

    Raises:
        WebDNNError: the file is bad, or its stage is behind what the output is made from.
    """
    ctx = context()
    module, store = read_module(source, ctx, shapes=shapes, values=values, weights=weights)
    stage = stage_of(module)
    if kind == "package":
        if output is None:
            raise WebDNNError("a package is a folder", hint="name it with -o")
        if stage_index(stage) > stage_index("linalg"):
            raise WebDNNError(
                f"a package is made from stage linalg or one before it, not from {stage}"
            )
        options = CompileOptions()
        lower(module, stage, "linalg", None, options)
        package_from(module, store, options, name=source.stem).save(output)
        return
    content = _emitted(module, kind, relaxed, str(source))
    if output is not None:
        output.write_bytes(content)
    else:
        sys.stdout.buffer.write(content)


def _emitted(module: ModuleOp, kind: str, relaxed: bool, name: str) -> bytes:
    if kind == "wgsl":
        lower_read(module, "target", "webgpu", name)
        return print_wgsl(module).encode()
    ctx = context()
    at_target = stage_of(module) == "target"
    lower_read(module, "target" if at_target else "loops", "wasm", name)
    if not at_target:
        for step in (LowerPlanToLLVM(), LowerKernelsToLLVM(relaxed=relaxed)):
            apply_to_read(step, ctx, module, name)
    code = ModuleOp([op.clone() for op in module.ops if isinstance(op, llvm.FuncOp)])
    _, features = WASM_VARIANTS[0 if relaxed else 1]
    match kind:
        case "llvm-ir":
            return str(to_llvmlite(code, triple=TRIPLE)).encode()
        case "wasm-assembly":
            return compile_assembly(code, features).encode()
        case "wasm-object":
            return compile_object(code, features)
        case _:
            names = [
                op.sym_name.data
                for op in code.ops
                if isinstance(op, llvm.FuncOp) and op.body.blocks and _is_exported(op)
            ]
            entry = [n for n in (RUN, RUN_RANGE, WARM_UP, PREPARE) if n in names]
            return link([compile_object(code, features)], exports=entry or names)


def _is_exported(function: llvm.FuncOp) -> bool:
    return function.linkage.linkage.data not in ("internal", "private")

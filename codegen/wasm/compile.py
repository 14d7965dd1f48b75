"""LLVM IR to a wasm32 object."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import llvmlite.binding as llvm
from xdsl.dialects.builtin import ModuleOp

from webdnn.codegen.wasm.llvm_ir import to_llvmlite

TRIPLE = "wasm32-unknown-unknown"

BASE_FEATURES = ("atomics", "bulk-memory", "mutable-globals", "nontrapping-fptoint", "sign-ext")
"""What every engine with SIMD has, and is used without asking. Objects may use atomics so that they can be linked to a
module for threads; kernels do not, so that the same objects do for a module without."""


@cache
def _initialise() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    # Loop strength reduction rewrites addresses to sums of which it does not say that they do
    # not wrap. WebAssembly adds the constant of a load without wrapping, so it could then not
    # hold it: there would be an addition for each load (half the speed in a matrix product).
    llvm.set_option("webdnn", "-disable-lsr")


def _target_machine(features: Sequence[str], speed: int) -> llvm.TargetMachine:
    _initialise()
    target = llvm.Target.from_triple(TRIPLE)
    spelled = ",".join(f"+{f}" for f in sorted({*BASE_FEATURES, *features}))
    return target.create_target_machine(
        cpu="generic", features=spelled, opt=speed, reloc="static", codemodel="default"
    )


def _optimised(
    module: ModuleOp, features: Sequence[str], speed: int
) -> tuple[llvm.ModuleRef, llvm.TargetMachine]:
    machine = _target_machine(features, speed)
    text = str(to_llvmlite(module, triple=TRIPLE))
    parsed = llvm.parse_assembly(text)
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=speed)
    options.loop_vectorization = False
    options.slp_vectorization = False
    options.loop_unrolling = False  # loops that should be unrolled are so in the IR
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed, machine


def compile_object(
    module: ModuleOp, features: Sequence[str] = ("simd128",), *, speed: int = 3
) -> bytes:
    """The wasm32 object file of a module of `llvm.func` ops. It is a pure function of its arguments.

    Args:
        module: functions in the `llvm` and `llvm_ext` dialects.
        features: WebAssembly features beyond `BASE_FEATURES`: `simd128`, `relaxed-simd`.
        speed: LLVM's level of optimisation.
    """
    parsed, machine = _optimised(module, features, speed)
    return machine.emit_object(parsed)


def compile_assembly(
    module: ModuleOp, features: Sequence[str] = ("simd128",), *, speed: int = 3
) -> str:
    """The same as text, for people."""
    parsed, machine = _optimised(module, features, speed)
    return machine.emit_assembly(parsed)

"""`lower-plan-to-llvm`: the host program becomes functions of calls with constant addresses (`run` and its like)."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp, UnitAttr, i32
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel, plan
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.layout import MemoryLayout, memory_layout, stack_bytes
from webdnn.lowering.target_wasm.types import PTR

RUN = "run"
RUN_RANGE = "run_range"
PREPARE = "prepare"
_EXTERNAL = llvm.LinkageAttr("external")


def lower_program(program: plan.ProgramOp, layout: MemoryLayout) -> list[llvm.FuncOp]:
    """`run()`, `run_range(begin, end)`, and `prepare()` where there are launches at load.

    `run_range` runs the launches whose number is at least `begin` and less than `end`. The others call it, so that each
    launch is in the module once; the test before each launch costs nothing beside a kernel.
    """
    launches = [op for op in program.body.block.ops if isinstance(op, plan.LaunchIntoOp)]
    first = sum(op.at_load is not None for op in launches)
    functions = [_run(RUN, first, len(launches)), _run_range(launches, layout)]
    return [_run(PREPARE, 0, first), *functions] if first else functions


def entry_points(program: plan.ProgramOp) -> tuple[str, ...]:
    """The names of the functions that `lower_program` makes."""
    prepares = any(
        isinstance(op, plan.LaunchIntoOp) and op.at_load is not None
        for op in program.body.block.ops
    )
    return (RUN, RUN_RANGE, PREPARE) if prepares else (RUN, RUN_RANGE)


def _run(name: str, begin: int, end: int) -> llvm.FuncOp:
    emitter = Emitter({}, relaxed=False)
    emitter.block.add_op(llvm.CallOp(RUN_RANGE, emitter.int(begin), emitter.int(end)))
    emitter.block.add_op(llvm.ReturnOp())
    return llvm.FuncOp(name, llvm.LLVMFunctionType([]), _EXTERNAL, body=emitter.finish())


def _run_range(launches: list[plan.LaunchIntoOp], layout: MemoryLayout) -> llvm.FuncOp:
    emitter = Emitter({}, relaxed=False)
    begin = emitter.entry.insert_arg(i32, 0)
    end = emitter.entry.insert_arg(i32, 1)
    length = emitter.add(llvm.SubOp(end, begin))
    for number, launch in enumerate(launches):
        # One unsigned comparison for both ends of the range.
        distance = emitter.add(llvm.SubOp(emitter.int(number), begin))
        call, after = emitter.new_block(), emitter.new_block()
        emitter.cond_branch(emitter.icmp("ult", distance, length), call, [], after, [])
        emitter.block = call
        pointers = [_address(emitter, value, layout) for value in launch.arguments]
        emitter.block.add_op(llvm.CallOp(launch.kernel.root_reference.data, *pointers))
        emitter.branch(after)
        emitter.block = after
    emitter.block.add_op(llvm.ReturnOp())
    return llvm.FuncOp(
        RUN_RANGE,
        llvm.LLVMFunctionType([i32, i32]),
        _EXTERNAL,
        body=emitter.finish(),
        other_props={"no_inline": UnitAttr()},
    )


def _address(emitter: Emitter, value: SSAValue, layout: MemoryLayout) -> SSAValue:
    slice = value.owner
    assert isinstance(slice, plan.SliceOp)
    return emitter.add(llvm.IntToPtrOp(emitter.int(layout.address(slice))))


@dataclass(frozen=True)
class LowerPlanToLLVM(ModulePass):
    """Lowers the `plan.program` of a module. Kernels that the module does not define are declared.

    `stack`: bytes of stack; by default what the kernels of the module need, which is known while they are loops.
    """

    name = "lower-plan-to-llvm"

    stack: int = 0

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = op.body.block
        for program in [p for p in block.ops if isinstance(p, plan.ProgramOp)]:
            layout = memory_layout(program, stack_bytes=self.stack or stack_bytes(op))
            functions = lower_program(program, layout)
            defined = {
                f.sym_name.data for f in block.ops if isinstance(f, llvm.FuncOp | kernel.FuncOp)
            }
            block.insert_ops_before([*_declarations(program, defined), *functions], program)
            block.erase_op(program)


def _declarations(program: plan.ProgramOp, defined: set[str]) -> list[llvm.FuncOp]:
    result: list[llvm.FuncOp] = []
    for launch in program.body.block.ops:
        if not isinstance(launch, plan.LaunchIntoOp):
            continue
        name = launch.kernel.root_reference.data
        if name not in defined:
            defined.add(name)
            type = llvm.LLVMFunctionType([PTR] * len(launch.arguments))
            result.append(llvm.FuncOp(name, type, _EXTERNAL))
    return result


def program_module(program: plan.ProgramOp, layout: MemoryLayout) -> ModuleOp:
    """A module of its own with `run`, `run_range` and declarations of the kernels they call."""
    return ModuleOp([*_declarations(program, set()), *lower_program(program, layout)])

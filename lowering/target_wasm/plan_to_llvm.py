"""`lower-plan-to-llvm`: the host program becomes functions of calls with constant addresses (`run` and its like)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp, i32
from xdsl.passes import ModulePass

from webdnn.dialects import kernel, plan
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.launch_calls import (
    PREPARE,
    RUN,
    RUN_RANGE,
    KernelWork,
    Works,
    call_in_range,
    function,
    kernel_of,
    run_functions,
)
from webdnn.lowering.target_wasm.layout import MemoryLayout, memory_layout, stack_bytes
from webdnn.lowering.target_wasm.size_table import SizeTable
from webdnn.lowering.target_wasm.threaded_program import HELP, START, lower_threaded_program
from webdnn.lowering.target_wasm.types import PTR
from webdnn.lowering.target_wasm.warm_up import WARM_UP, warm_up_function


def lower_program(
    program: plan.ProgramOp, layout: MemoryLayout, works: Works, table: SizeTable
) -> list[llvm.FuncOp]:
    """`run()`, `run_range(begin, end)`, `warm_up()`, and `prepare()` where there are launches at load.

    `run_range` runs the launches whose number is at least `begin` and less than `end`. The others call it, so that each
    launch is in the module once; the test before each launch costs nothing beside a kernel.
    """
    launches = program.launches
    emitter = Emitter({}, relaxed=False)
    begin, end = (emitter.entry.insert_arg(i32, i) for i in range(2))
    for number, launch in enumerate(launches):
        call_in_range(emitter, number, launch, (begin, end), layout, works, table)
    emitter.block.add_op(llvm.ReturnOp())
    warm_up = warm_up_function(launches, layout, works)
    return [*run_functions(launches), warm_up, function(RUN_RANGE, 2, emitter)]


def entry_points(program: plan.ProgramOp, *, threads: bool = False) -> tuple[str, ...]:
    """The names of the functions that a module with this program exports."""
    at_load = (PREPARE,) if plan.count_at_load(program.launches) else ()
    return (RUN, RUN_RANGE, WARM_UP, *at_load, *((START, HELP) if threads else ()))


@dataclass(frozen=True)
class LowerPlanToLLVM(ModulePass):
    """Lowers the `plan.program` of a module. Kernels that the module does not define are declared.

    `stack`: bytes of stack; by default what the kernels of the module need, which is known while they are loops.
    `threads`: make the program for several threads.
    """

    name = "lower-plan-to-llvm"

    stack: int = 0
    threads: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        block = op.body.block
        works = {
            f.sym_name.data: work
            for f in block.ops
            if isinstance(f, kernel.FuncOp) and (work := KernelWork.of(f)) is not None
        }
        lower = lower_threaded_program if self.threads else lower_program
        for program in [p for p in block.ops if isinstance(p, plan.ProgramOp)]:
            layout = memory_layout(program, stack_bytes=self.stack or stack_bytes(op))
            functions = lower(program, layout, works, size_table(program, layout, works))
            defined = {
                f.sym_name.data for f in block.ops if isinstance(f, llvm.FuncOp | kernel.FuncOp)
            }
            declarations = _declarations(program, works, defined)
            block.insert_ops_before([*declarations, *functions], program)
            block.erase_op(program)


def _declarations(program: plan.ProgramOp, works: Works, defined: set[str]) -> list[llvm.FuncOp]:
    result: list[llvm.FuncOp] = []
    for launch in program.launches:
        name = kernel_of(launch)
        if name not in defined:
            defined.add(name)
            part = [i32, i32] if name in works else []
            sizes = [i32] * len(launch.kernel_sizes)
            type = llvm.LLVMFunctionType([*sizes, *[PTR] * len(launch.arguments), *part])
            result.append(llvm.FuncOp(name, type, llvm.LinkageAttr("external")))
    return result


def size_table(program: plan.ProgramOp, layout: MemoryLayout, works: Works) -> SizeTable:
    """The table that the functions of a program read: one for those of all modules."""

    def sizes() -> Iterator[int]:
        for launch in program.launches:
            yield from launch.kernel_sizes
            yield from (layout.address(plan.slice_of(value)) for value in launch.arguments)
            if (work := works.get(kernel_of(launch))) is not None:
                yield work.of_launch(launch)

    table = SizeTable.of(layout.table_offset, sizes())
    assert len(table.words) <= layout.table_words
    return table


def program_module(
    program: plan.ProgramOp, layout: MemoryLayout, works: Works, *, threads: bool = False
) -> ModuleOp:
    """A module of its own with the entry points and declarations of the kernels that they call."""
    lower = lower_threaded_program if threads else lower_program
    functions = lower(program, layout, works, size_table(program, layout, works))
    return ModuleOp([*_declarations(program, works, set()), *functions])

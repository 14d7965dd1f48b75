"""`lower-plan-to-llvm`: the host program becomes functions of calls with constant addresses (`run` and its like)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import llvm
from xdsl.dialects.builtin import ModuleOp, UnitAttr, i32
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel, plan
from webdnn.lowering.target_wasm.barrier import BARRIER, Control, barrier_function
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.layout import MemoryLayout, memory_layout, stack_bytes
from webdnn.lowering.target_wasm.types import PTR

RUN = "run"
RUN_RANGE = "run_range"
PREPARE = "prepare"
START = "start"
HELP = "help"

_SHARE = "run_share"
_EXTERNAL = llvm.LinkageAttr("external")
_INTERNAL = llvm.LinkageAttr("internal")


@dataclass(frozen=True)
class KernelWork:
    """How the work of a kernel is measured (see `kernel.func`)."""

    work: int
    grain: int

    @staticmethod
    def of(func: kernel.FuncOp) -> KernelWork | None:
        """That of a kernel of level `loops`; None if its work cannot be shared."""
        if func.work is None or func.grain is None:
            return None
        return KernelWork(func.work.value.data, func.grain.value.data)

    @property
    def parts(self) -> int:
        """How many threads may share it to advantage."""
        return max(1, self.work // self.grain)


Works = Mapping[str, KernelWork]
"""Those kernels by name whose work can be shared."""


def lower_program(program: plan.ProgramOp, layout: MemoryLayout, works: Works) -> list[llvm.FuncOp]:
    """`run()`, `run_range(begin, end)`, and `prepare()` where there are launches at load.

    `run_range` runs the launches whose number is at least `begin` and less than `end`. The others call it, so that each
    launch is in the module once; the test before each launch costs nothing beside a kernel.
    """
    launches = _launches(program)
    emitter = Emitter({}, relaxed=False)
    begin, end = (emitter.entry.insert_arg(i32, i) for i in range(2))

    def call(launch: plan.LaunchIntoOp) -> None:
        work = works.get(_kernel(launch))
        part = () if work is None else (emitter.int(0), emitter.int(work.work))
        _call(emitter, launch, layout, part)

    _each_in_range(emitter, launches, begin, end, call)
    emitter.block.add_op(llvm.ReturnOp())
    return [*_runs(launches), _function(RUN_RANGE, 2, emitter)]


def lower_threaded_program(
    program: plan.ProgramOp, layout: MemoryLayout, works: Works
) -> list[llvm.FuncOp]:
    """The program for several threads, each an instance of the module over the same memory.

    - `start(threads)` is called once, before all else;
    - `help(thread)` is called by the threads 1, 2, ... and never returns;
    - `run()`, `run_range(begin, end)` and `prepare()` are for thread 0; they return when all are done.

    All threads walk the same launches: of each they do their part, if its work is shared, or thread 0 does it alone.
    They wait for each other between two launches, but not between two that thread 0 does alone.
    """
    launches = _launches(program)
    control = Control(layout.control_offset)
    return [
        *_runs(launches),
        _lead(control),
        _start(control),
        _help(control),
        _share(launches, layout, works, control),
        barrier_function(control),
    ]


def entry_points(program: plan.ProgramOp, *, threads: bool = False) -> tuple[str, ...]:
    """The names of the functions that a module with this program exports."""
    at_load = (PREPARE,) if _count_at_load(_launches(program)) else ()
    return (RUN, RUN_RANGE, *at_load, *((START, HELP) if threads else ()))


def _count_at_load(launches: Sequence[plan.LaunchIntoOp]) -> int:
    """How many launches, the first ones, run once at load."""
    return sum(op.at_load is not None for op in launches)


def _launches(program: plan.ProgramOp) -> list[plan.LaunchIntoOp]:
    return [op for op in program.body.block.ops if isinstance(op, plan.LaunchIntoOp)]


def _kernel(launch: plan.LaunchIntoOp) -> str:
    return launch.kernel.root_reference.data


def _function(
    name: str, arguments: int, emitter: Emitter, linkage: llvm.LinkageAttr = _EXTERNAL
) -> llvm.FuncOp:
    """A function of some i32, which is not inlined, so that its code is there once."""
    return llvm.FuncOp(
        name,
        llvm.LLVMFunctionType([i32] * arguments),
        linkage,
        body=emitter.finish(),
        other_props={"no_inline": UnitAttr()},
    )


def _runs(launches: Sequence[plan.LaunchIntoOp]) -> list[llvm.FuncOp]:
    """`run()`, and `prepare()` where there are launches at load: calls of `run_range`."""
    first = _count_at_load(launches)
    run = _run(RUN, first, len(launches))
    return [_run(PREPARE, 0, first), run] if first else [run]


def _run(name: str, begin: int, end: int) -> llvm.FuncOp:
    emitter = Emitter({}, relaxed=False)
    emitter.block.add_op(llvm.CallOp(RUN_RANGE, emitter.int(begin), emitter.int(end)))
    emitter.block.add_op(llvm.ReturnOp())
    return llvm.FuncOp(name, llvm.LLVMFunctionType([]), _EXTERNAL, body=emitter.finish())


def _each_in_range(
    emitter: Emitter,
    launches: Sequence[plan.LaunchIntoOp],
    begin: SSAValue,
    end: SSAValue,
    body: Callable[[plan.LaunchIntoOp], None],
) -> None:
    """What `body` emits for each launch, run for those in a range."""
    length = emitter.add(llvm.SubOp(end, begin))
    for number, launch in enumerate(launches):
        # One unsigned comparison for both ends of the range.
        distance = emitter.add(llvm.SubOp(emitter.int(number), begin))
        inside, after = emitter.new_block(), emitter.new_block()
        emitter.cond_branch(emitter.icmp("ult", distance, length), inside, [], after, [])
        emitter.block = inside
        body(launch)
        emitter.branch(after)
        emitter.block = after


def _call(
    emitter: Emitter, launch: plan.LaunchIntoOp, layout: MemoryLayout, part: Sequence[SSAValue]
) -> None:
    pointers = [_address(emitter, value, layout) for value in launch.arguments]
    emitter.block.add_op(llvm.CallOp(_kernel(launch), *pointers, *part))


def _address(emitter: Emitter, value: SSAValue, layout: MemoryLayout) -> SSAValue:
    slice = value.owner
    assert isinstance(slice, plan.SliceOp)
    return emitter.add(llvm.IntToPtrOp(emitter.int(layout.address(slice))))


# several threads


def _barrier(emitter: Emitter) -> None:
    emitter.block.add_op(llvm.CallOp(BARRIER))


def _start(control: Control) -> llvm.FuncOp:
    """`start(threads)`: says how many there are."""
    emitter = Emitter({}, relaxed=False)
    control.store(emitter, "threads", emitter.entry.insert_arg(i32, 0))
    emitter.block.add_op(llvm.ReturnOp())
    return _function(START, 1, emitter)


def _lead(control: Control) -> llvm.FuncOp:
    """`run_range` of thread 0: says what is to be run, and takes part."""
    emitter = Emitter({}, relaxed=False)
    begin, end = (emitter.entry.insert_arg(i32, i) for i in range(2))
    control.store(emitter, "begin", begin)
    control.store(emitter, "end", end)
    _barrier(emitter)
    emitter.block.add_op(llvm.CallOp(_SHARE, emitter.int(0), begin, end))
    _barrier(emitter)
    emitter.block.add_op(llvm.ReturnOp())
    return _function(RUN_RANGE, 2, emitter)


def _help(control: Control) -> llvm.FuncOp:
    """`help` of the other threads: waits for what is to be run, takes part, and so on for ever."""
    emitter = Emitter({}, relaxed=False)
    thread = emitter.entry.insert_arg(i32, 0)
    again = emitter.new_block()
    emitter.branch(again)
    emitter.block = again
    _barrier(emitter)
    begin, end = control.load(emitter, "begin"), control.load(emitter, "end")
    emitter.block.add_op(llvm.CallOp(_SHARE, thread, begin, end))
    _barrier(emitter)
    emitter.branch(again)
    return _function(HELP, 1, emitter)


def _share(
    launches: Sequence[plan.LaunchIntoOp], layout: MemoryLayout, works: Works, control: Control
) -> llvm.FuncOp:
    """`run_share(thread, begin, end)`: the part of one thread in all launches of a range."""
    emitter = Emitter({}, relaxed=False)
    thread, begin, end = (emitter.entry.insert_arg(i32, i) for i in range(3))
    threads = control.load(emitter, "threads")
    alone = [
        works.get(_kernel(launch)) is None or works[_kernel(launch)].parts < 2
        for launch in launches
    ]
    numbers = iter(range(len(launches)))

    def body(launch: plan.LaunchIntoOp) -> None:
        number = next(numbers)
        if number and not (alone[number - 1] and alone[number]):
            _barrier(emitter)
        work = works.get(_kernel(launch))
        parts = emitter.int(1)
        if work is not None and not alone[number]:
            fewest = emitter.int(work.parts)
            parts = emitter.select(emitter.icmp("ult", threads, fewest), threads, fewest)
        call, after = emitter.new_block(), emitter.new_block()
        emitter.cond_branch(emitter.icmp("ult", thread, parts), call, [], after, [])
        emitter.block = call
        _call(emitter, launch, layout, _part(emitter, work, thread, parts))
        emitter.branch(after)
        emitter.block = after

    _each_in_range(emitter, launches, begin, end, body)
    emitter.block.add_op(llvm.ReturnOp())
    return _function(_SHARE, 3, emitter, _INTERNAL)


def _part(
    emitter: Emitter, work: KernelWork | None, thread: SSAValue, parts: SSAValue
) -> tuple[SSAValue, ...]:
    """The range of work of a thread: equal ones, and the last one up to the end."""
    if work is None:
        return ()
    whole = emitter.int(work.work)
    each = emitter.binary(llvm.UDivOp, whole, parts)
    begin = emitter.binary(llvm.MulOp, each, thread)
    following = emitter.binary(llvm.AddOp, thread, emitter.int(1))
    is_last = emitter.icmp("eq", following, parts)
    return begin, emitter.select(is_last, whole, emitter.binary(llvm.AddOp, begin, each))


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
            functions = lower(program, layout, works)
            defined = {
                f.sym_name.data for f in block.ops if isinstance(f, llvm.FuncOp | kernel.FuncOp)
            }
            declarations = _declarations(program, works, defined)
            block.insert_ops_before([*declarations, *functions], program)
            block.erase_op(program)


def _declarations(program: plan.ProgramOp, works: Works, defined: set[str]) -> list[llvm.FuncOp]:
    result: list[llvm.FuncOp] = []
    for launch in _launches(program):
        name = _kernel(launch)
        if name not in defined:
            defined.add(name)
            part = [i32, i32] if name in works else []
            type = llvm.LLVMFunctionType([*[PTR] * len(launch.arguments), *part])
            result.append(llvm.FuncOp(name, type, _EXTERNAL))
    return result


def program_module(
    program: plan.ProgramOp, layout: MemoryLayout, works: Works, *, threads: bool = False
) -> ModuleOp:
    """A module of its own with the entry points and declarations of the kernels that they call."""
    lower = lower_threaded_program if threads else lower_program
    return ModuleOp([*_declarations(program, works, set()), *lower(program, layout, works)])

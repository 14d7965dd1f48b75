"""The program for several threads, each an instance of the module over the same memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import llvm
from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from webdnn.dialects import plan
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.lowering.target_wasm.control_words import Control
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.launch_calls import (
    RUN_RANGE,
    Works,
    call,
    call_in_range,
    function,
    is_in_range,
    kernel_of,
    run_functions,
)
from webdnn.lowering.target_wasm.layout import MemoryLayout
from webdnn.lowering.target_wasm.size_table import SizeTable
from webdnn.lowering.target_wasm.warm_up import warm_up_function
from webdnn.lowering.target_wasm.work_queues import (
    CLAIM,
    FINISH,
    SPINS,
    claim_function,
    finish_function,
)

START = "start"
HELP = "help"

CHUNKS = 64
"""A launch is cut into at most so many chunks: the last one that is finished is then a small part of it, and to take
one, 0.1 microseconds, costs little beside it."""

_SHARE = "run_share"


@dataclass(frozen=True)
class Step:
    """Launches between which threads need not wait for each other.

    Attributes:
        first: the number of the first one.
        launches: one that is cut into chunks, or some in a row that are too small for that, and are one chunk together.
        chunks: how many.
    """

    first: int
    launches: tuple[plan.LaunchIntoOp, ...]
    chunks: int


def steps_of(launches: Sequence[plan.LaunchIntoOp], works: Works) -> list[Step]:
    """The steps of a program, in order."""
    steps: list[Step] = []
    for number, launch in enumerate(launches):
        work = works.get(kernel_of(launch))
        chunks = 1 if work is None else min(CHUNKS, work.parts(launch))
        if chunks == 1 and steps and steps[-1].chunks == 1:
            before = steps.pop()
            steps.append(Step(before.first, (*before.launches, launch), 1))
        else:
            steps.append(Step(number, (launch,), chunks))
    return steps


def lower_threaded_program(
    program: plan.ProgramOp, layout: MemoryLayout, works: Works, table: SizeTable
) -> list[llvm.FuncOp]:
    """The functions of the program.

    - `start(threads)` is called once, before all else;
    - `help(thread)` is called by the threads 1, 2, ... and never returns;
    - `run()`, `run_range(begin, end)` and `prepare()` are for thread 0; they return when all is done;
    - `warm_up()` concerns the thread that calls it alone.

    All threads walk the same steps. Of each step they take chunks until there are none left, and then wait until all
    are finished. Which thread does what depends on who comes first, and what is computed does not.

    Into how many chunks a step is cut does not depend on sizes, so that a late thread counts as the others do; and the
    table is read only by a thread that has taken a chunk, so by none that still believes in a run that is over.
    """
    launches = program.launches
    control = Control(layout.control_offset)
    return [
        *run_functions(launches),
        warm_up_function(launches, layout, works),
        _lead(control),
        _start(control),
        _help(control),
        _share(steps_of(launches, works), layout, works, table),
        claim_function(control),
        finish_function(control),
    ]


def _start(control: Control) -> llvm.FuncOp:
    """`start(threads)`: says how many there are."""
    emitter = Emitter({}, relaxed=False)
    control.put(emitter, "threads", emitter.entry.insert_arg(i32, 0))
    emitter.block.add_op(llvm.ReturnOp())
    return function(START, 1, emitter)


def _lead(control: Control) -> llvm.FuncOp:
    """`run_range` of thread 0: says what is to be run, and takes part."""
    emitter = Emitter({}, relaxed=False)
    begin, end = (emitter.entry.insert_arg(i32, i) for i in range(2))
    one = emitter.int(1)
    control.count(emitter, "generation", one)
    base = control.look(emitter, "done")
    for name, value in (("begin", begin), ("end", end), ("base", base)):
        control.put(emitter, name, value)
    control.count(emitter, "generation", one)
    control.wake(emitter, "generation", "idle")
    emitter.block.add_op(llvm.CallOp(_SHARE, emitter.int(0), begin, end, base))
    emitter.block.add_op(llvm.ReturnOp())
    return function(RUN_RANGE, 2, emitter)


def _help(control: Control) -> llvm.FuncOp:
    """`help` of the other threads: waits for a run, takes part, and so on for ever.

    It may come at any time of a run, or not at all. What it reads of a run is that of one run if the generation has not
    changed meanwhile; if that run is over by then, it finds nothing to do.
    """
    emitter = Emitter({}, relaxed=False)
    thread = emitter.entry.insert_arg(i32, 0)
    one, zero = emitter.int(1), emitter.int(0)
    wait, look = emitter.new_block([i32]), emitter.new_block([i32])
    again, asleep = emitter.new_block(), emitter.new_block()
    begun, read, go = (emitter.new_block() for _ in range(3))
    emitter.branch(wait, [zero])

    emitter.block = wait
    (known,) = wait.args
    emitter.branch(look, [zero])

    emitter.block = look
    (looks,) = look.args
    generation = control.look(emitter, "generation")
    emitter.cond_branch(emitter.icmp("eq", generation, known), again, [], begun, [])
    emitter.block = again
    following = emitter.binary(llvm.AddOp, looks, one)
    more = emitter.icmp("ult", following, emitter.int(SPINS))
    emitter.cond_branch(more, look, [following], asleep, [])
    emitter.block = asleep
    control.sleep(emitter, "generation", known, "idle")
    emitter.branch(look, [zero])

    emitter.block = begun
    is_odd = emitter.icmp("ne", emitter.binary(llvm.AndOp, generation, one), zero)
    emitter.cond_branch(is_odd, look, [zero], read, [])
    emitter.block = read
    run = [control.look(emitter, name) for name in ("begin", "end", "base")]
    is_one = emitter.icmp("eq", control.look(emitter, "generation"), generation)
    emitter.cond_branch(is_one, go, [], look, [zero])
    emitter.block = go
    emitter.block.add_op(llvm.CallOp(_SHARE, thread, *run))
    emitter.branch(wait, [generation])
    return function(HELP, 1, emitter)


def _share(
    steps: Sequence[Step], layout: MemoryLayout, works: Works, table: SizeTable
) -> llvm.FuncOp:
    """`run_share(thread, begin, end, base)`: what one thread does of a run whose chunks have numbers from `base` on."""
    emitter = Emitter({}, relaxed=False)
    thread, begin, end, first = (emitter.entry.insert_arg(i32, i) for i in range(4))
    for step in steps:
        inside, after = emitter.new_block(), emitter.new_block([i32])
        runs = _runs(emitter, step, (begin, end))
        emitter.cond_branch(runs, inside, [], after, [first])
        emitter.block = inside
        beyond = emitter.binary(llvm.AddOp, first, emitter.int(step.chunks))
        take, work, leave = emitter.new_block([i32]), emitter.new_block(), emitter.new_block()
        emitter.branch(take, [emitter.int(0)])

        emitter.block = take
        (count,) = take.args
        chunks = emitter.int(step.chunks)
        chunk = emitter.add(llvm.CallOp(CLAIM, thread, first, chunks, return_type=i32))
        none = emitter.icmp("slt", chunk, emitter.int(0))
        emitter.cond_branch(none, leave, [], work, [])

        emitter.block = work
        if step.chunks == 1:
            for number, launch in enumerate(step.launches, step.first):
                call_in_range(emitter, number, launch, (begin, end), layout, works, table)
        else:
            (launch,) = step.launches
            work = works[kernel_of(launch)].of_launch(launch)
            call(emitter, launch, layout, _part(emitter, work, chunk, step.chunks, table), table)
        emitter.branch(take, [emitter.binary(llvm.AddOp, count, emitter.int(1))])

        emitter.block = leave
        emitter.block.add_op(llvm.CallOp(FINISH, beyond, count))
        emitter.branch(after, [beyond])
        emitter.block = after
        (first,) = after.args
    emitter.block.add_op(llvm.ReturnOp())
    return function(_SHARE, 4, emitter, exported=False)


def _runs(emitter: Emitter, step: Step, within: tuple[SSAValue, SSAValue]) -> SSAValue:
    """Whether any launch of a step is in a range."""
    if len(step.launches) == 1:
        return is_in_range(emitter, step.first, within)
    begin, end = within
    last = emitter.int(step.first + len(step.launches) - 1)
    begins = emitter.icmp("ule", begin, last)
    return emitter.binary(llvm.AndOp, begins, emitter.icmp("ult", emitter.int(step.first), end))


def _part(
    emitter: Emitter, work: int, chunk: SSAValue, chunks: int, table: SizeTable
) -> tuple[SSAValue, SSAValue]:
    """The range of work of a chunk: equal ones, and the last one up to the end."""
    if is_symbolic(work):
        each = emitter.binary(llvm.UDivOp, table(emitter, work), emitter.int(chunks))
    else:
        each = emitter.int(work // chunks)
    begin = emitter.binary(llvm.MulOp, chunk, each)
    is_last = emitter.icmp("eq", chunk, emitter.int(chunks - 1))
    end = emitter.binary(llvm.AddOp, begin, each)
    return begin, emitter.select(is_last, table(emitter, work), end)

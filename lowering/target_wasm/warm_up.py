"""`warm_up()`: makes an engine optimise the kernels before the first run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from math import ceil

from xdsl.dialects import llvm
from xdsl.dialects.builtin import i32

from webdnn.dialects import plan
from webdnn.dialects.sizes.substitution import likely
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.launch_calls import (
    KernelWork,
    Works,
    call,
    function,
    kernel_of,
)
from webdnn.lowering.target_wasm.layout import MemoryLayout
from webdnn.lowering.target_wasm.size_table import likely_number

WARM_UP = "warm_up"

EMPTY_CALLS = 10_000
"""How often `warm_up` calls a kernel at most: they take some 40 nanoseconds each."""

LEAST_WORK = 3_000_000
"""Kernels that do less in a run (in units of `KernelWork.work`) are not worth the calls, which would take longer than
what is done in haste."""

TIERING_BUDGET = 13_000_000
"""V8 optimises a function when about so many bytes of the machine code that it made in haste have been run. An empty
call counts for all of the function's code."""

HASTY_BYTES = 1.7
"""Bytes of machine code that V8 makes in haste of one byte of a kernel's object file, at least: with 1.8 all are
optimised that are with more calls, with 2.2 half of them (`--trace-wasm-compilation-times`)."""


def empty_calls(work: KernelWork) -> int:
    """How many empty calls let V8 optimise a kernel. Small ones would need more; they get there by themselves soon."""
    if work.code_bytes is None:
        return EMPTY_CALLS
    return min(EMPTY_CALLS, ceil(TIERING_BUDGET / (HASTY_BYTES * max(work.code_bytes, 1))))


def _worth_it(launches: Sequence[plan.LaunchIntoOp], works: Works) -> Iterable[plan.LaunchIntoOp]:
    """A launch of each kernel with enough work, in the order of a first run: what comes first is optimised first."""
    work: Counter[str] = Counter()
    first: dict[str, tuple[int, plan.LaunchIntoOp]] = {}
    begin = plan.count_at_load(launches)
    for number, launch in enumerate(launches, -begin):
        name = kernel_of(launch)
        if launch.first_run is not None or name not in works:
            continue
        work[name] += likely(works[name].of_launch(launch))
        when = number if launch.at_load is None else launch.at_load.value.data
        if name not in first or when < first[name][0]:
            first[name] = when, launch
    for name, (_, launch) in sorted(first.items(), key=lambda item: item[1][0]):
        if work[name] >= LEAST_WORK:
            yield launch


def warm_up_function(
    launches: Sequence[plan.LaunchIntoOp], layout: MemoryLayout, works: Works
) -> llvm.FuncOp:
    """`warm_up()`: calls each kernel whose work can be shared many times with an empty part of it.

    Engines compile functions in haste at first, and those that are called often once more, with optimisation, on other
    threads. Code made in haste is six to ten times as slow here, and a kernel that is called once a run would run it to
    its end. Called while weights are on their way, this lets a first run have the better code. No tensor is read or
    written.
    """
    emitter = Emitter({}, relaxed=False)
    nothing = emitter.int(0)
    for launch in _worth_it(launches, works):
        name = kernel_of(launch)
        again, after = emitter.new_block([i32]), emitter.new_block()
        emitter.branch(again, [nothing])
        emitter.block = again
        call(emitter, launch, layout, (nothing, nothing), likely_number)
        following = emitter.binary(llvm.AddOp, again.args[0], emitter.int(1))
        more = emitter.icmp("ult", following, emitter.int(empty_calls(works[name])))
        emitter.cond_branch(more, again, [following], after, [])
        emitter.block = after
    emitter.block.add_op(llvm.ReturnOp())
    return function(WARM_UP, 0, emitter)

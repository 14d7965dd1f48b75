"""`warm_up()`: makes an engine optimise the kernels before the first run."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects import llvm
from xdsl.dialects.builtin import i32

from webdnn.dialects import plan
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.launch_calls import Works, call, function, kernel_of
from webdnn.lowering.target_wasm.layout import MemoryLayout

WARM_UP = "warm_up"

EMPTY_CALLS = 10_000
"""How often `warm_up` calls a kernel.

V8 optimises a function when about 13 million bytes of the machine code that it made in haste have been run, and an
empty call counts for all of the function's code: of 1.3 KB and more, so many calls are enough. They take some 20
nanoseconds each. Smaller functions get there by themselves soon.
"""


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
    seen: set[str] = set()
    for launch in launches:
        name = kernel_of(launch)
        if name in seen or name not in works:
            continue
        seen.add(name)
        again, after = emitter.new_block([i32]), emitter.new_block()
        emitter.branch(again, [nothing])
        emitter.block = again
        call(emitter, launch, layout, (nothing, nothing))
        following = emitter.binary(llvm.AddOp, again.args[0], emitter.int(1))
        more = emitter.icmp("ult", following, emitter.int(EMPTY_CALLS))
        emitter.cond_branch(more, again, [following], after, [])
        emitter.block = after
    emitter.block.add_op(llvm.ReturnOp())
    return function(WARM_UP, 0, emitter)

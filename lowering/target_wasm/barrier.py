"""The barrier of threads that share a memory, and the words by which they tell each other what to do.

The barrier counts those who have arrived; the last one begins a new generation, for which the others wait: spinning at
first, because most waits are short, then asleep (`memory.atomic.wait32`), so that an idle model costs nothing. Who goes
to sleep says so before it looks at the generation for the last time, and the last one looks for sleepers after it has
changed the generation; as all of this is sequentially consistent, nobody is left asleep.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.dialects import llvm
from xdsl.dialects.builtin import UnitAttr, i32, i64
from xdsl.ir import SSAValue

from webdnn.dialects import llvm_ext
from webdnn.lowering.target_wasm import ops
from webdnn.lowering.target_wasm.emitter import Emitter

BARRIER = "barrier"

SPINS = 10_000_000
"""Looks at the generation before a thread goes to sleep: about ten milliseconds.

A thread that sleeps is woken on the core where it last ran, which may be that of the thread that wakes it; if both
sleep at every barrier, they take turns on one core for good. Two that spin there are moved apart by the scheduler in
some milliseconds, and stay so. (MobileNetV2 on two threads: 10 ms; with a fiftieth of the spins, 17.)
"""

_LINE = 64
_FIELDS = {
    "arrived": 0,
    "generation": _LINE,
    "sleepers": 2 * _LINE,
    "threads": 3 * _LINE,
    "begin": 3 * _LINE + 4,
    "end": 3 * _LINE + 8,
}


@dataclass(frozen=True)
class Control:
    """Words at `offset` of the memory: those that are written often have a line of the cache each.

    - `arrived`: how many wait at the barrier;
    - `generation`: how often all have passed it;
    - `sleepers`: how many sleep, or are about to;
    - `threads`, `begin`, `end`: how many threads there are, and the launches to run.
    """

    offset: int

    def address(self, emitter: Emitter, name: str) -> SSAValue:
        return emitter.add(llvm.IntToPtrOp(emitter.int(self.offset + _FIELDS[name])))

    def load(self, emitter: Emitter, name: str) -> SSAValue:
        """A word that only changes between two barriers."""
        return emitter.add(ops.load(self.address(emitter, name), i32, 4))

    def store(self, emitter: Emitter, name: str, value: SSAValue) -> None:
        """Set a word that nobody reads before the next barrier."""
        emitter.block.add_op(ops.store(value, self.address(emitter, name), 4))

    def look(self, emitter: Emitter, name: str) -> SSAValue:
        return emitter.add(llvm_ext.AtomicLoadOp(self.address(emitter, name)))

    def put(self, emitter: Emitter, name: str, value: SSAValue) -> None:
        emitter.block.add_op(llvm_ext.AtomicStoreOp(value, self.address(emitter, name)))

    def count(self, emitter: Emitter, name: str, by: int) -> SSAValue:
        """Adds, and gives what there was before."""
        return emitter.add(llvm_ext.AtomicAddOp(emitter.int(by), self.address(emitter, name)))


def barrier_function(control: Control) -> llvm.FuncOp:
    """`barrier()`: returns when all threads have called it. What they did before can then be seen by all."""
    emitter = Emitter({}, relaxed=False)
    threads = control.load(emitter, "threads")
    generation = control.look(emitter, "generation")
    before = control.count(emitter, "arrived", 1)
    arrived = emitter.binary(llvm.AddOp, before, emitter.int(1))
    release, spin, done = emitter.new_block(), emitter.new_block([i32]), emitter.new_block()
    is_last = emitter.icmp("eq", arrived, threads)
    emitter.cond_branch(is_last, release, [], spin, [emitter.int(0)])

    emitter.block = release
    control.put(emitter, "arrived", emitter.int(0))
    control.put(emitter, "generation", emitter.binary(llvm.AddOp, generation, emitter.int(1)))
    wake = emitter.new_block()
    nobody = emitter.icmp("eq", control.look(emitter, "sleepers"), emitter.int(0))
    emitter.cond_branch(nobody, done, [], wake, [])
    emitter.block = wake
    _intrinsic(emitter, "notify", [control.address(emitter, "generation"), emitter.int(-1)])
    emitter.branch(done)

    emitter.block = spin
    (spins,) = spin.args
    again, sleep = emitter.new_block(), emitter.new_block()
    emitter.cond_branch(_has_passed(emitter, control, generation), done, [], again, [])
    emitter.block = again
    following = emitter.binary(llvm.AddOp, spins, emitter.int(1))
    more = emitter.icmp("ult", following, emitter.int(SPINS))
    emitter.cond_branch(more, spin, [following], sleep, [])

    emitter.block = sleep
    control.count(emitter, "sleepers", 1)
    forever = emitter.int(-1, i64)
    _intrinsic(emitter, "wait32", [control.address(emitter, "generation"), generation, forever])
    control.count(emitter, "sleepers", -1)
    emitter.cond_branch(_has_passed(emitter, control, generation), done, [], sleep, [])

    emitter.block = done
    emitter.block.add_op(llvm.ReturnOp())
    return llvm.FuncOp(
        BARRIER,
        llvm.LLVMFunctionType([]),
        llvm.LinkageAttr("internal"),
        body=emitter.finish(),
        other_props={"no_inline": UnitAttr()},
    )


def _has_passed(emitter: Emitter, control: Control, generation: SSAValue) -> SSAValue:
    return emitter.icmp("ne", control.look(emitter, "generation"), generation)


def _intrinsic(emitter: Emitter, name: str, args: Sequence[SSAValue]) -> None:
    emitter.add(ops.intrinsic(f"llvm.wasm.memory.atomic.{name}", args, i32))

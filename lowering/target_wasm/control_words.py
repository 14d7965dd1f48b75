"""The words by which threads that share a memory tell each other what to do."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.dialects import llvm
from xdsl.dialects.builtin import i32, i64
from xdsl.ir import SSAValue

from webdnn.dialects import llvm_ext
from webdnn.lowering.target_wasm import ops
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.layout import CACHE_LINE, CONTROL_LINES

_FIELDS = {
    "done": 0,
    "generation": CACHE_LINE,
    "idle": 2 * CACHE_LINE,
    "threads": 3 * CACHE_LINE,
    "begin": 3 * CACHE_LINE + 4,
    "end": 3 * CACHE_LINE + 8,
    "base": 3 * CACHE_LINE + 12,
}
_NEXT = CONTROL_LINES * CACHE_LINE


@dataclass(frozen=True)
class Control:
    """Words at `offset` of the memory: those that are written often have a line of the cache each.

    - `done`: how many chunks of work have been finished, ever;
    - `generation`: even, changes with each run, odd while the words of a run change; `idle`: how many threads sleep
      until it does;
    - `threads`: how many there are; `begin`, `end`: the launches of the run; `base`: what `done` was at its start;
    - for each thread the `next` chunk that its queue has.
    """

    offset: int

    def address(self, emitter: Emitter, name: str) -> SSAValue:
        return emitter.add(llvm.IntToPtrOp(emitter.int(self.offset + _FIELDS[name])))

    def next(self, emitter: Emitter, thread: SSAValue) -> SSAValue:
        """The address of the `next` of a thread."""
        distance = emitter.binary(llvm.MulOp, thread, emitter.int(CACHE_LINE))
        first = emitter.int(self.offset + _NEXT)
        return emitter.add(llvm.IntToPtrOp(emitter.binary(llvm.AddOp, distance, first)))

    def look(self, emitter: Emitter, name: str) -> SSAValue:
        return emitter.add(llvm_ext.AtomicLoadOp(self.address(emitter, name)))

    def put(self, emitter: Emitter, name: str, value: SSAValue) -> None:
        emitter.block.add_op(llvm_ext.AtomicStoreOp(value, self.address(emitter, name)))

    def count(self, emitter: Emitter, name: str, by: SSAValue) -> SSAValue:
        """Adds, and gives what there was before."""
        return emitter.add(llvm_ext.AtomicAddOp(by, self.address(emitter, name)))

    def nap(self, emitter: Emitter, name: str, seen: SSAValue, microseconds: int) -> None:
        """Sleep for a while, unless a word is no longer what has been `seen`. Nobody wakes who naps."""
        self._wait(emitter, name, seen, microseconds * 1000)

    def sleep(self, emitter: Emitter, name: str, seen: SSAValue, sleepers: str) -> None:
        """Sleep until `wake`, unless a word is no longer what has been `seen`.

        Who goes to sleep says so before it looks at the word for the last time, and who wakes looks for sleepers after
        it has changed the word; as all of this is sequentially consistent, nobody is left asleep.
        """
        self.count(emitter, sleepers, emitter.int(1))
        self._wait(emitter, name, seen, -1)
        self.count(emitter, sleepers, emitter.int(-1))

    def _wait(self, emitter: Emitter, name: str, seen: SSAValue, nanoseconds: int) -> None:
        timeout = emitter.int(nanoseconds, i64)
        _intrinsic(emitter, "wait32", [self.address(emitter, name), seen, timeout])

    def wake(self, emitter: Emitter, name: str, sleepers: str) -> None:
        """Wake all that sleep for a word, which has been changed."""
        some, after = emitter.new_block(), emitter.new_block()
        nobody = emitter.icmp("eq", self.look(emitter, sleepers), emitter.int(0))
        emitter.cond_branch(nobody, after, [], some, [])
        emitter.block = some
        _intrinsic(emitter, "notify", [self.address(emitter, name), emitter.int(-1)])
        emitter.branch(after)
        emitter.block = after


def _intrinsic(emitter: Emitter, name: str, args: list[SSAValue]) -> None:
    emitter.add(ops.intrinsic(f"llvm.wasm.memory.atomic.{name}", args, i32))

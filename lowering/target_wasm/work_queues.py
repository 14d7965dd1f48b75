"""How threads share the chunks of a step of the program.

Each thread has a queue with an equal part of the chunks, and takes them from there one after the other; so a thread
works on neighbours, and mostly on what it has written in the step before. When its queue is empty it takes from those
of others. So nobody waits for a thread that is late, or that got less of a core: only for chunks that have been taken
and are not finished.

Chunks have numbers that go on from step to step and from run to run, in 32 bits that wrap around; those of a step begin
where those of the step before end. `next` of a queue, the number that it hands out next, only grows, and a step raises
it to its own first one: nothing has to be reset between steps. A thread that still believes in a step that is over
finds all queues beyond it.
"""

from __future__ import annotations

from xdsl.dialects import llvm
from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from webdnn.dialects import llvm_ext
from webdnn.lowering.target_wasm.control_words import Control
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.launch_calls import function

CLAIM = "claim"
FINISH = "finish"

SPINS = 10_000_000
"""Looks at a word before a thread sleeps: about ten milliseconds.

A thread that is woken may find itself on the core of the one that wakes it: on virtual machines Linux takes a core that
sleeps for one that is not there. Two threads that keep one core busy are moved apart at the second or third balance of
the scheduler, in some milliseconds; if they sleep in turns, they share it for good.
"""

NAP = 50
"""Microseconds that a thread then sleeps between two looks."""


def claim_function(control: Control) -> llvm.FuncOp:
    """`claim(thread, first, chunks)`: takes a chunk of the step whose numbers begin at `first`.

    Returns which one of the step's it is, from 0; -1 if all have been taken.
    """
    emitter = Emitter({}, relaxed=False)
    thread, first, chunks = (emitter.entry.insert_arg(i32, i) for i in range(3))
    threads = control.look(emitter, "threads")
    one, zero = emitter.int(1), emitter.int(0)
    queue = emitter.new_block([i32, i32])
    look, take, got, other, none = (emitter.new_block() for _ in range(5))
    emitter.branch(queue, [thread, zero])

    emitter.block = queue
    owner, tried = queue.args
    following = emitter.binary(llvm.AddOp, owner, one)

    def begin(of: SSAValue) -> SSAValue:
        """The first chunk of a thread's part; rounded up, so that thread 0 has one if there is only one."""
        product = emitter.binary(llvm.MulOp, of, chunks)
        rounded = emitter.binary(llvm.AddOp, product, emitter.binary(llvm.SubOp, threads, one))
        quotient = emitter.binary(llvm.UDivOp, rounded, threads)
        return emitter.binary(llvm.AddOp, first, quotient)

    low, high = begin(owner), begin(following)
    address = control.next(emitter, owner)
    emitter.branch(look)

    emitter.block = look
    seen = emitter.add(llvm_ext.AtomicLoadOp(address))
    chunk = emitter.select(_is_before(emitter, seen, low), low, seen)
    emitter.cond_branch(_is_before(emitter, chunk, high), take, [], other, [])

    emitter.block = take
    after = emitter.binary(llvm.AddOp, chunk, one)
    found = emitter.add(llvm_ext.AtomicCompareExchangeOp(address, seen, after))
    emitter.cond_branch(emitter.icmp("eq", found, seen), got, [], look, [])

    emitter.block = got
    emitter.block.add_op(llvm.ReturnOp(emitter.binary(llvm.SubOp, chunk, first)))

    emitter.block = other
    is_last = emitter.icmp("eq", following, threads)
    neighbour = emitter.select(is_last, zero, following)
    so_far = emitter.binary(llvm.AddOp, tried, one)
    more = emitter.icmp("ult", so_far, threads)
    emitter.cond_branch(more, queue, [neighbour, so_far], none, [])

    emitter.block = none
    emitter.block.add_op(llvm.ReturnOp(emitter.int(-1)))
    return function(CLAIM, 3, emitter, exported=False, returns=True)


def finish_function(control: Control) -> llvm.FuncOp:
    """`finish(end, count)`: says that `count` chunks are finished, and returns when all with numbers before `end` are.

    What has been done in them can then be seen by all. It spins at first, because most waits are short, then sleeps.
    """
    emitter = Emitter({}, relaxed=False)
    end, count = (emitter.entry.insert_arg(i32, i) for i in range(2))
    add, wait, spin = emitter.new_block(), emitter.new_block(), emitter.new_block([i32])
    again, nap, over = (emitter.new_block() for _ in range(3))
    zero = emitter.int(0)
    emitter.cond_branch(emitter.icmp("eq", count, zero), wait, [], add, [])
    emitter.block = add
    control.count(emitter, "done", count)
    emitter.branch(wait)
    emitter.block = wait
    emitter.branch(spin, [zero])

    emitter.block = spin
    now = control.look(emitter, "done")
    emitter.cond_branch(_is_before(emitter, now, end), again, [], over, [])
    emitter.block = again
    following = emitter.binary(llvm.AddOp, spin.args[0], emitter.int(1))
    more = emitter.icmp("ult", following, emitter.int(SPINS))
    emitter.cond_branch(more, spin, [following], nap, [])
    emitter.block = nap
    control.nap(emitter, "done", now, NAP)
    emitter.branch(spin, [zero])

    emitter.block = over
    emitter.block.add_op(llvm.ReturnOp())
    return function(FINISH, 2, emitter, exported=False)


def _is_before(emitter: Emitter, a: SSAValue, b: SSAValue) -> SSAValue:
    """Compares numbers that wrap around."""
    return emitter.icmp("slt", emitter.binary(llvm.SubOp, a, b), emitter.int(0))

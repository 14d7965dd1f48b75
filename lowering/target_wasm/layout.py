"""Where things lie in the one linear memory:
`[stack, data, control | weights | prepared | states | arena | stacks of other threads]`.

Where the arena's size depends on the sizes of the inputs it comes last, so that a memory grows as far as a run needs
it, and a table of numbers lies behind `control`: `[..., control, table | ... | stacks of other threads | arena]`.

A state has two places, which change roles after each run. So the address of a tensor in one of them is an expression of
the program's `turn`, which is 0 and 1 by turns, and is read from that table."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xdsl.dialects import memref
from xdsl.dialects.builtin import IntegerAttr, ModuleOp

from webdnn.dialects import kernel, plan
from webdnn.dialects.sizes.expression import Symbol, bounds, is_symbolic, maximum
from webdnn.dialects.sizes.types import sizes_in
from webdnn.dialects.wasm_memory import MAX_PAGES, PAGE, check_pages
from webdnn.lowering.target_wasm.memory import alloca_bytes

CACHE_LINE = 64
_DATA_BYTES = 4096  # for the constants that LLVM puts in memory: hardly ever any
MAX_THREADS = 64
CONTROL_LINES = 4
CONTROL_BYTES = (CONTROL_LINES + MAX_THREADS) * CACHE_LINE
"""What threads tell each other by, in lines of the cache that nothing else is in: a few words, and one for each."""
_CALL_BYTES = 32768  # stack for spills and calls beside the kernels' own arrays


_TURN = Symbol("turn", 0, 1)


def _aligned(size: int) -> int:
    return -(-size // CACHE_LINE) * CACHE_LINE


@dataclass(frozen=True)
class MemoryLayout:
    """All in bytes. The stack starts at address 0 (and grows down, so that an overflow traps).

    The stacks of the threads beyond the first lie behind all else, so that a memory has only those that it needs: that
    of thread t begins `(t - 1) * stack_bytes` behind `stacks_offset`. In front of an arena whose size is an expression
    there is room for all of them.

    Attributes:
        table_words: how many numbers of 32 bits the runtime computes from the sizes of the inputs.
        state_buffers: the sizes of the two places of each state, one state after the other.
        turn: the symbol by which states change places; its name is that of no other symbol.
    """

    stack_bytes: int
    data_bytes: int
    weights_bytes: int
    arena_bytes: int
    prepared_bytes: int = 0
    table_words: int = 0
    state_buffers: tuple[int, ...] = ()
    turn: Symbol = _TURN

    @property
    def control_offset(self) -> int:
        return _aligned(self.stack_bytes + self.data_bytes)

    @property
    def table_offset(self) -> int:
        return self.control_offset + CONTROL_BYTES

    @property
    def weights_offset(self) -> int:
        return _aligned(self.table_offset + 4 * self.table_words)

    @property
    def prepared_offset(self) -> int:
        return _aligned(self.weights_offset + self.weights_bytes)

    @property
    def states_offset(self) -> int:
        return _aligned(self.prepared_offset + self.prepared_bytes)

    def state(self, number: int) -> tuple[int, int]:
        """The place that the first run reads of a state, and its size; the other one follows it."""
        start = sum(map(_aligned, self.state_buffers[: 2 * number]))
        return self.states_offset + start, _aligned(self.state_buffers[2 * number])

    @property
    def _fixed_end(self) -> int:
        """Where the arena begins, or the stacks in front of it."""
        return _aligned(self.states_offset + sum(map(_aligned, self.state_buffers)))

    @property
    def grows(self) -> bool:
        """Whether the size of the arena depends on those of the inputs."""
        return is_symbolic(self.arena_bytes)

    @property
    def arena_offset(self) -> int:
        stacks = (MAX_THREADS - 1) * self.stack_bytes if self.grows else 0
        return _aligned(self._fixed_end + stacks)

    @property
    def stacks_offset(self) -> int:
        """Where the stack of thread 1 begins."""
        return self._fixed_end if self.grows else self.pages * PAGE

    @property
    def pages(self) -> int:
        """The size of the memory in WebAssembly pages, for one thread; the least one of a memory that grows."""
        return -(-(self.arena_offset + bounds(self.arena_bytes)[0]) // PAGE)

    @property
    def max_threads(self) -> int:
        """How many threads find room for their stacks."""
        if self.grows:
            return MAX_THREADS
        return min(MAX_THREADS, 1 + (MAX_PAGES - self.pages) * PAGE // self.stack_bytes)

    @property
    def max_pages(self) -> int:
        """The size of the memory for `max_threads` threads, and for the largest arena that it may have room for."""
        if self.grows:
            return min(-(-(self.arena_offset + bounds(self.arena_bytes)[1]) // PAGE), MAX_PAGES)
        return self.pages + -(-(self.max_threads - 1) * self.stack_bytes // PAGE)

    def address(self, slice: plan.SliceOp) -> int:
        """The address of a slice."""
        if slice.space.data == "state":
            number, is_written = divmod(slice.buffer.value.data, 2)
            offset, size = self.state(number)
            second = 1 - self.turn.size if is_written else self.turn.size
            return offset + slice.begin + second * size
        bases = {
            "weights": self.weights_offset,
            "prepared": self.prepared_offset,
            "arena": self.arena_offset,
        }
        return bases[slice.space.data] + slice.begin


def kernel_stack_bytes(func: kernel.FuncOp) -> int:
    """The stack that the arrays of one kernel of level `loops` take."""
    return sum(alloca_bytes(op) for op in func.walk() if isinstance(op, memref.AllocaOp))


def stack_for(kernels: Iterable[int]) -> int:
    """The stack of a program whose kernels take these many bytes: as they run in turn, the most."""
    return _aligned(_CALL_BYTES + max(kernels, default=0))


def stack_bytes(module: ModuleOp) -> int:
    """The stack that the kernels of a module need."""
    return stack_for(kernel_stack_bytes(op) for op in module.ops if isinstance(op, kernel.FuncOp))


def memory_layout(
    program: plan.ProgramOp, *, stack_bytes: int, data_bytes: int = _DATA_BYTES
) -> MemoryLayout:
    """The layout of a planned program.

    Args:
        program: the host program, with addresses.
        stack_bytes: what `stack_bytes` gave for its kernels (while they were at level `loops`).
        data_bytes: room for constants that the compiler puts in memory; the linker's caller checks it.

    Raises:
        WebDNNError: more than 4 GiB would be needed.
    """
    sizes = {"weights": 0, "prepared": 0, "arena": 0}
    table_words = 0
    planned = {
        "weights": _planned(program, plan.WEIGHT_BYTES),
        "prepared": _planned(program, plan.PREPARED_BUFFERS),
        "arena": _planned(program, plan.ARENA_BUFFERS),
    }
    for op in program.body.block.ops:
        if isinstance(op, plan.SliceOp) and (is_symbolic(op.begin) or op.space.data == "state"):
            table_words += 1
        elif isinstance(op, plan.SliceOp) and not any(map(is_symbolic, planned[op.space.data])):
            space = op.space.data
            sizes[space] = max(sizes[space], op.begin + op.size)
        elif isinstance(op, plan.LaunchIntoOp):
            # its sizes, and its work
            table_words += len(op.kernel_sizes) + (1 if op.kernel_sizes else 0)
    weights, prepared, arena = (
        maximum(sizes[space], *planned[space]) for space in ("weights", "prepared", "arena")
    )
    states = tuple(_planned(program, plan.STATE_BUFFERS)[1:])
    layout = MemoryLayout(
        stack_bytes, data_bytes, weights, arena, prepared, table_words, states, _turn(program)
    )
    check_pages(layout.pages)
    return layout


def _turn(program: plan.ProgramOp) -> Symbol:
    """A symbol that the program does not have."""
    name = _TURN.name
    taken = {s.name for s in (*program.symbols, *(op.symbol for op in program.definitions))}
    while name in taken:
        name += "_"
    return Symbol(name, 0, 1)


def _planned(program: plan.ProgramOp, name: str) -> list[int]:
    """The sizes that the memory planner noted: what nothing launched uses has room too."""
    match program.attributes.get(name):
        case None:
            return [0]
        case IntegerAttr() as attr:
            return [0, attr.value.data]
        case attr:
            return [0, *sizes_in(attr)]

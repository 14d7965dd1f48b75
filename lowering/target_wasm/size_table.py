"""The numbers of a host program that depend on sizes: the runtime computes them before a run, and they are read from a
table in the memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from xdsl.dialects import llvm
from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.substitution import likely
from webdnn.lowering.target_wasm.emitter import Emitter

Numbers = Callable[[Emitter, int], SSAValue]
"""Gives a size as a value of 32 bits."""


def likely_number(emitter: Emitter, size: int) -> SSAValue:
    """The likely number of a size, for calls that compute nothing."""
    return emitter.int(likely(size))


@dataclass(frozen=True)
class SizeTable:
    """Sizes that are expressions, each once, in the order of their words in the table at `offset`."""

    offset: int
    words: dict[int, int]
    """The number of the word of each size."""

    @staticmethod
    def of(offset: int, sizes: Iterable[int]) -> SizeTable:
        """A table at an address for those sizes that are not numbers."""
        distinct = dict.fromkeys(size for size in sizes if is_symbolic(size))
        return SizeTable(offset, {size: word for word, size in enumerate(distinct)})

    def __call__(self, emitter: Emitter, size: int) -> SSAValue:
        """A size as a value: a constant, or what the table says."""
        if not is_symbolic(size):
            return emitter.int(size)
        address = emitter.int(self.offset + 4 * self.words[size])
        return emitter.add(llvm.LoadOp(emitter.add(llvm.IntToPtrOp(address)), i32))

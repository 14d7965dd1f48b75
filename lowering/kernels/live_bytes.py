"""How many bytes of a host program are alive at each step, while tensors become parts of others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from xdsl.ir import Block, SSAValue

from webdnn.dialects.sizes.substitution import likely
from webdnn.lowering.kernels.lifetimes import Lifetime, tensor_lifetimes
from webdnn.lowering.target import MemoryModel


@dataclass(frozen=True)
class Merged:
    """Tensors that have become one: `whole`, and what was there before it."""

    whole: Lifetime
    before: Sequence[Lifetime]


class LiveBytes:
    """The bytes alive at each step of a host program as it is now, and after changes that are told to `merge`. Of
    sizes with symbols, the likely ones count."""

    def __init__(self, block: Block, memory: MemoryModel) -> None:
        self._memory = memory
        lifetimes = tensor_lifetimes(block)
        self._lifetimes = {t.value: t for t in lifetimes}
        self._alive = np.zeros(max((t.end + 2 for t in lifetimes), default=0), np.int64)
        for lifetime in lifetimes:
            self._add(lifetime, 1)

    def _add(self, lifetime: Lifetime, sign: int) -> None:
        size = likely(self._memory.tensor_bytes(lifetime.type))
        self._alive[lifetime.start + 1 : lifetime.end + 2] += sign * size  # inputs come at step -1

    def most(self) -> int:
        """The most bytes that are alive at one step."""
        return int(self._alive.max(initial=0))

    def since(self, value: SSAValue) -> int:
        """The step at which the first element of a tensor is written."""
        return self._lifetimes[value].start

    def merge(self, whole: SSAValue, result: SSAValue, parts: Sequence[SSAValue]) -> Merged:
        """Let `whole` take the place of the `result` of a concatenation and of the tensors that are parts of it."""
        before = [self._lifetimes.pop(v) for v in dict.fromkeys((result, *parts))]
        merged = Lifetime(whole, min(t.start for t in before), max(t.end for t in before))
        for lifetime in before:
            self._add(lifetime, -1)
        self._add(merged, 1)
        self._lifetimes[whole] = merged
        return Merged(merged, before)

    def part(self, merged: Merged) -> None:
        """Undo what gave `merged`."""
        self._add(self._lifetimes.pop(merged.whole.value), -1)
        for lifetime in merged.before:
            self._add(lifetime, 1)
            self._lifetimes[lifetime.value] = lifetime

"""What a compilation may spend on what a few numbers of a model ask for: tables, constants, unrolled nodes.

A node like `ConstantOfShape([1000000, 1000000])` is a dozen bytes of a file. So sizes are checked against these limits
before anything is computed or allocated.
"""

from __future__ import annotations

from collections.abc import Iterable

TABLE_BYTES = 1 << 30
"""The bytes of all that a compilation makes out of little: constants of a shape, ranges, windows, masks, repetitions.
Weights of the file, and what has no more elements than they, do not count. All of it would be shipped."""

MODEL_BYTES = 16 << 30
"""The bytes of a model that is downloaded or unpacked, with its data. A WebAssembly memory has a quarter of that."""

MOST_NODES = 1 << 18
"""The nodes that inlined functions and unrolled loops may come to."""

MOST_DEPTH = 32
"""How deep graphs may be nested in each other. Protobuf reads no deeper."""

MOST_ELEMENTS = 1 << 48
"""The elements of a tensor: more can neither be computed nor addressed, and 64 bits hold all of its addresses."""


def elements(sizes: Iterable[int]) -> int:
    """The product of sizes, as an integer without end."""
    count = 1
    for size in sizes:
        count *= int(size)
    return count


def described(count: int) -> str:
    """A number of bytes as people read it: `3.2 GB`."""
    if count >= 10**21:
        return "more than 1,000 EB"
    for unit, one in (("EB", 10**18), ("PB", 10**15), ("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if count >= one:
            return f"{count / one:,.1f} {unit}"
    return f"{count} bytes"

"""Threefry2x32-20, which makes all random numbers (Salmon et al. 2011: "Parallel random numbers: as easy as 1, 2, 3").

It is a function of a key and a counter, without state: any element of a tensor can be drawn by any thread, in any
order, and again by each kernel that reads it.
"""

from __future__ import annotations

import secrets
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from webdnn.dialects.errors import WebDNNError

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_ROUNDS = 20
_ROUNDS_PER_KEY = 4
_PARITY = 0x1BD11BDA
"""Skein's constant: with it, no key gives a schedule of zeros."""

MOST_DRAWN = 1 << 32
"""The elements of one tensor of random numbers: so many have a counter of 32 bits of their own."""
MOST_SEED = (1 << 53) - 1
"""The greatest seed of a run: the greatest integer that every number up to it is one of JavaScript's."""
SEED_WORDS = 2
"""The 32-bit words of a seed, the low one first: the key of the generator."""

Words = npt.NDArray[np.uint32]
_WordT = TypeVar("_WordT")


class WordArithmetic(Protocol[_WordT]):
    """Arithmetic on words of 32 bits, which wraps around."""

    def constant(self, value: int) -> _WordT: ...
    def add(self, x: _WordT, y: _WordT) -> _WordT: ...
    def xor(self, x: _WordT, y: _WordT) -> _WordT: ...
    def rotate(self, x: _WordT, count: int) -> _WordT:
        """`x` rotated to the left by 1 to 31 bits."""
        ...


def threefry(
    key: tuple[_WordT, _WordT], counter: tuple[_WordT, _WordT], words: WordArithmetic[_WordT]
) -> tuple[_WordT, _WordT]:
    """The two random words of a counter under a key."""
    parity = words.xor(words.constant(_PARITY), words.xor(*key))
    schedule = (*key, parity)
    x, y = (words.add(c, k) for c, k in zip(counter, key, strict=True))
    for number in range(_ROUNDS):
        x = words.add(x, y)
        y = words.xor(words.rotate(y, _ROTATIONS[number % len(_ROTATIONS)]), x)
        group, last = divmod(number + 1, _ROUNDS_PER_KEY)
        if last == 0:
            x = words.add(x, schedule[group % 3])
            y = words.add(y, words.add(schedule[(group + 1) % 3], words.constant(group)))
    return x, y


class _NumpyWords:
    def constant(self, value: int) -> Words:
        return np.array([value], np.uint32)  # scalars would warn where they wrap around

    def add(self, x: Words, y: Words) -> Words:
        return x + y

    def xor(self, x: Words, y: Words) -> Words:
        return x ^ y

    def rotate(self, x: Words, count: int) -> Words:
        return (x << np.uint32(count)) | (x >> np.uint32(32 - count))


def random_words(key: Words, stream: int, count: int) -> tuple[Words, Words]:
    """The two random words [count] of each of the counters (0, stream), (1, stream), ... under a key [2]."""
    counter = np.arange(count, dtype=np.uint32), np.array([stream], np.uint32)
    return threefry((key[:1], key[1:]), counter, _NumpyWords())


def seed_words(seed: int | None) -> Words:
    """A seed as words [2]; a fresh random one for None.

    Raises:
        WebDNNError: it is no integer from 0 to 2^53 - 1.
    """
    if seed is None:
        return np.frombuffer(secrets.token_bytes(4 * SEED_WORDS), np.uint32)
    if not 0 <= seed <= MOST_SEED:
        raise WebDNNError(f"the seed is {seed}", hint=f"seeds are integers from 0 to {MOST_SEED}")
    return np.array([seed & 0xFFFFFFFF, seed >> 32], np.uint32)

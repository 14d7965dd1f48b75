"""The numpy meaning of the `nn` op that draws random numbers."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.ir import Operation

from webdnn.dialects.dtypes import Array
from webdnn.dialects.nn.random_numbers import RandomBitsOp
from webdnn.dialects.sizes.types import shape_of, size_of
from webdnn.dialects.threefry import random_words


def _random_bits(op: RandomBitsOp, seed: Array, stream: Array) -> Array:
    words = random_words(seed, int(stream), size_of(op.res))
    return words[op.word.value.data].reshape(shape_of(op.res))


RANDOM_MEANING: dict[type[Operation], Callable[..., Array]] = {RandomBitsOp: _random_bits}

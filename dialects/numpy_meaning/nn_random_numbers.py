"""The numpy meaning of the `nn` op that draws random numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from xdsl.ir import Operation

from webdnn.dialects.dtypes import Array
from webdnn.dialects.nn.random_numbers import RandomBitsOp
from webdnn.dialects.sizes.types import concrete_shape
from webdnn.dialects.threefry import random_words


def _random_bits(op: RandomBitsOp, seed: Array, stream: Array) -> Array:
    words = random_words(seed, int(stream), prod(concrete_shape(op.res)))
    return words[op.word.value.data].reshape(concrete_shape(op.res))


RANDOM_MEANING: dict[type[Operation], Callable[..., Array]] = {RandomBitsOp: _random_bits}

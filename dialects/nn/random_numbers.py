"""The `nn` op that draws random numbers."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.dialects.builtin import IntegerAttr, IntegerType, Signedness, TensorType
from xdsl.ir import SSAValue
from xdsl.irdl import (
    IRDLOperation,
    irdl_op_definition,
    operand_def,
    prop_def,
    result_def,
    traits_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from webdnn.dialects.nn.base import int_attr
from webdnn.dialects.sizes.questions import at_least
from webdnn.dialects.sizes.types import element_of, size_of, tensor_type
from webdnn.dialects.threefry import MOST_DRAWN, SEED_WORDS

UI32 = IntegerType(32, Signedness.UNSIGNED)
SEED_TYPE = TensorType(UI32, [SEED_WORDS])
STREAM_TYPE = TensorType(UI32, [])


@irdl_op_definition
class RandomBitsOp(IRDLOperation):
    """Random words: each of 32 bits that are 0 or 1 with equal chance, and independent of all others.

    Element number `i` of the result, in row-major order, is word `word` (0 or 1) of what Threefry2x32-20 makes of the
    counter (i, stream) under the key `seed`. So results for different streams, or of different words, share no number,
    and equal operands give equal results.
    """

    name = "nn.random_bits"
    seed = operand_def(SEED_TYPE)
    stream = operand_def(STREAM_TYPE)
    word = prop_def(IntegerAttr)
    res = result_def(TensorType)
    assembly_format = (
        "$seed `,` $stream `word` $word attr-dict `:` type($seed) `,` type($stream) `->` type($res)"
    )
    traits = traits_def(Pure())

    def __init__(self, seed: SSAValue, stream: SSAValue, word: int, shape: Sequence[int]) -> None:
        super().__init__(
            operands=[seed, stream],
            properties={"word": int_attr(word)},
            result_types=[tensor_type(UI32, shape)],
        )

    def verify_(self) -> None:
        if self.word.value.data not in (0, 1):
            raise VerifyException(f"nn.random_bits: there is no word {self.word.value.data}")
        if element_of(self.res) != UI32:
            raise VerifyException("nn.random_bits: its result is a tensor of ui32")
        if at_least(size_of(self.res)) > MOST_DRAWN:
            raise VerifyException(f"nn.random_bits: it has more than {MOST_DRAWN} elements")


RANDOM_OPS = (RandomBitsOp,)

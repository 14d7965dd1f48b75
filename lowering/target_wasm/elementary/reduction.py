"""Of an angle, what is left after whole quarter turns: `x = q * pi/2 + r` with |r| <= pi/4.

Up to 2^26 two or three parts of pi/2 do. Beyond (a branch that hardly any argument takes) the product with 2/pi is
formed from as many bits of 2/pi as the exponent asks for (the method of Payne and Hanek), one lane at a time.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from xdsl.dialects import arith, memref, scf, vector
from xdsl.dialects.builtin import IndexType, VectorType, f64, i32, i64
from xdsl.ir import Block, Region

from webdnn.lowering.elementary_constants import TWO_OVER_PI
from webdnn.lowering.target_wasm.elementary.builder import Builder, Num, any_lane, fma, where
from webdnn.lowering.target_wasm.elementary.formats import DOUBLE
from webdnn.lowering.target_wasm.types import lanes

_HUGE = 2.0**26

# pi/2 in parts: the first ones have 27 bits, so that their products with any q up to 2^26 are exact.
_TWO_PARTS = (1.570796325802803, 9.920935796805404e-10)
_FOUR_PARTS = (
    1.570796325802803,
    9.920935739593517e-10,
    5.721188709663575e-18,
    1.6446256936324258e-26,
)


def reduce_single(x: Num) -> tuple[Num, Num]:
    """For a single-precision angle: r in double precision, and q (whose last two bits count) in 32 bits."""
    wide = x.to_f64()
    shifted = fma(wide, 2 / math.pi, DOUBLE.shifter)
    q = shifted - DOUBLE.shifter
    r = wide - q * _TWO_PARTS[0] - q * _TWO_PARTS[1]
    quarters = shifted.bitcast(i64).truncate_to_i32()
    return _unless_huge(wide, r, quarters)


def reduce_double(x: Num) -> tuple[Num, Num]:
    """For a double-precision angle: r, and q (whose last two bits count) in 32 bits."""
    shifted = fma(x, 2 / math.pi, DOUBLE.shifter)
    q = shifted - DOUBLE.shifter
    r, lost = x - q * _FOUR_PARTS[0], x.constant(0.0)
    for part in _FOUR_PARTS[1:3]:
        r, error = _two_sum(r, -(q * part))
        lost = lost + error
    r = r + (lost - q * _FOUR_PARTS[3])
    return _unless_huge(x, r, shifted.bitcast(i64).truncate_to_i32())


def _two_sum(a: Num, b: Num) -> tuple[Num, Num]:
    """The rounded sum, and what the rounding lost."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def _unless_huge(x: Num, r: Num, quarters: Num) -> tuple[Num, Num]:
    size = x.abs()
    huge = (size >= _HUGE) & (size < float("inf"))

    def rarely() -> Sequence[Num]:
        exact_r, exact_q = _for_each_lane(x)
        return where(huge, exact_r, r), where(huge, exact_q, quarters)

    chosen = x.emitter.branch(
        any_lane(huge), rarely, lambda: (r, quarters), [r.type, quarters.type]
    )
    return chosen[0], chosen[1]


def _for_each_lane(x: Num) -> tuple[Num, Num]:
    """The reduction of huge numbers; what it gives for others is not used."""
    build = x.emitter
    words = _table(build)
    count = lanes(x.type)
    if count is None:
        return _payne_hanek(x, words)
    index = IndexType()
    r_type, q_type = VectorType(f64, [count]), VectorType(i32, [count])
    body = Block(arg_types=[index, r_type, q_type])
    lane, r_so_far, q_so_far = body.args
    outer, build.ops = build.ops, []
    scalar = build.of(build.add(vector.ExtractOp(x.ssa, [lane], f64)))
    r, q = _payne_hanek(scalar, words)
    new_r = build.add(vector.InsertOp(r.ssa, r_so_far, [lane]))
    new_q = build.add(vector.InsertOp(q.ssa, q_so_far, [lane]))
    body.add_ops([*build.ops, scf.YieldOp(new_r, new_q)])
    build.ops = outer
    loop = scf.ForOp(
        build.constant(0, index),
        build.constant(count, index),
        build.constant(1, index),
        [build.constant(0.0, r_type), build.constant(0, q_type)],
        Region(body),
    )
    build.ops.append(loop)
    return Num(build, loop.res[0]), Num(build, loop.res[1])


def _table(build: Builder) -> Num:
    """The words of 2/pi in the frame of the function, written where they are needed: once in a blue moon."""
    count = len(TWO_OVER_PI)
    words = build.of(build.add(memref.AllocaOp.get(i32, shape=[count])))
    for number, word in enumerate(TWO_OVER_PI):
        address = build.constant(number, IndexType())
        value = build.constant(word, i32)
        build.ops.append(memref.StoreOp.get(value, words.ssa, [address]))
    return words


def _payne_hanek(x: Num, words: Num) -> tuple[Num, Num]:
    """r and q of one number between 2^26 and infinity in size."""
    build = x.emitter
    bits = x.bitcast(i64)
    exponent = bits.shift_right_logical(52) & 0x7FF
    mantissa = (bits & ((1 << 52) - 1)) | (1 << 52)
    low, high = mantissa & 0xFFFFFFFF, mantissa.shift_right_logical(32)
    # x = mantissa * 2^(exponent - 1075). Of 2/pi only the bits from this place on count, all before
    # make multiples of 4; the table starts 32 bits before the point.
    position = exponent - (1075 + 2 - 32)
    # Out of range for numbers that are not huge, whose result is not used.
    position = where(position < 0, position.constant(0), position)
    position = where(position > 1024, position.constant(0), position)
    word, shift = position.shift_right_logical(5), position & 31
    first = build.of(build.add(arith.IndexCastOp(word.truncate_to_i32().ssa, IndexType())))

    def load(number: int) -> Num:
        address = first + number
        op = memref.LoadOp.get(words.ssa, [address.ssa])
        return build.of(build.add(op)).extend_to_i64()

    loaded = [load(number) for number in range(8)]
    window = [(((a << 32) | b) << shift).shift_right_logical(32) for a, b in pairwise(loaded)]
    product = _multiply(low, high, window)
    top, following = (product[0] << 32) | product[1], (product[2] << 32) | product[3]
    fraction = (top << 2) | following.shift_right_logical(62)
    rest = ((following << 2) | product[4].shift_right_logical(30)).shift_right_logical(11)
    # As a signed number the fraction of a quarter turn lies between -1/2 and 1/2.
    quarters = top.shift_right_logical(62) + fraction.shift_right_logical(63)
    # 53 bits of it, the bits behind those, and the word behind that, each of them exact.
    leading = (fraction >> 11).integer_to(f64) * 2.0**-53
    trailing = (fraction & 0x7FF).integer_to(f64) * 2.0**-64 + rest.integer_to(f64) * 2.0**-117
    total, lost = _two_sum(leading, trailing)
    half_pi = math.pi / 2
    r = total * half_pi + (total * 6.123233995736766e-17 + lost * half_pi)
    negative = bits < 0
    quarters = quarters.truncate_to_i32()
    return where(negative, -r, r), where(negative, -quarters, quarters)


def _multiply(low: Num, high: Num, window: Sequence[Num]) -> list[Num]:
    """The first five 32-bit words of (high, low) * window, of as many words after the point, modulo 4.

    Each partial product is 64 bits wide and is added up by halves, so that no sum overflows.
    """
    mask = 0xFFFFFFFF
    by_low = [low * w for w in window]
    by_high = [high * w for w in window]
    carry = low.constant(0)
    result: list[Num] = []
    for i in range(4, -1, -1):
        total = (
            (by_low[i] & mask)
            + by_low[i + 1].shift_right_logical(32)
            + (by_high[i + 1] & mask)
            + by_high[i + 2].shift_right_logical(32)
            + carry
        )
        result.append(total & mask)
        carry = total.shift_right_logical(32)
    return result[::-1]

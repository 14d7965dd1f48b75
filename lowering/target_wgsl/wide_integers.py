"""Arithmetic on 64-bit integers as pairs of 32-bit words, exact, for a language that has no wider ones."""

from __future__ import annotations

from typing import NamedTuple

from xdsl.dialects import arith, math, scf
from xdsl.dialects.builtin import IndexType, i32
from xdsl.ir import Block

from webdnn.lowering.target_wgsl.values import Emitter, Value


class Wide(NamedTuple):
    """A 64-bit integer: its low word and its high word (scalars of i32)."""

    low: Value
    high: Value


def _extend(truth: Value) -> Value:
    """1 for true."""
    return Value(truth.emitter, truth.emitter.add(arith.ExtUIOp(truth.ssa, i32)))


def constant(like: Value, number: int) -> Wide:
    """A constant; `like` is any i32."""
    return Wide(like.constant(number & 0xFFFFFFFF), like.constant((number >> 32) & 0xFFFFFFFF))


def sign_extended(word: Value) -> Wide:
    return Wide(word, word >> 31)


def zero_extended(word: Value) -> Wide:
    return Wide(word, word.constant(0))


def add(x: Wide, y: Wide) -> Wide:
    low = x.low + y.low
    carry = _extend(low.compare("ult", x.low))
    return Wide(low, x.high + y.high + carry)


def subtract(x: Wide, y: Wide) -> Wide:
    borrow = _extend(x.low.compare("ult", y.low))
    return Wide(x.low - y.low, x.high - y.high - borrow)


def negate(x: Wide) -> Wide:
    return subtract(constant(x.low, 0), x)


def bitwise_and(x: Wide, y: Wide) -> Wide:
    return Wide(x.low & y.low, x.high & y.high)


def bitwise_or(x: Wide, y: Wide) -> Wide:
    return Wide(x.low | y.low, x.high | y.high)


def bitwise_xor(x: Wide, y: Wide) -> Wide:
    return Wide(x.low ^ y.low, x.high ^ y.high)


def select(condition: Value, x: Wide, y: Wide) -> Wide:
    return Wide(condition.select(x.low, y.low), condition.select(x.high, y.high))


def _high_product(x: Value, y: Value) -> Value:
    """The high word of the unsigned product of two words, by halves of 16 bits."""
    x_low, x_high = x & 0xFFFF, x.shift_right_logical(16)
    y_low, y_high = y & 0xFFFF, y.shift_right_logical(16)
    middle = x_high * y_low + (x_low * y_low).shift_right_logical(16)
    other = x_low * y_high + (middle & 0xFFFF)
    return x_high * y_high + middle.shift_right_logical(16) + other.shift_right_logical(16)


def multiply(x: Wide, y: Wide) -> Wide:
    high = _high_product(x.low, y.low) + x.low * y.high + x.high * y.low
    return Wide(x.low * y.low, high)


def compare(predicate: str, x: Wide, y: Wide) -> Value:
    """The comparison of that name of `arith.cmpi`."""
    same_high = x.high.equals(y.high)
    if predicate == "eq":
        return same_high & x.low.equals(y.low)
    if predicate == "ne":
        return ~(same_high & x.low.equals(y.low))
    strict = predicate[:2] + "t"
    of_lows = "u" + predicate[1:]
    return x.high.compare(strict, y.high) | (same_high & x.low.compare(of_lows, y.low))


def shift_left(x: Wide, by: Value) -> Wide:
    # WGSL takes the amount modulo 32; a shift by 32 - n is one by 31 - n and then by 1, for n may be 0.
    carried = x.low.shift_right_logical(31 - (by & 31)).shift_right_logical(1)
    amount = by & 31
    near = Wide(x.low << amount, (x.high << amount) | carried)
    far = Wide(x.low.constant(0), x.low << amount)
    return select(by < 32, near, far)


def shift_right(x: Wide, by: Value, *, signed: bool) -> Wide:
    amount = by & 31
    carried = (x.high << (31 - amount)) << 1
    high = x.high >> amount if signed else x.high.shift_right_logical(amount)
    near = Wide(x.low.shift_right_logical(amount) | carried, high)
    fill = x.high >> 31 if signed else x.high.constant(0)
    return select(by < 32, near, Wide(high, fill))


def absolute(x: Wide) -> Wide:
    return select(x.high < 0, negate(x), x)


def divide_unsigned(x: Wide, y: Wide) -> tuple[Wide, Wide]:
    """Quotient and remainder by long division, a bit at a time; both are 0 where the divisor is 0."""
    emitter = x.low.emitter
    zero = x.low.constant(0)
    index = IndexType()
    start, step = emitter.constant(0, index), emitter.constant(1, index)
    end = emitter.constant(64, index)
    body = Block(arg_types=[index, *[i32] * 4])
    inner = Emitter(body)
    a, b, c, d = (inner.value(v) for v in body.args[1:])
    quotient, rest = Wide(a, b), Wide(c, d)
    # The quotient's bits enter where those of the dividend have left.
    one = a.constant(1)
    overflow = rest.high < 0
    top = quotient.high.shift_right_logical(31)
    rest = shift_left_by_one(rest)
    rest = Wide(rest.low | top, rest.high)
    quotient = shift_left_by_one(quotient)
    divisor = Wide(inner.value(y.low.ssa), inner.value(y.high.ssa))
    fits = overflow | compare("uge", rest, divisor)
    less = subtract(rest, divisor)
    rest = select(fits, less, rest)
    quotient = Wide(quotient.low | fits.select(one, 0), quotient.high)
    words = (quotient.low, quotient.high, rest.low, rest.high)
    body.add_op(scf.YieldOp(*[w.ssa for w in words]))
    inits = [x.low.ssa, x.high.ssa, zero.ssa, zero.ssa]
    loop = scf.ForOp(start, end, step, inits, body)
    emitter.insert(loop)
    by_zero = (y.low | y.high).equals(0)
    a, b, c, d = (by_zero.select(zero, emitter.value(r)) for r in loop.res)
    return Wide(a, b), Wide(c, d)


def shift_left_by_one(x: Wide) -> Wide:
    return Wide(x.low << 1, (x.high << 1) | x.low.shift_right_logical(31))


def divide_signed(x: Wide, y: Wide) -> tuple[Wide, Wide]:
    """Quotient toward zero, and the remainder with the sign of the dividend."""
    quotient, rest = divide_unsigned(absolute(x), absolute(y))
    differ = (x.high ^ y.high) < 0
    return (
        select(differ, negate(quotient), quotient),
        select(x.high < 0, negate(rest), rest),
    )


def divide_floor(x: Wide, y: Wide) -> Wide:
    """Quotient rounded down."""
    quotient, rest = divide_signed(x, y)
    inexact = (rest.low | rest.high).differs(0)
    rounded_up = inexact & ((x.high ^ y.high) < 0)
    return select(rounded_up, subtract(quotient, constant(x.low, 1)), quotient)


def divide_ceil(x: Wide, y: Wide) -> Wide:
    """Quotient rounded up."""
    quotient, rest = divide_signed(x, y)
    inexact = (rest.low | rest.high).differs(0)
    rounded_down = inexact & ((x.high ^ y.high) >= 0)
    return select(rounded_down, add(quotient, constant(x.low, 1)), quotient)


def divide_ceil_unsigned(x: Wide, y: Wide) -> Wide:
    """Unsigned quotient rounded up."""
    quotient, rest = divide_unsigned(x, y)
    inexact = (rest.low | rest.high).differs(0)
    return select(inexact, add(quotient, constant(x.low, 1)), quotient)


def _leading_zeros(word: Value) -> Value:
    return word.apply(math.CountLeadingZerosOp)


def unsigned_to_float(x: Wide) -> Value:
    """The nearest f32, ties to even.

    It is rounded to 24 bits here, since not every device rounds to the nearest when it converts a
    larger integer.
    """
    small = x.high.equals(0)
    zeros = small.select(_leading_zeros(x.low) + 32, _leading_zeros(x.high))
    aligned = shift_left(x, zeros)
    kept = aligned.high.shift_right_logical(8)
    # The eight bits that go, and whether a bit after them is set: 0x100 is exactly half.
    sticky = aligned.low.differs(0).select(kept.constant(1), 0)
    rest = ((aligned.high & 0xFF) << 1) | sticky
    rounded = kept + ((rest + 0xFF + (kept & 1)) >> 9)
    return rounded.to_float() * ((40 - zeros + 127) << 23).from_bits()


def signed_to_float(x: Wide) -> Value:
    magnitude = unsigned_to_float(absolute(x))
    return (x.high < 0).select(-magnitude, magnitude)


def float_to_unsigned(x: Value) -> Wide:
    """Toward zero; 0 of what is below, and of a NaN, and the greatest integer of what is above all."""
    words = _words(x)
    zero, ones = words.low.constant(0), words.low.constant(-1)
    words = select(x >= 2.0**64, Wide(ones, ones), words)
    return select(x > 0.0, words, Wide(zero, zero))


def _words(x: Value) -> Wide:
    """The integer part of a number from 0 to 2^64. Both words are exact: each is a power of two away from x."""
    emitter = x.emitter
    whole = x.apply(math.FloorOp)
    high = (whole * 2.0**-32).apply(math.FloorOp)
    low = whole - high * 2.0**32

    def word(number: Value) -> Value:
        return emitter.value(emitter.add(arith.FPToUIOp(number.ssa, i32)))

    return Wide(word(low), word(high))


def float_to_signed(x: Value) -> Wide:
    """Toward zero; the least or the greatest integer of what is below or above all, and 0 of a NaN."""
    magnitude = float_to_unsigned(x.apply(math.AbsFOp))
    low, high = magnitude.low, magnitude.high
    signed = select(x < 0.0, negate(magnitude), magnitude)
    signed = select(x >= 2.0**63, Wide(low.constant(-1), high.constant((1 << 31) - 1)), signed)
    return select(x <= -(2.0**63), Wide(low.constant(0), high.constant(-1 << 31)), signed)

"""The two floating-point formats: how numbers are laid out in bits, and constants in each precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from xdsl.dialects.builtin import AnyFloat, Float64Type, IntegerType, f32, f64, i32, i64

from webdnn.lowering import elementary_constants
from webdnn.lowering.target_wasm.elementary.builder import Num
from webdnn.lowering.value_notation import element_type


@dataclass(frozen=True)
class Format:
    """A binary floating-point format.

    Attributes:
        float: the type of its numbers.
        int: the integer type as wide.
        mantissa: stored bits of the mantissa.
        bias: of the exponent.
        shifter: 1.5 * 2^mantissa: adding it rounds a small number to an integer, which is then in the low bits.
        ln2: log(2) in two parts; the product of the first with any exponent is exact.
        log10_2: log10(2), likewise.
        exp: (e^r - 1 - r) / r^2 for |r| <= log(2) / 2.
        exp_range: below it exp is 0, above it infinity.
    """

    float: AnyFloat
    int: IntegerType
    mantissa: int
    bias: int
    shifter: float
    ln2: tuple[float, float]
    log10_2: tuple[float, float]
    exp: tuple[float, ...]
    exp_range: tuple[float, float]

    @property
    def least_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def shifter_bits(self) -> int:
        """The bits of the shifter as an integer."""
        return ((self.bias + self.mantissa) << self.mantissa) | (1 << (self.mantissa - 1))

    def scale(self, exponent: Num) -> Num:
        """2^exponent, for exponents (integers) of normal numbers."""
        return ((exponent + self.bias) << self.mantissa).bitcast(self.float)


SINGLE = Format(
    float=f32,
    int=i32,
    mantissa=23,
    bias=127,
    shifter=1.5 * 2**23,
    ln2=(0.693359375, -2.1219444005469058e-04),
    log10_2=(0.301025390625, 4.6050389811952114e-06),
    exp=elementary_constants.EXP,
    exp_range=(-104.0, 89.0),
)

DOUBLE = Format(
    float=f64,
    int=i64,
    mantissa=52,
    bias=1023,
    shifter=1.5 * 2**52,
    ln2=(0.6931471803691238, 1.9082149292705877e-10),
    log10_2=(0.30102999566361177, 3.694239077158931e-13),
    exp=(  # 2^-60.8, relative to e^r - 1
        0.5,
        0.16666666666666677,
        0.0416666666666667,
        0.008333333333321532,
        0.001388888888886672,
        0.0001984126988640109,
        2.4801587360810283e-05,
        2.7557243911665553e-06,
        2.755724252849391e-07,
        2.5109147388477752e-08,
        2.0924518267455847e-09,
    ),
    exp_range=(-746.0, 710.0),
)


def format_of(x: Num) -> Format:
    """The format of a float."""
    return DOUBLE if isinstance(element_type(x.type), Float64Type) else SINGLE


def widened(function: Callable[[Num], Num], x: Num) -> Num:
    """`function` of x, computed in double precision for single too."""
    if format_of(x) is SINGLE:
        return function(x.to_f64()).to_f32()
    return function(x)

"""Rounding that WebAssembly has no instruction for."""

from __future__ import annotations

import math

from webdnn.lowering.target_wasm.elementary.builder import Num
from webdnn.lowering.target_wasm.elementary.formats import SINGLE, format_of

_BELOW_HALF = {True: float.fromhex("0x1.fffffep-2"), False: math.nextafter(0.5, 0.0)}


def round_half_away(x: Num) -> Num:
    """To the nearest integer, halves away from zero.

    The greatest number below one half is added and not one half itself, which would
    round numbers just below one half up.
    """
    below_half = x.constant(_BELOW_HALF[format_of(x) is SINGLE])
    return (x + below_half.copysign(x)).trunc()

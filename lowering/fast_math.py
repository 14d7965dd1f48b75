"""Promises about operands that a lowering passes on to the next as the flags of an op."""

from __future__ import annotations

from xdsl.dialects.utils.fast_math import FastMathFlag

NO_SPECIALS = frozenset({FastMathFlag.NO_NANS, FastMathFlag.NO_INFS, FastMathFlag.NO_SIGNED_ZEROS})
"""No NaN, no infinity, and the sign of a zero does not matter: a product with 0 or 1 may be left out."""

"""How near a result must be to ONNX Runtime's."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt

MODEL_TOLERANCE = 1e-4
"""The greatest difference of an output, relative to the range of the tensor."""

ROUNDING = 8
"""Elements that differ by so many units in the last place are equal but for rounding."""


def machine_epsilon(dtype: np.dtype[Any]) -> float:
    """The distance from 1 to the next number of a floating-point type (bfloat16 too)."""
    return float(ml_dtypes.finfo(dtype).eps)


def relative_error(result: npt.NDArray[Any], expected: npt.NDArray[Any]) -> float:
    """The greatest difference, relative to the range of `expected`.

    Where all elements are equal but for rounding, it is relative to the greatest magnitude (to 1, where that is 0): the
    range says nothing then.
    NaN where one has NaN or an infinity and the other has not the same; 0 for no elements.
    """
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind in "iub":
        return float(np.count_nonzero(result != expected))
    finite = np.isfinite(expected)
    if not np.array_equal(result[~finite], expected[~finite], equal_nan=True):
        return float("nan")
    if not finite.any():
        return 0.0
    values = expected[finite].astype(np.float64)
    reach, magnitude = np.ptp(values), np.abs(values).max()
    if reach <= ROUNDING * machine_epsilon(expected.dtype) * magnitude:
        reach = magnitude or 1.0
    difference = np.abs(result[finite].astype(np.float64) - values)
    return float(difference.max() / reach)


def assert_close(
    result: npt.NDArray[Any],
    expected: npt.NDArray[Any],
    model: str,
    what: str,
    tolerance: float = MODEL_TOLERANCE,
) -> None:
    """Fail where `result` is not `expected` within `tolerance` of its range."""
    assert result.shape == expected.shape, f"{model}: {what} has shape {result.shape}"
    assert result.dtype == expected.dtype, f"{model}: {what} has dtype {result.dtype}"
    error = relative_error(result, expected)
    assert error <= tolerance, f"{model}: {what} is off by {error:.2g} of its range"

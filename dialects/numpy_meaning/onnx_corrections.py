"""Operators whose reference implementation in the `onnx` package deviates from the specification."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt
from onnx.reference.op_run import OpRun


class GlobalMaxPool(OpRun):
    """The reference reduces the wrong axes unless there are two spatial ones."""

    def _run(self, x: npt.NDArray[Any]) -> tuple[npt.NDArray[Any]]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


CORRECTIONS: list[type[OpRun]] = [GlobalMaxPool]
"""Take these in place of the reference's."""

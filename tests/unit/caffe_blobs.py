"""What the definitions of Caffe's layers in numpy are made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Weights = dict[str, list[Array]]


class Blobs:
    """The trained numbers of one layer."""

    def __init__(self, kept: list[Array], rng: np.random.Generator) -> None:
        self._kept = kept
        self._rng = rng
        self._count = 0

    def __call__(self, *shape: int, low: float = -1.0, high: float = 1.0) -> Array:
        """The next blob, of this shape: random where there is none yet."""
        if self._count == len(self._kept):
            return self.kept(self._rng.uniform(low, high, shape))
        assert self._kept[self._count].shape == shape
        return self.kept(self._kept[self._count])

    def kept(self, values: Array) -> Array:
        """The next blob: these numbers where there is none yet."""
        if self._count == len(self._kept):
            self._kept.append(np.asarray(values, np.float32))
        self._count += 1
        return self._kept[self._count - 1].astype(np.float64)


Forward = Callable[[Any, list[Array], Blobs], list[Array]]


class Table(dict[str, Forward]):
    """The functions of layers by their types: from the LayerParameter, the bottoms and the blobs to the tops."""

    def layer(self, *types: str) -> Callable[[Forward], Forward]:
        """Puts the function that follows into the table."""

        def register(forward: Forward) -> Forward:
            self.update(dict.fromkeys(types, forward))
            return forward

        return register

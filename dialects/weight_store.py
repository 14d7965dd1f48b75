"""The side table that holds the weights, so that the IR holds handles only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp


class WeightStore(Mapping[str, npt.NDArray[Any]]):
    """Arrays by key; a `weight` op in the IR names a key. Arrays may be memory-mapped and are never written to."""

    def __init__(self, arrays: Mapping[str, npt.NDArray[Any]] | None = None) -> None:
        self._arrays: dict[str, npt.NDArray[Any]] = dict(arrays or {})

    def add(self, key: str, array: npt.NDArray[Any]) -> str:
        """Add `array` under `key`, or under `key` with a number behind it where `key` is taken; returns the
        key used."""
        unique, n = key, 0
        while unique in self._arrays:
            n += 1
            unique = f"{key}.{n}"
        self._arrays[unique] = np.asarray(array)
        return unique

    def __getitem__(self, key: str) -> npt.NDArray[Any]:
        return self._arrays[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)


_ATTACHED: WeakKeyDictionary[ModuleOp, WeightStore] = WeakKeyDictionary()


def attach_weights(module: ModuleOp, weights: WeightStore) -> None:
    """Say that the handles in `module` name arrays of `weights`, so that passes find them."""
    _ATTACHED[module] = weights


def weights_of(module: ModuleOp) -> WeightStore:
    """The store that `module`'s handles name; a new and empty one where none was attached (IR read from text)."""
    return _ATTACHED.setdefault(module, WeightStore())

"""A model of one layer of Keras, or of a few, for tests."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """A model.

    Attributes:
        make: called with the inputs of Keras, and `keras.layers`.
        shapes: of the inputs, with the batch; integers less than `below` where that is given.
        scale: by which random numbers are multiplied.
    """

    make: Callable[..., Any]
    shapes: Sequence[Shape]
    below: int | None = None
    scale: float = 1.0
    dtype: str = "float32"


def layer(
    name: str, *shapes: Shape, below: int | None = None, scale: float = 1.0, **arguments: Any
) -> Case:
    """A case of one layer, called with its inputs as one list where they are several."""

    def make(layers: Any, first: Any, *others: Any) -> Any:
        built = getattr(layers, name)(**arguments)
        return built([first, *others] if others else first)

    return Case(make, shapes, below, scale)


def model(make: Callable[..., Any], *shapes: Shape, **others: Any) -> Case:
    """A case of several layers."""
    return Case(make, shapes, **others)


def keras() -> Any:
    """The framework, imported when a model is made: the tests that list the cases do without."""
    return importlib.import_module("keras")

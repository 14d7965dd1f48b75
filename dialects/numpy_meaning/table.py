"""What implementations of ops for xDSL's interpreter share when they come from a table instead of decorated methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xdsl.interpreter import InterpreterFunctions


class TableFunctions(InterpreterFunctions):
    """Implements ops alone; a subclass gives them in `_impls`, as pairs of an op class and a function."""

    @classmethod
    def _cast_impls(cls) -> Iterable[Any]:
        return ()

    @classmethod
    def _attr_impls(cls) -> Iterable[Any]:
        return ()

    @classmethod
    def _ext_impls(cls) -> Iterable[Any]:
        return ()

    @classmethod
    def _callable_impls(cls) -> Iterable[Any]:
        return ()

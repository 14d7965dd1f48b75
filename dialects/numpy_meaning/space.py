"""Boxes of iteration spaces, and what affine maps of operands mean in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
    AffineMap,
)

from webdnn.dialects.dtypes import Array


@dataclass(frozen=True)
class Space:
    """A box of an iteration space: where it starts and how far it goes along each dimension."""

    starts: tuple[int, ...]
    sizes: tuple[int, ...]

    def cut(self, d: int, start: int, size: int) -> Space:
        """The part of the box from `start` on along dimension d."""
        starts, sizes = list(self.starts), list(self.sizes)
        starts[d] += start
        sizes[d] = size
        return replace(self, starts=tuple(starts), sizes=tuple(sizes))

    def index(self, d: int) -> Array:
        """The position along dimension d, shaped to broadcast over the box."""
        shape = [1] * len(self.sizes)
        shape[d] = self.sizes[d]
        return np.arange(self.starts[d], self.starts[d] + self.sizes[d]).reshape(shape)


def _linear(expr: AffineExpr, rank: int) -> tuple[list[int], int] | None:
    """Coefficients and constant of an expression, where it is linear."""
    match expr:
        case AffineConstantExpr():
            return [0] * rank, expr.value
        case AffineDimExpr():
            coefficients = [0] * rank
            coefficients[expr.position] = 1
            return coefficients, 0
        case AffineBinaryOpExpr(kind=AffineBinaryOpKind.Add | AffineBinaryOpKind.Mul):
            a, b = _linear(expr.lhs, rank), _linear(expr.rhs, rank)
            if a is None or b is None:
                return None
            if expr.kind is AffineBinaryOpKind.Add:
                return [x + y for x, y in zip(a[0], b[0], strict=True)], a[1] + b[1]
            return [x * b[1] for x in a[0]], a[1] * b[1]
        case _:
            return None


def _evaluate(expr: AffineExpr, space: Space) -> Any:
    match expr:
        case AffineConstantExpr():
            return expr.value
        case AffineDimExpr():
            return space.index(expr.position)
        case AffineBinaryOpExpr():
            a, b = _evaluate(expr.lhs, space), _evaluate(expr.rhs, space)
            match expr.kind:
                case AffineBinaryOpKind.Add:
                    return a + b
                case AffineBinaryOpKind.Mul:
                    return a * b
                case AffineBinaryOpKind.Mod:
                    return a % b
                case AffineBinaryOpKind.FloorDiv:
                    return a // b
                case AffineBinaryOpKind.CeilDiv:
                    return -(-a // b)
        case _:
            raise ValueError(f"not affine: {expr}")


def view(array: Array, map: AffineMap, space: Space) -> Array:
    """What an operand holds at each point of a box, with extent 1 along dimensions that it does not depend on.

    A view that can be written through, where the map is linear.
    """
    rank = len(space.sizes)
    linear = [_linear(e, rank) for e in map.results]
    if any(form is None for form in linear):
        at = [_evaluate(e, space) for e in map.results]
        at = [np.asarray(i).reshape(np.shape(i) or (1,) * rank) for i in at]
        check_index(at, array.shape)
        return array[tuple(at)]
    strides = [0] * rank
    offset = 0
    for axis, form in enumerate(linear):
        coefficients, const = cast("tuple[list[int], int]", form)
        low = const + sum(c * s for c, s in zip(coefficients, space.starts, strict=True))
        ends = [c * (n - 1) for c, n in zip(coefficients, space.sizes, strict=True)]
        least = low + sum(e for e in ends if e < 0)
        most = low + sum(e for e in ends if e > 0)
        if least < 0 or most >= array.shape[axis]:
            raise IndexError(f"{map} leaves a tensor of shape {list(array.shape)}")
        offset += low * array.strides[axis]
        for d, c in enumerate(coefficients):
            strides[d] += c * array.strides[axis]
    shape = [n if s else 1 for n, s in zip(space.sizes, strides, strict=True)]
    flat = array.reshape(-1)[offset // array.itemsize :]
    return np.lib.stride_tricks.as_strided(flat, shape, strides)


def check_index(index: Sequence[Array], shape: Sequence[int]) -> None:
    """IndexError: an index leaves the shape."""
    for i, size in zip(index, shape, strict=True):
        if np.size(i) and (np.min(i) < 0 or np.max(i) >= size):
            raise IndexError(f"an index leaves a dimension of extent {size}")

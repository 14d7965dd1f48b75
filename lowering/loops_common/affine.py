"""Affine expressions taken apart: coefficients of dimensions, a constant, and what is not linear."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from xdsl.ir.affine import (
    AffineBinaryOpExpr,
    AffineBinaryOpKind,
    AffineConstantExpr,
    AffineDimExpr,
    AffineExpr,
)


@dataclass
class Flat:
    """`sum(coefficients[d] * dim d) + sum(c * expr for expr, c in others) + const`; the others are
    divisions and remainders."""

    coefficients: dict[int, int] = field(default_factory=dict[int, int])
    others: list[tuple[AffineBinaryOpExpr, int]] = field(
        default_factory=list[tuple[AffineBinaryOpExpr, int]]
    )
    const: int = 0

    @staticmethod
    def of(expr: AffineExpr) -> Flat:
        """Take one expression apart."""
        flat = Flat()
        flat.add(expr, 1)
        return flat

    @staticmethod
    def address(index: Sequence[AffineExpr], strides: Sequence[int]) -> Flat:
        """The position in memory of the element at `index`."""
        flat = Flat()
        for expr, stride in zip(index, strides, strict=True):
            flat.add(expr, stride)
        return flat

    def add(self, expr: AffineExpr, factor: int) -> None:
        """Add `expr * factor`."""
        if factor == 0:
            return
        match expr:
            case AffineConstantExpr():
                self.const += expr.value * factor
            case AffineDimExpr():
                c = self.coefficients.get(expr.position, 0) + factor
                if c:
                    self.coefficients[expr.position] = c
                else:
                    self.coefficients.pop(expr.position, None)
            case AffineBinaryOpExpr(kind=AffineBinaryOpKind.Add):
                self.add(expr.lhs, factor)
                self.add(expr.rhs, factor)
            case AffineBinaryOpExpr(
                kind=AffineBinaryOpKind.Mul, rhs=AffineConstantExpr(value=value)
            ):
                self.add(expr.lhs, factor * value)
            case AffineBinaryOpExpr():
                self.others.append((expr, factor))
            case _:
                raise ValueError(f"not affine: {expr}")

    def expr(self) -> AffineExpr:
        """The expression put together again."""
        result: AffineExpr = AffineExpr.constant(self.const)
        for d, c in self.coefficients.items():
            result = result + AffineExpr.dimension(d) * c
        for other, c in self.others:
            result = result + other * c
        return result

    @property
    def nonlinear_dims(self) -> frozenset[int]:
        """The dimensions that the divisions and remainders depend on."""
        if not self.others:
            return frozenset()
        return frozenset().union(*(used_dims(expr) for expr, _ in self.others))


@lru_cache(maxsize=4096)
def used_dims(expr: AffineExpr) -> frozenset[int]:
    """The dimensions that an expression depends on."""
    match expr:
        case AffineDimExpr():
            return frozenset({expr.position})
        case AffineBinaryOpExpr():
            return used_dims(expr.lhs) | used_dims(expr.rhs)
        case _:
            return frozenset()

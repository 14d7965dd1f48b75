"""The numpy meaning of structured ops on tensors: whole iteration spaces at once, in pieces that fit in
the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import TensorType
from xdsl.dialects.linalg.attrs import IteratorType
from xdsl.dialects.linalg.ops import FillOp, GenericOp, IndexOp, YieldOp
from xdsl.ir import Operation, SSAValue
from xdsl.ir.affine import (
    AffineDimExpr,
)

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.kernel import SizeOp
from webdnn.dialects.numpy_meaning.arith import ARITH_MEANING
from webdnn.dialects.numpy_meaning.math import MATH_MEANING
from webdnn.dialects.numpy_meaning.space import Space, check_index, view
from webdnn.dialects.sizes.types import concrete_shape, concrete_size

PIECE = 1 << 21
"""Points of an iteration space that are evaluated at once."""

COMBINING: dict[type[Operation], Any] = {
    arith.AddfOp: np.add,
    arith.AddiOp: np.add,
    arith.MulfOp: np.multiply,
    arith.MuliOp: np.multiply,
    arith.MaximumfOp: np.maximum,
    arith.MinimumfOp: np.minimum,
    arith.MaxnumfOp: np.fmax,
    arith.MinnumfOp: np.fmin,
    arith.MaxSIOp: np.maximum,
    arith.MinSIOp: np.minimum,
    arith.AndIOp: np.bitwise_and,
    arith.OrIOp: np.bitwise_or,
    arith.XOrIOp: np.bitwise_xor,
}


def loop_sizes(op: GenericOp) -> list[int]:
    """The extent of each dimension of a generic."""
    maps = [m.data for m in op.indexing_maps]
    sizes = [-1] * maps[0].num_dims
    for value, map in zip(op.operands, maps, strict=True):
        if isinstance(value.type, TensorType):
            for expr, size in zip(map.results, concrete_shape(value), strict=True):
                if isinstance(expr, AffineDimExpr):
                    sizes[expr.position] = size
    assert -1 not in sizes, "a dimension of a linalg.generic has no operand that gives its size"
    return sizes


class _Generic:
    """One `linalg.generic` on its operands."""

    def __init__(self, op: GenericOp, operands: Sequence[Any], outer: dict[SSAValue, Any]) -> None:
        self.op = op
        self.maps = [m.data for m in op.indexing_maps]
        self.num_inputs = len(op.inputs)
        self.inputs = [
            np.ascontiguousarray(a) if np.ndim(a) else a for a in operands[: self.num_inputs]
        ]
        self.results: list[Array] = [np.array(a) for a in operands[self.num_inputs :]]
        self.reduced = [
            d for d, t in enumerate(op.iterator_types) if t.data != IteratorType.PARALLEL
        ]
        self.block = op.body.block
        self.outer = outer
        last = self.block.last_op
        assert isinstance(last, YieldOp)
        self.yielded = list(last.arguments)

    def run(self) -> list[Array]:
        sizes = loop_sizes(self.op)
        space = Space((0,) * len(sizes), tuple(sizes))
        if 0 in sizes:
            return self.results
        with np.errstate(all="ignore"):
            if not self.reduced:
                for piece in self._pieces(space):
                    self._elementwise(piece)
            elif (pair := self._product()) is not None:
                for piece in self._pieces(space, of=self._largest(space)):
                    self._contract(piece, pair)
            elif (combiners := self._combiners()) is not None:
                for piece in self._pieces(space):
                    self._reduce(piece, combiners)
            else:
                points = prod(sizes[d] for d in self.reduced)
                for piece in self._pieces(space, of=prod(sizes) // points):
                    self._in_order(piece)
        return self.results

    def _pieces(self, space: Space, of: int | None = None) -> Iterator[Space]:
        """Boxes along the parallel dimensions; `of` is how many elements the whole space costs."""
        cost = prod(space.sizes) if of is None else of
        if cost <= PIECE:
            yield space
            return
        parallel = [d for d in range(len(space.sizes)) if d not in self.reduced]
        d = max(parallel, key=lambda d: (space.sizes[d] > 1, -d), default=-1)
        if d < 0 or space.sizes[d] == 1:
            yield space
            return
        size = space.sizes[d]
        each = max(1, size * PIECE // cost)
        for start in range(0, size, each):
            count = min(each, size - start)
            piece = space.cut(d, start, count)
            yield from self._pieces(piece, None if of is None else of * count // size)

    # bodies

    def _arguments(self, space: Space, *, results: bool) -> dict[SSAValue, Any]:
        values: dict[SSAValue, Any] = dict(self.outer)
        for i, arg in enumerate(self.block.args):
            if i < self.num_inputs:
                source = self.inputs[i]
            elif results:
                source = self.results[i - self.num_inputs]
            else:
                continue
            if arg.first_use:
                values[arg] = view(source, self.maps[i], space) if np.ndim(source) else source
        return values

    def _body(
        self, values: dict[SSAValue, Any], space: Space, wanted: Sequence[SSAValue]
    ) -> list[Any]:
        """Evaluates the body as far as `wanted` needs it and the values given allow."""
        for op in self.block.ops:
            if isinstance(op, YieldOp):
                break
            if isinstance(op, IndexOp):
                values[op.result] = space.index(op.dim.value.data)
            elif isinstance(op, SizeOp):
                values[op.res] = np.int64(concrete_size(op.value))
            elif isinstance(op, tensor.ExtractOp):
                at = [values[i] for i in op.indices]
                source = values[op.tensor]
                check_index(at, source.shape)
                values[op.result] = source[tuple(at)]
            elif all(v in values for v in op.operands):
                meaning = ARITH_MEANING.get(type(op)) or MATH_MEANING[type(op)]
                values[op.results[0]] = meaning(op, *(values[v] for v in op.operands))
        return [values[v] for v in wanted]

    def _store(self, number: int, value: Any, space: Space) -> None:
        result = self.results[number]
        if result.ndim == 0:
            result[...] = np.reshape(value, ())
            return
        map = self.maps[self.num_inputs + number]
        box = replace(
            space,
            sizes=tuple(1 if d in self.reduced else n for d, n in enumerate(space.sizes)),
            starts=tuple(0 if d in self.reduced else s for d, s in enumerate(space.starts)),
        )
        target = view(result, map, box)
        value = np.asarray(value)
        # along dimensions that the map ignores there is one element, which the last point writes
        last = (
            tuple(
                slice(-1, None) if n == 1 and m > 1 else slice(None)
                for n, m in zip(target.shape, value.shape, strict=True)
            )
            if value.ndim == target.ndim
            else ...
        )
        target[...] = value[last]

    def _elementwise(self, space: Space) -> None:
        values = self._arguments(space, results=True)
        for i, value in enumerate(self._body(values, space, self.yielded)):
            self._store(i, value, space)

    # reductions

    def _combiners(self) -> list[tuple[Any, SSAValue]] | None:
        """For each result, the function that combines it with the value of each point, where there is such
        a function."""
        found: list[tuple[Any, SSAValue]] = []
        accs = list(self.block.args[self.num_inputs :])
        if any(len(list(a.uses)) != 1 for a in accs):
            return None
        for acc, value in zip(accs, self.yielded, strict=True):
            op = value.owner
            if not isinstance(op, Operation) or type(op) not in COMBINING:
                return None
            others = [v for v in op.operands if v is not acc]
            if len(others) != 1 or len(op.operands) != 2 or len(list(value.uses)) != 1:
                return None
            found.append((COMBINING[type(op)], others[0]))
        return found

    def _reduce(self, space: Space, combiners: Sequence[tuple[Any, SSAValue]]) -> None:
        values = self._arguments(space, results=False)
        terms = self._body(values, space, [v for _, v in combiners])
        axes = tuple(self.reduced)
        for i, ((function, _), term) in enumerate(zip(combiners, terms, strict=True)):
            term = np.asarray(term)
            full = [
                n if d in self.reduced or term.ndim == 0 else term.shape[d]
                for d, n in enumerate(space.sizes)
            ]
            full = [space.sizes[d] if d in self.reduced else n for d, n in enumerate(full)]
            # the meaning of a sum is the sum: how a kernel orders and blocks it is not to be seen here
            exact = np.float64 if function is np.add and term.dtype == np.float32 else term.dtype
            part = function.reduce(
                np.broadcast_to(term, full), axis=axes, keepdims=True, dtype=exact
            ).astype(term.dtype)
            self._store(i, function(self._current(i, space), part), space)

    def _current(self, number: int, space: Space) -> Array:
        result = self.results[number]
        if result.ndim == 0:
            return result
        box = replace(
            space,
            sizes=tuple(1 if d in self.reduced else n for d, n in enumerate(space.sizes)),
            starts=tuple(0 if d in self.reduced else s for d, s in enumerate(space.starts)),
        )
        return view(result, self.maps[self.num_inputs + number], box)

    def _in_order(self, space: Space) -> None:
        """One point of the reduced dimensions after the other, each for all points of the parallel ones."""
        ranges = [range(space.sizes[d]) for d in self.reduced]
        for point in product(*ranges):
            step = space
            for d, i in zip(self.reduced, point, strict=True):
                step = step.cut(d, i, 1)
            values = self._arguments(step, results=False)
            for i, arg in enumerate(self.block.args[self.num_inputs :]):
                values[arg] = self._current(i, step)
            for i, value in enumerate(self._body(values, step, self.yielded)):
                self._store(i, value, step)

    # sums of products

    def _product(self) -> tuple[int, int] | None:
        """The two inputs of `acc + a * b`."""
        if len(self.yielded) != 1:
            return None
        add = self.yielded[0].owner
        if not isinstance(add, arith.AddfOp | arith.AddiOp):
            return None
        acc = self.block.args[self.num_inputs]
        others = [v for v in add.operands if v is not acc]
        mul = others[0].owner if len(others) == 1 else None
        if not isinstance(mul, arith.MulfOp | arith.MuliOp):
            return None
        args = list(self.block.args[: self.num_inputs])
        if mul.lhs not in args or mul.rhs not in args:
            return None
        if self.results[0].dtype == np.bool_:
            return None
        return args.index(mul.lhs), args.index(mul.rhs)  # pyright: ignore[reportArgumentType]

    def _largest(self, space: Space) -> int:
        """The elements of the largest matrix that `_contract` copies."""
        return max(
            prod(n for n, s in zip(space.sizes, view(a, m, space).shape, strict=True) if s > 1)
            for a, m in zip(self.inputs, self.maps, strict=False)
        )

    def _contract(self, space: Space, pair: tuple[int, int]) -> None:
        views = [view(self.inputs[i], self.maps[i], space) for i in pair]
        rank = len(space.sizes)
        used = [[n > 1 for n in v.shape] for v in views]
        parallel = [d for d in range(rank) if d not in self.reduced]
        batch = [d for d in parallel if used[0][d] and used[1][d]]
        right = [d for d in parallel if used[1][d] and not used[0][d]]
        left = [d for d in parallel if d not in batch and d not in right]
        k = self.reduced

        def matrix(view: Array, rows: Sequence[int], columns: Sequence[int]) -> Array:
            dims = [*batch, *rows, *columns]
            shape = [space.sizes[d] for d in dims]
            rest = [d for d in range(rank) if d not in dims]
            moved = np.transpose(view, [*dims, *rest]).reshape([view.shape[d] for d in dims])
            sizes = [prod(space.sizes[d] for d in part) for part in (batch, rows, columns)]
            return np.broadcast_to(moved, shape).reshape(sizes)

        a, b = matrix(views[0], left, k), matrix(views[1], k, right)
        c = np.matmul(a, b)
        order = [*batch, *left, *right]
        c = c.reshape([space.sizes[d] for d in order] + [1] * len(k))
        positions = [*order, *k]
        c = np.transpose(c, [positions.index(d) for d in range(rank)])
        self._store(0, self._current(0, space) + c, space)


def run_generic(op: GenericOp, operands: Sequence[Any], outer: dict[SSAValue, Any]) -> list[Array]:
    """The results of a `linalg.generic` on tensors.

    Args:
        operands: arrays of the inputs, then of the outputs' initial values.
        outer: values from outside that the body reads: constants, and tensors of `tensor.extract`.
    """
    return _Generic(op, operands, outer).run()


def run_fill(op: FillOp, operands: Sequence[Any]) -> list[Array]:
    """The results of a `linalg.fill` on tensors."""
    return [np.full(concrete_shape(r), operands[0], numpy_dtype(r.type)) for r in op.results]


Free = Callable[[Operation], list[SSAValue]]


def values_from_outside(op: Operation) -> list[SSAValue]:
    """The values that the regions of an op read and do not define."""
    found: dict[SSAValue, None] = {}
    for region in op.regions:
        for inner in region.walk():
            for operand in inner.operands:
                owner = operand.owner
                block = owner if not isinstance(owner, Operation) else owner.parent
                if block is not None and not _is_inside(block, op):
                    found[operand] = None
    return list(found)


def _is_inside(block: Any, op: Operation) -> bool:
    parent = block.parent_op()
    while parent is not None:
        if parent is op:
            return True
        parent = parent.parent_op()
    return False

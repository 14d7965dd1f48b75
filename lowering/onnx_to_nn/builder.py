"""Appends `nn` ops to a block: constants, folding of small values, and the shape helpers that all lowerings use."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np
from xdsl.dialects.builtin import LocationAttr, UnknownLoc, i64
from xdsl.ir import Attribute, Block, Operation, OpResult, SSAValue

from webdnn.dialects.budget import MOST_ELEMENTS, MOST_NODES, TABLE_BYTES, described, elements
from webdnn.dialects.dtypes import (
    Array,
    dense_attr,
    numpy_dtype,
    tensor_type_of,
)
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.nn.base import normalize_axis
from webdnn.dialects.nn.random_numbers import SEED_TYPE, RandomBitsOp
from webdnn.dialects.numpy_meaning.nn import run_nn_op
from webdnn.dialects.numpy_meaning.nn_reduction import neutral
from webdnn.dialects.numpy_meaning.size_arithmetic import is_of_sizes
from webdnn.dialects.sizes.expression import UndecidedSize, bounds, is_symbolic
from webdnn.dialects.sizes.questions import at_least
from webdnn.dialects.sizes.types import element_of, shape_of, size_of, tensor_type
from webdnn.dialects.threefry import MOST_DRAWN
from webdnn.dialects.weight_store import WeightStore
from webdnn.lowering.onnx_to_nn.errors import TooLarge

INLINE_ELEMENTS = 16
"""A constant of more elements than this goes to the weight store and not into the IR."""


class NNBuilder:
    """Builds `nn` ops at the end of `block`; new constants too big for the IR are added to `weights`.

    Every method that builds an op gives its result. An op whose operands are all constants in the IR and whose result
    is small is run at once, so lowerings may compute with scalars and shapes as freely as with tensors.
    """

    def __init__(self, block: Block, weights: WeightStore) -> None:
        self.block = block
        self.weights = weights
        self.location: LocationAttr = UnknownLoc()
        self.name = "constant"
        """What a new weight is called after: the name of the node that is being lowered."""
        self.nodes = 0
        """How many nodes were lowered, those of an unrolled loop's body once for each iteration."""
        self._constants: dict[tuple[str, tuple[int, ...], bytes], SSAValue] = {}
        self._known: set[SSAValue] = set()
        self._arrays: dict[SSAValue, Array] = {}
        self._budget = TABLE_BYTES
        self._seed: SSAValue | None = None
        self._streams = 0

    # Constants

    def constant(
        self, array: Array | Sequence[Any] | float, element: Attribute | None = None
    ) -> SSAValue:
        """A constant tensor. `element` is its element type; without it an array keeps its own.

        One that holds sizes which depend on symbols is an `nn.sizes`, cast where need be.
        """
        value = np.asarray(array)
        if is_of_sizes(value):
            return self._sizes(value, element)
        if element is not None:
            value = value.astype(numpy_dtype(element))
        if value.size > INLINE_ELEMENTS:
            key = self.weights.add(f"{self.name}.constant", value)
            return self._append(dm.WeightOp(key, tensor_type_of(value)))
        identity = (value.dtype.name, value.shape, value.tobytes())
        if identity not in self._constants:
            result = self._append(dm.ConstantOp(dense_attr(value)))
            self._arrays[result] = value
            self._constants[identity] = result
        return self._constants[identity]

    def sizes(self, sizes: Sequence[int]) -> SSAValue:
        """Sizes as a tensor of i64 of rank 1."""
        if not any(map(is_symbolic, sizes)):
            return self.constant(np.array(sizes, np.int64))
        return self._sizes(np.array(sizes, object), None)

    def _sizes(self, array: Array, element: Attribute | None) -> SSAValue:
        value = self._append(dm.SizesOp([*array.flat], is_scalar=array.ndim == 0))
        self._arrays[value] = array.reshape(shape_of(value))
        if array.ndim > 1:
            value = self.reshape(value, array.shape)
        return value if element is None else self.cast(value, element)

    def weight(self, key: str, type: Attribute) -> SSAValue:
        """The array `key` of the weight store: a constant in the IR where it is there and small, else a handle."""
        if key in self.weights and size_of(type) <= INLINE_ELEMENTS:
            return self.constant(self.weights[key])
        return self._append(dm.WeightOp(key, type))

    def filled(self, value: float, shape: Sequence[int], element: Attribute) -> SSAValue:
        """A tensor of one value everywhere."""
        return self.broadcast(self.constant(value, element), shape)

    def is_constant(self, value: SSAValue) -> bool:
        """Whether `value` is computed from weights and constants alone."""
        return value in self._known

    def value_of(self, value: SSAValue) -> Array | None:
        """The array that `value` holds, computed where need be; None where it depends on the model's inputs.

        An array of objects holds sizes, as numbers and as expressions of symbols, or fractions of them.

        Raises:
            KeyError: it depends on a weight whose array is not at hand.
        """
        if value not in self._known:
            return None
        waiting = [value]  # A chain of operations may be longer than Python's stack.
        while waiting:
            last = waiting[-1]
            assert isinstance(last, OpResult)
            missing = [v for v in last.op.operands if v not in self._arrays]
            if missing and last not in self._arrays:
                waiting.extend(missing)
                continue
            waiting.pop()
            if last not in self._arrays:
                arrays = tuple(self._arrays[v] for v in last.op.operands)
                try:
                    self._arrays[last] = run_nn_op(last.op, arrays, self.weights)
                except UndecidedSize:
                    self._known.discard(value)
                    return None
        return self._arrays[value]

    # Budget

    def reserve(self, shape: Sequence[int], itemsize: int = 8) -> None:
        """Check that a table of this shape may be computed, before it is; its bytes are taken from the budget.

        Raises:
            TooLarge: there would be more than `TABLE_BYTES` of tables.
        """
        size = elements(shape) * itemsize
        if size > self._budget:
            taken = TABLE_BYTES - self._budget
            more = f", and there are {described(taken)} already" if taken > 10**6 else ""
            raise TooLarge(
                f"a table of the shape {list(map(int, shape))} would be computed at compile time: "
                f"{described(size)}{more}",
                f"the tables of a model may take {described(TABLE_BYTES)}: compute from smaller sizes",
            )
        self._budget -= size

    def check_nodes(self, more: int) -> None:
        """Raises `TooLarge` where so many more nodes come to more than `MOST_NODES`."""
        if self.nodes + more > MOST_NODES:
            raise TooLarge(
                f"with its iterations the model comes to more than {MOST_NODES:,} nodes",
                "loops are unrolled when a model is compiled: let them have fewer iterations",
            )

    # Ops

    def insert(self, op: Operation) -> SSAValue:
        """Append an op that has one result; one without elements is a constant."""
        count = size_of(op.results[0])
        is_sized = dm.depends_on_sizes(op)
        if count == 0 and not is_sized:
            op.verify_()
            type = op.results[0].type
            op.erase()
            return self.constant(np.empty(shape_of(type), numpy_dtype(type)))
        if op.operands and all(map(self._is_at_hand, op.operands)):
            op.verify_()
            if not is_sized and count <= INLINE_ELEMENTS:
                return self._folded(op)
        return self._append(op)

    def _is_at_hand(self, value: SSAValue) -> bool:
        """Whether the array of a value stands in the IR, or is computed from sizes."""
        array = self._arrays.get(value)
        return array is not None and (isinstance(value.owner, dm.ConstantOp) or is_of_sizes(array))

    def _folded(self, op: Operation) -> SSAValue:
        """What an op computes, as a constant or as sizes; the op itself where only a run can tell, or where it makes
        something else of sizes than integers."""
        try:
            array = run_nn_op(op, tuple(self._arrays[v] for v in op.operands), self.weights)
        except UndecidedSize:
            return self._append(op, is_known=False)
        if not is_of_sizes(array):
            op.erase()
            return self.constant(array)
        if element_of(op.results[0]) == i64 and array.ndim <= 1:
            op.erase()
            return self._sizes(array, None)
        result = self._append(op)
        self._arrays[result] = array
        return result

    def _append(self, op: Operation, *, is_known: bool = True) -> SSAValue:
        op.location = self.location
        op.verify_()
        result = op.results[0]
        count = size_of(result)
        if bounds(count)[0] > MOST_ELEMENTS:
            raise TooLarge(
                f"one of its results would have the shape {list(shape_of(result))}",
                f"a tensor has at most {MOST_ELEMENTS:,} elements",
            )
        is_known = (
            is_known
            and (isinstance(op, dm.SizesOp) or not dm.depends_on_sizes(op))
            and all(v in self._known for v in op.operands)
        )
        is_stored = isinstance(op, dm.ConstantOp | dm.WeightOp)
        if is_known and not is_stored and count > sum(size_of(v) for v in set(op.operands)):
            self.reserve(shape_of(result), numpy_dtype(result.type).itemsize)
        self.block.add_op(op)
        if is_known:
            self._known.add(result)
        return result

    def __call__(self, op: type[ew.ElementwiseOp], *operands: SSAValue | float) -> SSAValue:
        """An elementwise op; numbers among the operands become constants of the first tensor's element type."""
        element = next(
            element_of(v)
            for v in (operands[1:] if op is ew.SelectOp else operands)
            if isinstance(v, SSAValue)
        )
        values = [v if isinstance(v, SSAValue) else self.constant(v, element) for v in operands]
        return self.insert(op(*values))

    def cast(self, x: SSAValue, element: Attribute) -> SSAValue:
        return x if element_of(x) == element else self.insert(ew.CastOp(x, element))

    def reshape(self, x: SSAValue, shape: Sequence[int]) -> SSAValue:
        """`x` under another shape; one size may be -1."""
        sizes = list(shape)
        if -1 in sizes:
            rest = prod(n for n in sizes if n != -1)
            sizes[sizes.index(-1)] = size_of(x) // rest if rest != 0 else 0
        return x if tuple(sizes) == shape_of(x) else self.insert(dm.ReshapeOp(x, sizes))

    def transpose(self, x: SSAValue, permutation: Sequence[int]) -> SSAValue:
        identity = list(permutation) == list(range(len(permutation)))
        return x if identity else self.insert(dm.TransposeOp(x, permutation))

    def broadcast(self, x: SSAValue, shape: Sequence[int]) -> SSAValue:
        return x if tuple(shape) == shape_of(x) else self.insert(dm.BroadcastOp(x, shape))

    def slice(
        self,
        x: SSAValue,
        starts: Sequence[int],
        sizes: Sequence[int],
        steps: Sequence[int] | None = None,
    ) -> SSAValue:
        steps = steps or [1] * len(starts)
        if tuple(sizes) == shape_of(x) and all(s == 1 for s in steps):
            return x
        return self.insert(dm.SliceOp(x, starts, sizes, steps))

    def slice_axis(self, x: SSAValue, axis: int, start: int, size: int, step: int = 1) -> SSAValue:
        """A slice along one dimension."""
        shape = list(shape_of(x))
        axis = normalize_axis(axis, len(shape))
        starts, steps = [0] * len(shape), [1] * len(shape)
        shape[axis], starts[axis], steps[axis] = size, start, step
        return self.slice(x, starts, shape, steps)

    def pad(
        self,
        x: SSAValue,
        low: Sequence[int],
        high: Sequence[int],
        *,
        interior: Sequence[int] | None = None,
        mode: str = "constant",
        value: float = 0.0,
    ) -> SSAValue:
        if all(n == 0 for n in (*low, *high, *(interior or ()))):
            return x
        return self.insert(dm.PadOp(x, low, high, interior=interior, mode=mode, value=value))

    def concat(self, xs: Sequence[SSAValue], axis: int) -> SSAValue:
        """The tensors one behind another; those of size 0 along the axis add nothing."""
        full = [x for x in xs if shape_of(x)[axis] != 0] or xs[:1]
        return full[0] if len(full) == 1 else self.insert(dm.ConcatOp(full, axis))

    def reduce(
        self, kind: str, x: SSAValue, axes: Sequence[int], keep_dims: bool = True
    ) -> SSAValue:
        """`x` combined over `axes`; over no elements at all, what that is by definition."""
        if not axes:
            return x
        op = rd.ReduceOp(kind, x, axes, keep_dims)
        if size_of(x) != 0:
            return self.insert(op)
        shape, element = shape_of(op.res), element_of(x)
        op.erase()
        return self.filled(neutral(kind, numpy_dtype(element)), shape, element)

    def mean(self, x: SSAValue, axes: Sequence[int], keep_dims: bool = True) -> SSAValue:
        """The mean of floats over `axes`: a sum and a multiplication. Of no elements it is NaN."""
        shape = shape_of(x)
        count = prod(shape[a] for a in axes)
        total = self.reduce("sum", x, axes, keep_dims)
        if is_symbolic(count):
            return self(ew.DivOp, total, count)
        return self(ew.MulOp, total, 1.0 / count if count else float("nan"))

    def matmul(self, lhs: SSAValue, rhs: SSAValue) -> SSAValue:
        op = rd.MatmulOp(lhs, rhs)
        if shape_of(lhs)[-1] != 0:
            return self.insert(op)
        shape = shape_of(op.res)
        op.erase()
        return self.filled(0.0, shape, element_of(lhs))

    def iota(self, shape: Sequence[int], axis: int, element: Attribute) -> SSAValue:
        return self.insert(dm.IotaOp(tensor_type(element, shape), axis))

    # Random numbers

    @property
    def seed(self) -> SSAValue | None:
        """The argument of the block that is the seed of a run, its last one; None where nothing was drawn under it."""
        return self._seed

    def next_stream(self) -> int:
        """The number of a stream of random numbers that nothing else draws from."""
        self._streams += 1
        return self._streams - 1

    def random_bits(
        self, shape: Sequence[int], stream: int, word: int, seed: SSAValue | None = None
    ) -> SSAValue:
        """Random words: see `nn.random_bits`.

        Args:
            seed: the key, as a constant; without it, they are others in each run.
        """
        if (count := at_least(prod(shape))) > MOST_DRAWN:
            raise TooLarge(
                f"it draws {count:,} random numbers",
                f"a tensor of random numbers has at most {MOST_DRAWN:,}",
            )
        if seed is None:
            if self._seed is None:
                self._seed = self.block.insert_arg(SEED_TYPE, len(self.block.args))
                self._seed.name_hint = "seed"
            seed = self._seed
        number = self.constant(np.array(stream, np.uint32))
        return self.insert(RandomBitsOp(seed, number, word, shape))

    # Layouts

    def channels_last(self, x: SSAValue) -> SSAValue:
        """From `N, C, spatial...` to `N, spatial..., C`."""
        rank = len(shape_of(x))
        return self.transpose(x, [0, *range(2, rank), 1])

    def channels_first(self, x: SSAValue) -> SSAValue:
        """From `N, spatial..., C` to `N, C, spatial...`."""
        rank = len(shape_of(x))
        return self.transpose(x, [0, rank - 1, *range(1, rank - 1)])

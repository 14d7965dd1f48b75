"""What a lowering sees of an ONNX node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import isfinite
from typing import Any

import numpy as np
from xdsl.dialects.builtin import NameLoc, NoneType
from xdsl.ir import Attribute, Operation, Region, SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.numpy_meaning.size_arithmetic import is_of_sizes
from webdnn.dialects.onnx import OnnxOp, WeightAttr
from webdnn.dialects.sizes.expression import is_size, is_symbolic, undecided
from webdnn.dialects.sizes.ratio import Ratio
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import FailureInside, Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.origins import binding_hint

Value = SSAValue | list[SSAValue] | None
"""What stands for an ONNX value: a tensor, a sequence of tensors (their number is known), or an absent optional."""


LowerRegion = Callable[[Region, Sequence[Value]], list[Value]]
"""Lowers the ops of a region at the current place, for values of its arguments, and gives what it yields."""


def node_name(op: Operation) -> str:
    """The name of the node as the model spells it."""
    location = op.location
    if isinstance(location, NameLoc):
        return location.desc.data
    return next((r.name_hint for r in op.results if r.name_hint), op.name)


class Node:
    """An ONNX node whose operands are lowered.

    Attributes:
        op: the op of the `onnx` dialect.
        operands: what its operands were lowered to; None where an optional one is absent.
        name: its name in the model.
    """

    def __init__(
        self,
        op: OnnxOp,
        operands: Sequence[Value],
        builder: NNBuilder,
        lower_region: LowerRegion,
    ) -> None:
        self.op = op
        self.operands = operands
        self.name = node_name(op)
        self._builder = builder
        self._lower_region = lower_region

    @property
    def version(self) -> int:
        """The opset that introduced this version of the operator."""
        return self.op.since_version

    # Operands

    def has(self, index: int) -> bool:
        """Whether operand `index` is there."""
        return index < len(self.operands) and self.operands[index] is not None

    def __getitem__(self, index: int) -> SSAValue:
        """The tensor that operand `index` is."""
        value = self.operands[index] if index < len(self.operands) else None
        if not isinstance(value, SSAValue):
            what = "is absent" if value is None else "is a sequence"
            raise Unsupported(f"its operand {index} {what}")
        return value

    def optional(self, index: int) -> SSAValue | None:
        """The tensor that operand `index` is, or None where it is absent."""
        return self[index] if self.has(index) else None

    @property
    def tensors(self) -> list[SSAValue]:
        """All operands, which are tensors (of a variadic operator)."""
        return [self[i] for i in range(len(self.operands))]

    def sequence(self, index: int) -> list[SSAValue]:
        """The tensors of operand `index`, which is a sequence."""
        value = self.operands[index]
        if not isinstance(value, list):
            raise Unsupported(f"its operand {index} is not a sequence")
        return value

    def shape(self, index: int = 0) -> tuple[int, ...]:
        return shape_of(self[index])

    def rank(self, index: int = 0) -> int:
        return len(shape_of(self[index]))

    def element(self, index: int = 0) -> Attribute:
        return element_of(self[index])

    def constant(self, index: int) -> Array | None:
        """The value of operand `index` where it is known at compile time; None where it is not, or is absent."""
        value = self._value(index)
        return None if value is None or is_of_sizes(value) else value

    def sizes(self, index: int) -> Array | None:
        """The value of operand `index`, where it may hold expressions of symbols and fractions of them (`Ratio`); None
        where it depends on data, or is absent."""
        return self._value(index)

    def _value(self, index: int) -> Array | None:
        if not self.has(index):
            return None
        try:
            return self._builder.value_of(self[index])
        except KeyError:
            return None

    def known(self, index: int) -> Array:
        """The value of operand `index`, which must be known at compile time.

        Raises:
            Unsupported: it depends on data.
            UndecidedSize: it depends on sizes which are not numbers.
        """
        value = self.known_sizes(index)
        if is_of_sizes(value):
            names = self.op.input_names
            raise undecided(
                f"its input '{names[min(index, len(names) - 1)]}' is {', '.join(map(str, value.flat))}",
                *(size for v in value.flat for size in [getattr(v, "numerator", v)]),
            )
        return value

    def known_sizes(self, index: int) -> Array:
        """The value of operand `index`, which must be known at compile time, but for the sizes of inputs."""
        value = self._value(index)
        if value is None:
            names = self.op.input_names
            raise Unsupported(
                f"its input '{names[min(index, len(names) - 1)]}' is computed from the model's "
                "inputs, and shapes must be known at compile time",
                binding_hint(self.op.operands[index]) or "make that value a constant of the model",
            )
        return value

    def known_ints(self, index: int) -> list[int]:
        """The integers of operand `index`, which must be known at compile time, but for the sizes of inputs."""
        values = self.known_sizes(index).ravel().tolist()
        if not all(is_size(v) or isinstance(v, Ratio) or isfinite(v) for v in values):
            raise Invalid(
                f"its input '{self.op.input_names[index]}' is {values}, where integers are needed"
            )
        return [
            v if is_symbolic(v) else v.trunc() if isinstance(v, Ratio) else int(v) for v in values
        ]

    def known_int(self, index: int) -> int:
        """The one integer that operand `index` is, which must be known at compile time."""
        values = self.known_ints(index)
        if len(values) != 1:
            raise Invalid(
                f"its input '{self.op.input_names[index]}' has {len(values)} numbers, not one"
            )
        return values[0]

    # Attributes

    def attr(self, name: str, default: Any = None) -> Any:
        """The attribute as a Python value; the schema's default, then `default`, where it is not given."""
        if name not in self.op.schema.attributes:
            return default
        value = self.op.value_of(name)
        if isinstance(value, WeightAttr):
            return self._builder.weights[value.key.data]
        return default if value is None else value

    def int(self, name: str, default: int = 0) -> int:
        return int(self.attr(name, default))

    def float(self, name: str, default: float = 0.0) -> float:
        """A float attribute, as the f32 that it is in the file."""
        return float(np.float32(self.attr(name, default)))

    def str(self, name: str, default: str = "") -> str:
        return str(self.attr(name, default))

    def ints(self, name: str, default: Sequence[int] | None = None) -> list[int] | None:
        value = self.attr(name)
        if value is None:
            return None if default is None else list(default)
        return [int(v) for v in value]

    def ints_or_input(self, name: str, index: int) -> list[int] | None:
        """A list of integers that was an attribute in old opsets and is operand `index` in newer ones."""
        if name in self.op.schema.attributes:
            return self.ints(name)
        return self.known_ints(index) if self.has(index) else None

    def axis(self, name: str = "axis", default: int = 0, rank: int | None = None) -> int:
        """The attribute as a dimension of operand 0, counted from the front."""
        rank = self.rank() if rank is None else rank
        axis = self.int(name, default)
        return axis + rank if axis < 0 else axis

    def dimensions(self, axes: Sequence[int], rank: int | None = None) -> list[int]:
        """Axes as dimensions of operand 0 (or of a tensor of `rank`), counted from the front."""
        rank = self.rank() if rank is None else rank
        for axis in axes:
            if not -rank <= axis < rank:
                raise Invalid(f"axis {axis} is outside a tensor of {rank} dimensions")
        return [axis % rank for axis in axes]

    # Subgraphs

    def run_region(self, name: str, arguments: Sequence[Value]) -> list[Value]:
        """Lower the subgraph `name` here, with values for its inputs; gives its outputs."""
        return self._lower_region(self.op.region_named(name), arguments)

    def run_regions(self, names: Sequence[str]) -> list[list[Value]]:
        """Lower subgraphs without inputs here. Where one fails, the others are looked at before that goes on."""
        results: list[list[Value]] = []
        failure: FailureInside | None = None
        for name in names:
            try:
                results.append(self.run_region(name, []))
            except FailureInside as error:
                failure = error
        if failure is not None:
            raise failure
        return results

    # Results

    @property
    def result_count(self) -> int:
        return len(self.op.results)

    def wants(self, index: int) -> bool:
        """Whether result `index` is there and used."""
        return index < len(self.op.results) and self.op.results[index].first_use is not None


def is_absent(value: SSAValue) -> bool:
    """Whether an operand in the `onnx` dialect stands for an absent optional input."""
    return isinstance(value.type, NoneType)

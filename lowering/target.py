"""What the passes ask of a target: how its memory is made, and how it cuts kernels.

A pass that depends on a target has the target's name as an option and asks `lowering_target(name)`: no pass compares
names.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from xdsl.dialects.builtin import AnyFloat, IntegerType, TensorType
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.expression import maximum
from webdnn.dialects.sizes.questions import at_most
from webdnn.dialects.sizes.types import size_of
from webdnn.lowering.packing import Packing


@dataclass(frozen=True)
class MemoryModel:
    """How tensors lie in the memory of a target.

    Attributes:
        word: the least number of bytes of an element.
        alignment: bytes that the address of each tensor is a multiple of.
        is_linear: whether there is one memory, any parts of which a launch may read and write; else there are buffers,
            and a launch reads none that it writes.
        max_operands: how many operands and results a kernel may have together; None for any number.
        max_operand_bytes: what is larger counts as several of them; None for any size.
    """

    word: int
    alignment: int
    is_linear: bool
    max_operands: int | None = None
    max_operand_bytes: int | None = None

    def element_bytes(self, element: Attribute) -> int:
        """Bytes of one element; a truth value is at least a byte."""
        if isinstance(element, IntegerType):
            size = element.width.data // 8
        else:
            assert isinstance(element, AnyFloat)
            size = element.bitwidth // 8
        return max(size, self.word)

    def tensor_bytes(self, type: Attribute) -> int:
        """Bytes of a tensor; an empty one takes an element's, because not every target has empty operands."""
        assert isinstance(type, TensorType)
        return maximum(size_of(type), 1) * self.element_bytes(type.element_type)

    def fits_one_kernel(self, operands: Iterable[SSAValue]) -> bool:
        """Whether a kernel may have these operands and results."""
        if self.max_operands is None:
            return True
        return sum(map(self._operand_count, operands)) <= self.max_operands

    def _operand_count(self, value: SSAValue) -> int:
        if self.max_operand_bytes is None:
            return 1
        return -(-at_most(self.tensor_bytes(value.type)) // self.max_operand_bytes)


class LoweringTarget(ABC):
    """A target, as far as the lowering knows it.

    Attributes:
        name: what options, packages and tables of schedules call it.
        memory: how tensors lie in its memory.
    """

    name: str
    memory: MemoryModel

    def pack(self, func: FuncOp, weights: Sequence[int]) -> list[Packing]:
        """Make a kernel of level `kernels` read weights in the layout that it reads fastest, as its attribute `panels`
        says, which is written where it has none.

        Args:
            weights: the numbers of the operands that are weights at each launch.

        Returns:
            What is to be done to which operands; by default nothing.

        Raises:
            WebDNNError: the attribute does not fit the kernel.
        """
        return []

    def overwritable(self, func: FuncOp) -> list[int]:
        """The operands of a kernel of one result over which the result may lie: each element is read only where that of
        the result is made. By default none."""
        return []

    @abstractmethod
    def choose_schedule(self, func: FuncOp) -> None:
        """Write the schedule that the cost model chooses on a kernel that has none, packed as `pack` does."""

    @abstractmethod
    def check_schedule(self, func: FuncOp, weights: Sequence[int]) -> None:
        """Check that the schedule and the packing that stand on a kernel fit it.

        Raises:
            WebDNNError: they do not.
        """


Registered = TypeVar("Registered", bound=LoweringTarget)

_TARGETS: dict[str, LoweringTarget] = {}
"""By name; who defines a target registers it."""


def target_names() -> list[str]:
    """The names of all targets."""
    return list(_TARGETS)


def register(target: Registered) -> Registered:
    """Make a target known to the passes; returns it."""
    _TARGETS[target.name] = target
    return target


def lowering_target(name: str) -> LoweringTarget:
    """The target of a name.

    Raises:
        WebDNNError: there is none.
    """
    found = _TARGETS.get(name)
    if found is None:
        raise WebDNNError(f"there is no target {name!r}", hint="one of " + ", ".join(_TARGETS))
    return found


def memory_of(target: str) -> MemoryModel:
    """The memory model of the target of a name."""
    return lowering_target(target).memory

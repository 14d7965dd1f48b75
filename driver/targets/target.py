"""What a target is: one object that says all that differs between back ends, and that all others ask."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from xdsl.dialects.builtin import ModuleOp
from xdsl.dialects.func import FuncOp as HostFunction
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.dialects.dtypes import Array
from webdnn.kernel_cache import CacheEntry
from webdnn.lowering.linalg.fuse_regions import FuseKernelRegions
from webdnn.lowering.nn.hoist_weights import HoistWeights
from webdnn.lowering.nn_to_linalg.convert import ConvertNNToLinalg
from webdnn.lowering.target import LoweringTarget
from webdnn.packaging.program import Files, Program

Compiled = TypeVar("Compiled")
"""What a package holds of one kernel."""

UserPasses = Sequence[tuple[str, ModulePass]]
"""Passes of the user's, each with the stage after which it runs."""


@dataclass(frozen=True)
class PackageOptions:
    """What a person may choose of a package.

    Attributes:
        threads: whether there are modules for several threads too, where the target has threads.
    """

    threads: bool = True


class Target(ABC, Generic[Compiled]):
    """A back end.

    Attributes:
        lowering: what passes ask of it.
        search_pass: the name of the pass that chooses schedules by a search long enough for its results to be kept;
            None if there is none.
        emissions: what can be emitted of a module besides a package: names that `webdnn-translate` takes.
    """

    lowering: LoweringTarget
    search_pass: str | None = None
    emissions: Sequence[str] = ()

    @property
    def name(self) -> str:
        """What options and packages call it."""
        return self.lowering.name

    @abstractmethod
    def passes(self, stage: str) -> Sequence[ModulePass]:
        """The passes that lead to one of the stages behind `nn` from the one before."""

    def structured(self) -> Sequence[ModulePass]:
        """The passes from `nn` to `linalg` that targets have in common."""
        return (HoistWeights(), ConvertNNToLinalg(), FuseKernelRegions(self.name))

    def check_interface(self, main: HostFunction) -> None:
        """Check that the target can hold the inputs and outputs of a model of stage `nn`.

        Raises:
            WebDNNError: it cannot; names the input or output.
        """

    @abstractmethod
    def check_tensor(self, bytes: int) -> None:
        """Check that a tensor of so many bytes can be.

        Raises:
            WebDNNError: it cannot.
        """

    @abstractmethod
    def compile_kernel(self, text: str, extra: UserPasses = ()) -> Compiled:
        """Compile a module of one kernel of stage `kernels`.

        Args:
            text: the module.
            extra: passes of the user's for the stages `loops` and `target`.
        """

    @abstractmethod
    def to_entry(self, compiled: Compiled) -> CacheEntry:
        """The entry of the cache that keeps a compiled kernel."""

    @abstractmethod
    def from_entry(self, entry: CacheEntry, func: kernel.FuncOp) -> Compiled | None:
        """The compiled form of a kernel of stage `kernels`; None if the entry does not hold one."""

    @abstractmethod
    def section(
        self,
        program: Program,
        kernels: Mapping[str, Compiled],
        arrays: Sequence[Array],
        options: PackageOptions,
    ) -> tuple[dict[str, Any], Files]:
        """The section of a package's manifest, and its files.

        Args:
            program: the planned host program.
            kernels: the compiled kernels by name.
            arrays: the weights, as `@weights` returns them.
        """

    @abstractmethod
    def stage_of(self, op: Operation) -> Literal["loops", "target"] | None:
        """The stage of a module that holds `op`, if only modules that were lowered for this target hold such."""

    @abstractmethod
    def emit(self, module: ModuleOp, kind: str) -> bytes:
        """A module of stage `target` as one of `emissions`."""


AnyTarget = Target[Any]

"""What the programs for one thread and for several have in common: calls of kernels, and who runs which launches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from xdsl.dialects import llvm
from xdsl.dialects.builtin import UnitAttr, i32
from xdsl.ir import SSAValue

from webdnn.dialects import kernel, plan
from webdnn.dialects.sizes.expression import Symbol
from webdnn.dialects.sizes.substitution import likely, substitute
from webdnn.lowering.target_wasm.emitter import Emitter
from webdnn.lowering.target_wasm.layout import MemoryLayout
from webdnn.lowering.target_wasm.size_table import Numbers

RUN = "run"
RUN_RANGE = "run_range"
PREPARE = "prepare"


@dataclass(frozen=True)
class KernelWork:
    """How the work of a kernel is measured (see `kernel.func`).

    `code_bytes`: of its code in a module, or None where it has not been compiled yet. `symbols`: those of the kernel,
    of which `work` may be an expression, in the order in which a launch gives their values.
    """

    work: int
    grain: int
    code_bytes: int | None = None
    symbols: tuple[Symbol, ...] = ()

    @staticmethod
    def of(func: kernel.FuncOp) -> KernelWork | None:
        """That of a kernel of level `loops`; None if its work cannot be shared."""
        if func.work is None or func.grain is None:
            return None
        return KernelWork(func.work_size, func.grain.value.data, symbols=tuple(func.symbols))

    def of_launch(self, launch: plan.LaunchIntoOp) -> int:
        """The work of a launch."""
        values = dict(zip(self.symbols, launch.kernel_sizes, strict=True))
        return substitute(self.work, lambda symbol: values[symbol])

    def parts(self, launch: plan.LaunchIntoOp) -> int:
        """Into how many parts a launch may be cut to advantage, where sizes are the likely ones."""
        return max(1, likely(self.of_launch(launch)) // self.grain)


Works = Mapping[str, KernelWork]
"""Those kernels by name whose work can be shared."""


def kernel_of(launch: plan.LaunchIntoOp) -> str:
    return launch.kernel.root_reference.data


def count_of_first_run(launches: Sequence[plan.LaunchIntoOp]) -> int:
    """How many launches, the last ones, stand for others in a first run."""
    return sum(op.first_run is not None for op in launches)


def function(
    name: str, arguments: int, emitter: Emitter, *, exported: bool = True, returns: bool = False
) -> llvm.FuncOp:
    """A function of some i32, which is not inlined, so that its code is there once."""
    return llvm.FuncOp(
        name,
        llvm.LLVMFunctionType([i32] * arguments, i32 if returns else None),
        llvm.LinkageAttr("external" if exported else "internal"),
        body=emitter.finish(),
        other_props={"no_inline": UnitAttr()},
    )


def run_functions(launches: Sequence[plan.LaunchIntoOp]) -> list[llvm.FuncOp]:
    """`run()`, and `prepare()` where there are launches at load: calls of `run_range`."""
    first = plan.count_at_load(launches)
    run = _run(RUN, first, len(launches) - count_of_first_run(launches))
    return [_run(PREPARE, 0, first), run] if first else [run]


def _run(name: str, begin: int, end: int) -> llvm.FuncOp:
    emitter = Emitter({}, relaxed=False)
    emitter.block.add_op(llvm.CallOp(RUN_RANGE, emitter.int(begin), emitter.int(end)))
    emitter.block.add_op(llvm.ReturnOp())
    external = llvm.LinkageAttr("external")
    return llvm.FuncOp(name, llvm.LLVMFunctionType([]), external, body=emitter.finish())


def call_in_range(
    emitter: Emitter,
    number: int,
    launch: plan.LaunchIntoOp,
    within: tuple[SSAValue, SSAValue],
    layout: MemoryLayout,
    works: Works,
    numbers: Numbers,
) -> None:
    """Run all of a launch if its number is in a range (`begin`, `end`)."""
    inside, after = emitter.new_block(), emitter.new_block()
    emitter.cond_branch(is_in_range(emitter, number, within), inside, [], after, [])
    emitter.block = inside
    work = works.get(kernel_of(launch))
    part = () if work is None else (emitter.int(0), numbers(emitter, work.of_launch(launch)))
    call(emitter, launch, layout, part, numbers)
    emitter.branch(after)
    emitter.block = after


def is_in_range(emitter: Emitter, number: int, within: tuple[SSAValue, SSAValue]) -> SSAValue:
    """Whether `begin <= number < end`, by one unsigned comparison."""
    begin, end = within
    length = emitter.binary(llvm.SubOp, end, begin)
    distance = emitter.binary(llvm.SubOp, emitter.int(number), begin)
    return emitter.icmp("ult", distance, length)


def call(
    emitter: Emitter,
    launch: plan.LaunchIntoOp,
    layout: MemoryLayout,
    part: Sequence[SSAValue],
    numbers: Numbers,
) -> None:
    """Call the kernel of a launch: its sizes come first, then its operands, then `part`, its range of work, where it
    has one."""
    sizes = [numbers(emitter, size) for size in launch.kernel_sizes]
    pointers = [_address(emitter, value, layout, numbers) for value in launch.arguments]
    emitter.block.add_op(llvm.CallOp(kernel_of(launch), *sizes, *pointers, *part))


def _address(emitter: Emitter, value: SSAValue, layout: MemoryLayout, numbers: Numbers) -> SSAValue:
    return emitter.add(llvm.IntToPtrOp(numbers(emitter, layout.address(plan.slice_of(value)))))

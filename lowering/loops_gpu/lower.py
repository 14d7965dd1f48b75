"""`lower-kernels-to-gpu-loops`: each `kernel.func` on tensors becomes the program of one GPU invocation."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.loops_gpu.contraction import lower_contraction
from webdnn.lowering.loops_gpu.pointwise import lower_pointwise
from webdnn.lowering.loops_gpu.read_kernel import read_kernel
from webdnn.lowering.loops_gpu.rows import lower_rows
from webdnn.lowering.loops_gpu.schedules import schedule_for
from webdnn.lowering.loops_gpu.strategy import Contraction, Pointwise, Rows, from_attribute


def lower_kernel(func: FuncOp) -> FuncOp:
    """The lowered form of a kernel on level `kernels`, as its schedule says (as the heuristic would, if it has none).

    Raises:
        WebDNNError: the kernel or its schedule is not understood.
    """
    outputs = read_kernel(func)
    schedule, name = func.schedule, func.sym_name.data
    match schedule_for(outputs) if schedule is None else from_attribute(schedule, name):
        case Pointwise() as strategy:
            return lower_pointwise(func, outputs, strategy)
        case Rows() as strategy:
            return lower_rows(func, outputs, strategy)
        case Contraction() as strategy:
            return lower_contraction(func, outputs, strategy)


@dataclass(frozen=True)
class LowerKernelsToGPULoopsPass(ModulePass):
    """Lowers every kernel that is not lowered yet."""

    name = "lower-kernels-to-gpu-loops"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in list(op.walk()):
            if isinstance(func, FuncOp) and not func.is_lowered:
                block = func.parent_block()
                assert block is not None
                block.insert_op_before(lower_kernel(func), func)
                func.detach()
                func.erase()

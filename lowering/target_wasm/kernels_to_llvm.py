"""`lower-kernels-to-llvm`: each `kernel.func` of level `loops` becomes an `llvm.func` for wasm32."""

from __future__ import annotations

from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import llvm
from xdsl.dialects.builtin import ArrayAttr, DictionaryAttr, ModuleOp, UnitAttr, i32
from xdsl.ir import Operation
from xdsl.passes import ModulePass

from webdnn.dialects import kernel
from webdnn.dialects.kernel import may_alias
from webdnn.dialects.sizes.questions import at_most
from webdnn.lowering.target_wasm import arithmetic, control_flow, math_ops, memory, vectors
from webdnn.lowering.target_wasm.emitter import Emitter, Handler
from webdnn.lowering.target_wasm.expand_half import expand_half
from webdnn.lowering.target_wasm.expand_math import expand
from webdnn.lowering.target_wasm.intervals import Interval
from webdnn.lowering.target_wasm.types import PTR


def _work_range(emitter: Emitter, op: Operation) -> None:
    """The arguments behind the pointers."""
    func = op.parent_op()
    assert isinstance(func, kernel.FuncOp) and func.work is not None
    within = Interval(0, at_most(func.work_size))
    for result, arg in zip(op.results, emitter.entry.args[-2:], strict=True):
        emitter.set(result, arg)
        emitter.intervals[result] = within


_HANDLERS: dict[type[Operation], Handler] = {
    kernel.WorkRangeOp: _work_range,
    **arithmetic.HANDLERS,
    **control_flow.HANDLERS,
    **math_ops.HANDLERS,
    **memory.HANDLERS,
    **vectors.HANDLERS,
}


def lower_kernel(func: kernel.FuncOp, *, relaxed: bool) -> llvm.FuncOp:
    """The `llvm.func` of one kernel: an i32 for each symbol of its sizes, a pointer for each tensor, then the range of
    work if it has one; no result.

    Args:
        func: a kernel of level `loops`.
        relaxed: whether multiply-adds of vectors may be done by relaxed SIMD.
    """
    emitter = Emitter(_HANDLERS, relaxed=relaxed)
    emitter.sizes_fit = bool(func.symbols)
    symbols, args = func.symbols, func.body.block.args
    pointers = len(args) - len(symbols)
    types = [
        *[i32] * len(symbols),
        *[PTR] * pointers,
        *([i32] * 2 if func.work is not None else []),
    ]
    for type in types:
        emitter.entry.insert_arg(type, len(emitter.entry.args))
    for arg, lowered in zip(args, emitter.entry.args, strict=False):
        emitter.set(arg, lowered)
    for symbol, arg in zip(symbols, args, strict=False):
        emitter.intervals[arg] = Interval(symbol.low, symbol.high)
    emitter.emit_ops(func.body.block)
    emitter.block.add_op(llvm.ReturnOp())

    shared = may_alias(func)
    alone = DictionaryAttr({"llvm.noalias": UnitAttr(), "llvm.nocapture": UnitAttr()})
    aliased = DictionaryAttr({"llvm.nocapture": UnitAttr()})
    # an argument without an entry would not be printed
    nothing = DictionaryAttr({})
    attributes = [
        *[nothing] * len(symbols),
        *(aliased if number in shared else alone for number in range(pointers)),
        *[nothing] * (len(types) - len(symbols) - pointers),
    ]
    return llvm.FuncOp(
        func.sym_name,
        llvm.LLVMFunctionType(types),
        llvm.LinkageAttr("external"),
        body=emitter.finish(),
        other_props={"arg_attrs": ArrayAttr(attributes), "no_inline": UnitAttr()},
    )


@dataclass(frozen=True)
class LowerKernelsToLLVM(ModulePass):
    """Lowers all kernels of a module, and leaves all else as it is. 16-bit floats and elementary
    functions are expanded first.

    `relaxed`: vector multiply-adds are done by relaxed SIMD.
    """

    name = "lower-kernels-to-llvm"

    relaxed: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in list(op.ops):
            if isinstance(func, kernel.FuncOp) and func.is_lowered:
                expand_half(func)
                expand(func)
                lowered = lower_kernel(func, relaxed=self.relaxed)
                block = op.body.block
                block.insert_op_before(lowered, func)
                block.erase_op(func)

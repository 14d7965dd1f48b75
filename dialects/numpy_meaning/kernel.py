"""The numpy meaning of kernels: of ops on tensors (levels `linalg` and `kernels`) and of loops (level
`loops`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.dialects import tensor
from xdsl.dialects.builtin import DYNAMIC_INDEX, MemRefType
from xdsl.dialects.linalg.ops import FillOp, GenericOp
from xdsl.interpreter import (
    Interpreter,
    InterpreterFunctions,
    PythonValues,
    impl,
    impl_callable,
    register_impls,
)
from xdsl.ir import Block, Operation, SSAValue

from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp, RegionOp, ReturnOp, SizeOp, YieldOp
from webdnn.dialects.linalg_ext import LinalgExt, OrderingOp
from webdnn.dialects.numpy_meaning.arith import ARITH_MEANING, dtype_of
from webdnn.dialects.numpy_meaning.linalg import run_fill, run_generic, values_from_outside
from webdnn.dialects.numpy_meaning.linalg_ext import run_ordering
from webdnn.dialects.numpy_meaning.loops import run_loops
from webdnn.dialects.numpy_meaning.math import MATH_MEANING
from webdnn.dialects.numpy_meaning.table import TableFunctions
from webdnn.dialects.numpy_meaning.tensor import run_concat, run_empty, run_extract
from webdnn.dialects.sizes.types import concrete_size, symbols_bound


def _run_op(op: Operation, values: dict[SSAValue, Any]) -> Sequence[Any]:
    operands = [values[v] for v in op.operands]
    match op:
        case GenericOp():
            outer = {v: values[v] for v in values_from_outside(op)}
            return run_generic(op, operands, outer)
        case FillOp():
            return run_fill(op, operands)
        case tensor.EmptyOp():
            return [run_empty(op)]
        case tensor.ConcatOp():
            return [run_concat(op, operands)]
        case tensor.ExtractOp():
            return [run_extract(op, *operands)]
        case OrderingOp():
            return [run_ordering(op, operands)]
        case SizeOp():
            return [np.int64(concrete_size(op.value))]
        case _:
            meaning = ARITH_MEANING.get(type(op)) or MATH_MEANING.get(type(op))
            if meaning is None:
                raise ValueError(f"{op.name} has no meaning in a kernel")
            return [meaning(op, *operands)]


def run_tensor_block(block: Block, arguments: Sequence[Any]) -> list[Array]:
    """Runs a block of ops on tensors; gives what its terminator passes on."""
    values: dict[SSAValue, Any] = dict(zip(block.args, arguments, strict=True))
    for op in block.ops:
        if isinstance(op, ReturnOp | YieldOp):
            return [values[v] for v in op.operands]
        for result, value in zip(op.results, _run_op(op, values), strict=True):
            values[result] = value
    raise ValueError("a kernel's block has no terminator")


def run_kernel(
    func: FuncOp,
    inputs: Sequence[Array],
    *,
    sizes: Sequence[int] = (),
    lengths: Sequence[int] = (),
) -> list[Array]:
    """Runs a kernel in numpy.

    Args:
        func: a kernel of level `kernels` or `loops`.
        inputs: an array for each input. On level `loops` shapes do not matter.
        sizes: the value of each of the kernel's symbols.
        lengths: the number of elements of each output, where those of a kernel of level `loops` depend on symbols.

    Returns:
        An array for each output; on level `loops` they are one-dimensional.

    Raises:
        LoopsError: on level `loops`, an access leaves its memory.
    """
    if not func.is_lowered:
        values = {s.name: n for s, n in zip(func.symbols, sizes, strict=True)}
        with symbols_bound(values):
            return run_tensor_block(func.body.block, list(inputs))
    memories: list[Array] = [np.array(a, order="C").reshape(-1) for a in inputs]
    for number, arg in enumerate(func.body.block.args[len(func.symbols) + len(inputs) :]):
        assert isinstance(arg.type, MemRefType)
        (length,) = arg.type.get_shape()
        length = lengths[number] if length == DYNAMIC_INDEX else length
        memories.append(np.zeros(length, dtype_of(arg.type.element_type)))
    run_loops(func, memories, sizes=sizes)
    return memories[len(inputs) :]


@register_impls
class KernelFunctions(InterpreterFunctions):
    """`kernel.region`, and calls of a `kernel.func`, for `xdsl.interpreter.Interpreter`."""

    @impl(RegionOp)
    def run_region(self, _: Interpreter, op: RegionOp, args: PythonValues) -> PythonValues:
        return tuple(run_tensor_block(op.body.block, args))

    @impl_callable(FuncOp)
    def call_kernel(self, _: Interpreter, op: FuncOp, args: PythonValues) -> PythonValues:
        return tuple(run_kernel(op, args))


class TensorFunctions(TableFunctions):
    """Structured ops on tensors, `arith` and `math` on arrays, for `xdsl.interpreter.Interpreter`;
    register with `override=True`."""

    @classmethod
    def _impls(cls) -> Any:
        from xdsl.interpreter import OpImplResult

        def run(_: Any, interpreter: Interpreter, op: Operation, args: PythonValues) -> Any:
            values: dict[SSAValue, Any] = dict(zip(op.operands, args, strict=True))
            for value in values_from_outside(op):
                (values[value],) = interpreter.get_values([value])
            return OpImplResult(tuple(_run_op(op, values)), None)

        ops: list[type[Operation]] = [
            GenericOp,
            FillOp,
            tensor.EmptyOp,
            tensor.ConcatOp,
            tensor.ExtractOp,
            *LinalgExt.operations,
            *ARITH_MEANING,
            *MATH_MEANING,
        ]
        return ((op, run) for op in ops)


def register_kernel_meanings(interpreter: Interpreter) -> None:
    """Give an interpreter the meaning of all that levels `linalg`, `kernels` and `loops` hold below the
    host program."""
    interpreter.register_implementations(TensorFunctions(), override=True)
    interpreter.register_implementations(KernelFunctions(), override=True)


__all__ = [
    "KernelFunctions",
    "TensorFunctions",
    "register_kernel_meanings",
    "run_kernel",
    "run_tensor_block",
]

"""`expand-half`: arithmetic on 16-bit floats becomes arithmetic in single precision, rounded after each op.

WebAssembly has no 16-bit floats, and LLVM would call a library. After this pass such values are only moved (loaded,
stored, selected, shuffled) and read as integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, memref, scf, vector
from xdsl.dialects.builtin import (
    BFloat16Type,
    Float16Type,
    Float64Type,
    ModuleOp,
    f32,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import kernel, vector_ext
from webdnn.lowering.target_wasm.elementary.builder import Builder, Num, replace_ops
from webdnn.lowering.target_wasm.elementary.half import narrow, to_f32_rounding_to_odd, widen
from webdnn.lowering.value_notation import element_type, with_element

_MOVES: frozenset[type[Operation]] = frozenset(
    {
        arith.BitcastOp,
        arith.ConstantOp,
        arith.SelectOp,
        kernel.ReturnOp,
        memref.AllocaOp,
        memref.LoadOp,
        memref.StoreOp,
        scf.ForOp,
        scf.IfOp,
        scf.ParallelOp,
        scf.ReduceOp,
        scf.YieldOp,
        vector.BitcastOp,
        vector.BroadcastOp,
        vector.ExtractOp,
        vector.InsertOp,
        vector.LoadOp,
        vector.ShuffleOp,
        vector.StoreOp,
        vector_ext.SelectOp,
    }
)
"""Ops that do not care what the bits mean."""


def _is_half(type: Attribute) -> bool:
    return isinstance(element_type(type), Float16Type | BFloat16Type)


def _in_single(type: Attribute) -> Attribute:
    return with_element(type, f32) if _is_half(type) else type


def _expanded(build: Builder, op: Operation) -> list[Num]:
    """The results of an op in single precision, rounded to the types that they had."""
    operands: list[SSAValue] = []
    for operand in op.operands:
        value = build.of(operand)
        operands.append((widen(value) if _is_half(operand.type) else value).ssa)
    types = [_in_single(r.type) for r in op.results]
    wide: list[Num]
    if isinstance(op, arith.ExtFOp | arith.TruncFOp):
        wide = [_in_f32_or_f64(build.of(operands[0]), op)]
    else:
        clone = type(op).create(
            operands=operands,
            result_types=types,
            properties=op.properties,
            attributes=op.attributes,
        )
        build.ops.append(clone)
        wide = [build.of(r) for r in clone.results]
    return [
        narrow(w, element_type(r.type)) if _is_half(r.type) else w
        for w, r in zip(wide, op.results, strict=True)
    ]


def _in_f32_or_f64(source: Num, op: arith.ExtFOp | arith.TruncFOp) -> Num:
    """The source of a conversion of formats, in what is converted to or (for a 16-bit one) single precision."""
    wanted = element_type(op.result.type)
    if isinstance(wanted, Float64Type):
        return source.to_f64()
    if isinstance(source.element, Float64Type):
        return to_f32_rounding_to_odd(source)
    return source


def expand_half(func: kernel.FuncOp) -> None:
    """Expands all ops of a kernel that compute with 16-bit floats."""

    def expand(build: Builder, op: Operation) -> Sequence[Num] | None:
        is_half = any(_is_half(v.type) for v in (*op.operands, *op.results))
        return _expanded(build, op) if is_half and type(op) not in _MOVES else None

    replace_ops(func, expand)


@dataclass(frozen=True)
class ExpandHalf(ModulePass):
    """Expands arithmetic on `f16` and `bf16` in all kernels of level `loops`."""

    name = "expand-half"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for func in op.ops:
            if isinstance(func, kernel.FuncOp) and func.is_lowered:
                expand_half(func)

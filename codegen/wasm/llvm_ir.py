"""The `llvm` dialect to LLVM IR as llvmlite builds it.

Upstream's conversion of ops is used for what it can convert. Added here are the ops of `llvm_ext`, pointers without a
type and splat constants; a table by the type of op comes first because it is faster than asking each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from xdsl.backend.llvm.convert_op import convert_op
from xdsl.backend.llvm.convert_type import convert_type
from xdsl.dialects import llvm
from xdsl.dialects.builtin import DenseIntOrFPElementsAttr, ModuleOp
from xdsl.ir import Block, Operation, SSAValue

from webdnn.dialects import llvm_ext

Values = dict[SSAValue, Any]
Conversion = Callable[[Any, ir.IRBuilder, Values], Any]


def _gep(op: llvm.GEPOp, builder: ir.IRBuilder, values: Values) -> Any:
    dynamic = iter(op.ssa_indices)
    indices = [
        values[next(dynamic)] if i == llvm.GEP_USE_SSA_VAL else ir.Constant(ir.IntType(32), i)
        for i in op.rawConstantIndices.iter_values()
    ]
    return builder.gep(
        values[op.ptr],
        indices,
        inbounds=op.inbounds is not None,
        source_etype=convert_type(op.elem_type),
    )


def _constant(op: llvm.ConstantOp, builder: ir.IRBuilder, values: Values) -> Any:
    value = op.value
    if isinstance(value, DenseIntOrFPElementsAttr):
        items = list(value.iter_values())
        count = value.type.get_shape()[0]
        return ir.Constant(convert_type(op.result.type), items * (count if len(items) == 1 else 1))
    return ir.Constant(convert_type(op.result.type), value.value.data)


def _extract_element(op: llvm_ext.ExtractElementOp, builder: ir.IRBuilder, values: Values) -> Any:
    return builder.extract_element(values[op.vector], values[op.index])


def _select(op: llvm_ext.SelectOp, builder: ir.IRBuilder, values: Values) -> Any:
    return builder.select(values[op.cond], values[op.lhs], values[op.rhs])


_COMPARE = {"eq": "==", "ne": "!=", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}


def _fcmp(op: llvm_ext.FCmpOp, builder: ir.IRBuilder, values: Values) -> Any:
    predicate = op.predicate.data
    lhs, rhs = values[op.lhs], values[op.rhs]
    if predicate in ("ord", "uno"):
        return builder.fcmp_ordered(predicate, lhs, rhs)
    compare = builder.fcmp_ordered if predicate[0] == "o" else builder.fcmp_unordered
    return compare(_COMPARE[predicate[1:]], lhs, rhs)


def _uitofp(op: llvm_ext.UIToFPOp, builder: ir.IRBuilder, values: Values) -> Any:
    return builder.uitofp(values[op.arg], convert_type(op.res.type))


def _freeze(op: llvm_ext.FreezeOp, builder: ir.IRBuilder, values: Values) -> Any:
    instruction = ir.instructions.Instruction(
        builder.block, values[op.arg].type, "freeze", [values[op.arg]]
    )
    builder._insert(instruction)  # pyright: ignore[reportPrivateUsage]
    return instruction


def _alloca(op: Operation, builder: ir.IRBuilder, values: Values) -> ir.Value:
    """With an opaque pointer, as every other address has: memory holds elements and vectors of them alike."""
    assert isinstance(op, llvm.AllocaOp)
    slot = builder.alloca(convert_type(op.elem_type), size=values[op.size])
    if op.alignment:
        slot.align = op.alignment.value.data  # pyright: ignore[reportAttributeAccessIssue]
    slot.type = ir.PointerType()
    return slot


_ORDER, _WORD = "seq_cst", 4


def _atomic_add(op: llvm_ext.AtomicAddOp, builder: ir.IRBuilder, values: Values) -> Any:
    return builder.atomic_rmw("add", values[op.address], values[op.value], _ORDER)


def _atomic_compare_exchange(
    op: llvm_ext.AtomicCompareExchangeOp, builder: ir.IRBuilder, values: Values
) -> Any:
    pair = builder.cmpxchg(
        values[op.address], values[op.expected], values[op.value], _ORDER, _ORDER
    )
    return builder.extract_value(pair, 0)


def _atomic_load(op: llvm_ext.AtomicLoadOp, builder: ir.IRBuilder, values: Values) -> Any:
    return builder.load_atomic(values[op.address], _ORDER, _WORD, typ=ir.IntType(32))


def _atomic_store(op: llvm_ext.AtomicStoreOp, builder: ir.IRBuilder, values: Values) -> None:
    # The builder's own method wants pointers with a type.
    instruction = ir.instructions.StoreAtomicInstr(
        builder.block, values[op.value], values[op.address], _ORDER, _WORD
    )
    builder._insert(instruction)  # pyright: ignore[reportPrivateUsage]


_CONVERSIONS: dict[type[Operation], Conversion] = {
    llvm.AllocaOp: _alloca,
    llvm.ConstantOp: _constant,
    llvm.GEPOp: _gep,
    llvm_ext.AtomicAddOp: _atomic_add,
    llvm_ext.AtomicCompareExchangeOp: _atomic_compare_exchange,
    llvm_ext.AtomicLoadOp: _atomic_load,
    llvm_ext.AtomicStoreOp: _atomic_store,
    llvm_ext.ExtractElementOp: _extract_element,
    llvm_ext.FCmpOp: _fcmp,
    llvm_ext.FreezeOp: _freeze,
    llvm_ext.SelectOp: _select,
    llvm_ext.UIToFPOp: _uitofp,
}

_ARGUMENT_ATTRIBUTES = {"llvm.noalias": "noalias", "llvm.nocapture": "captures(none)"}


def _declare(op: llvm.FuncOp, module: ir.Module) -> ir.Function:
    type = op.function_type
    function_type = ir.FunctionType(
        convert_type(type.output), [convert_type(t) for t in type.inputs]
    )
    function = ir.Function(module, function_type, name=op.sym_name.data)
    if op.body.blocks:
        function.attributes.add("nounwind")
    # xDSL prints the property and reads it as an attribute
    if op.no_inline is not None or "no_inline" in op.attributes:
        function.attributes.add("noinline")
    if op.linkage.linkage.data == "internal":
        function.linkage = "internal"
    for arg, attributes in zip(function.args, op.arg_attrs or (), strict=False):
        for name in attributes.data:
            if (flag := _ARGUMENT_ATTRIBUTES.get(name)) is not None:
                arg.add_attribute(flag)
    return function


def _define(op: llvm.FuncOp, function: ir.Function) -> None:
    blocks: dict[Block, ir.Block] = {}
    values: Values = dict(zip(op.body.blocks[0].args, function.args, strict=True))
    for index, block in enumerate(op.body.blocks):
        blocks[block] = lowered = function.append_basic_block(name=block.name_hint or "")
        if index:
            builder = ir.IRBuilder(lowered)
            for arg in block.args:
                values[arg] = builder.phi(convert_type(arg.type))
    for block in op.body.blocks:
        builder = ir.IRBuilder(blocks[block])
        for inner in block.ops:
            conversion = _CONVERSIONS.get(type(inner))
            if conversion is None:
                convert_op(inner, builder, values, blocks)
                continue
            value = conversion(inner, builder, values)
            if inner.results:
                values[inner.results[0]] = value


def to_llvmlite(module: ModuleOp, *, triple: str) -> ir.Module:
    """The LLVM IR of a module that holds `llvm.func` ops only.

    Raises:
        NotImplementedError: an op has no conversion.
    """
    result = ir.Module(name="webdnn")
    result.triple = triple
    functions: list[tuple[llvm.FuncOp, ir.Function]] = []
    for op in module.ops:
        if not isinstance(op, llvm.FuncOp):
            raise NotImplementedError(f"not an llvm.func: {op.name}")
        functions.append((op, _declare(op, result)))
    for op, function in functions:
        if op.body.blocks:
            _define(op, function)
    return result

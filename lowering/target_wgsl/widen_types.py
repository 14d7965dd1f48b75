"""`wgsl-widen-types`: types that WGSL does not store become 32-bit words, with the arithmetic of the narrow type.

A truth value stays one in registers and is a word (0 or not 0) in memory. An integer of 8 or 16
bits is kept in an `i32` of which only its low bits count: sums, products and logic need no more;
where an operation looks at the whole number, its sign is extended first (or its upper bits cleared,
where the operation is unsigned). A half is kept as an f32 that is rounded to half precision after
each operation, which is exact for addition, subtraction, multiplication and division.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xdsl.context import Context
from xdsl.dialects import arith, math, memref, vector
from xdsl.dialects.builtin import (
    BFloat16Type,
    DenseIntOrFPElementsAttr,
    Float16Type,
    IntegerType,
    MemRefType,
    ModuleOp,
    VectorType,
    f32,
    i1,
    i32,
)
from xdsl.ir import Attribute, Block, Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import vector_ext, wgsl
from webdnn.dialects.kernel import FuncOp
from webdnn.lowering.target_wgsl.helper_functions import HelperFunctions
from webdnn.lowering.target_wgsl.math_functions import round_to_bf16, round_to_f16
from webdnn.lowering.target_wgsl.rebuild import Parts, Rebuilder, uses_type
from webdnn.lowering.target_wgsl.values import Value
from webdnn.lowering.value_notation import constant_attribute, element_type, with_element


@dataclass(frozen=True)
class WGSLWidenTypesPass(ModulePass):
    """Removes `i8`, `i16`, memory of `i1`, and `f16`.

    Args:
        shader_f16: keep `f16`, for devices with the WebGPU feature `shader-f16`.
    """

    name = "wgsl-widen-types"
    shader_f16: bool = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        helpers = HelperFunctions(op)
        for kernel in list(op.ops):
            if not isinstance(kernel, FuncOp) or not kernel.is_lowered:
                continue
            if uses_type(kernel, self._is_widened):
                _Widening(helpers, self.shader_f16).run(kernel)

    def _is_widened(self, type: Attribute) -> bool:
        element = element_type(_stored(type))
        if isinstance(type, MemRefType) and element == i1:
            return True
        if isinstance(element, Float16Type):
            return not self.shader_f16
        return narrow_width(element) > 0 or is_half(element)


def _stored(type: Attribute) -> Attribute:
    return type.element_type if isinstance(type, MemRefType) else type


def narrow_width(type: Attribute) -> int:
    """The width of an integer of 2 to 31 bits (or a vector of such), else 0."""
    element = element_type(type)
    if isinstance(element, IntegerType) and 1 < element.width.data < 32:
        return element.width.data
    return 0


def is_half(type: Attribute) -> bool:
    """Whether a type is `f16` (or a vector of it)."""
    return isinstance(element_type(type), Float16Type | BFloat16Type)


# Operations on narrow integers that look at the whole number, not just at its low bits: for each, its operands that are
# read as signed and those that are read as unsigned.
_READS_SIGNED: dict[type[Operation], tuple[int, ...]] = {
    arith.DivSIOp: (0, 1),
    arith.RemSIOp: (0, 1),
    arith.FloorDivSIOp: (0, 1),
    arith.CeilDivSIOp: (0, 1),
    arith.MinSIOp: (0, 1),
    arith.MaxSIOp: (0, 1),
    arith.ShRSIOp: (0,),
    arith.SIToFPOp: (0,),
    arith.ExtSIOp: (0,),
    arith.IndexCastOp: (0,),
    math.AbsIOp: (0,),
    vector_ext.SIToFPOp: (0,),
    vector_ext.ExtSIOp: (0,),
}
_READS_UNSIGNED: dict[type[Operation], tuple[int, ...]] = {
    arith.DivUIOp: (0, 1),
    arith.RemUIOp: (0, 1),
    arith.CeilDivUIOp: (0, 1),
    arith.MinUIOp: (0, 1),
    arith.MaxUIOp: (0, 1),
    arith.ShRUIOp: (0, 1),
    arith.ShLIOp: (1,),
    arith.ShRSIOp: (1,),
    arith.UIToFPOp: (0,),
    arith.ExtUIOp: (0,),
    math.CtPopOp: (0,),
    math.CountLeadingZerosOp: (0,),
    vector_ext.UIToFPOp: (0,),
    vector_ext.ExtUIOp: (0,),
}
_SIGNED_KINDS = ("minsi", "maxsi")
_UNSIGNED_KINDS = ("minui", "maxui")

_CHANGES_NOTHING = (
    arith.ExtSIOp, arith.ExtUIOp, arith.TruncIOp, arith.ExtFOp,
    vector_ext.ExtSIOp, vector_ext.ExtUIOp, vector_ext.TruncIOp,
)  # fmt: skip
"""Conversions between types that became the same one."""

_FLOAT_TO_INTEGER = (arith.FPToSIOp, arith.FPToUIOp, vector_ext.FPToSIOp, vector_ext.FPToUIOp)

_EXACT_ON_HALVES = (
    arith.NegfOp, arith.MaximumfOp, arith.MinimumfOp, arith.MaxnumfOp, arith.MinnumfOp, arith.SelectOp,
    math.AbsFOp, math.CeilOp, math.FloorOp, math.TruncOp, math.RoundOp, math.RoundEvenOp, math.CopySignOp,
    vector.BroadcastOp, vector.ExtractOp, vector.InsertOp, vector.ShuffleOp, vector_ext.SelectOp, wgsl.ComposeOp,
    memref.LoadOp, vector.LoadOp,
)  # fmt: skip
"""Operations whose result is a half where their operands are."""


class _Widening(Rebuilder):
    def __init__(self, helpers: HelperFunctions, shader_f16: bool) -> None:
        super().__init__()
        self._helpers = helpers
        self._shader_f16 = shader_f16
        self._normal: dict[tuple[Block, SSAValue, bool], SSAValue] = {}

    def convert_type(self, type: Attribute) -> tuple[Attribute, ...]:
        if isinstance(type, MemRefType):
            element = type.element_type
            wide = i32 if element_type(element) == i1 else self._wide(element)
            return (MemRefType(wide, type.shape, type.layout, type.memory_space),)
        return (self._wide(type),)

    def _wide(self, type: Attribute) -> Attribute:
        if narrow_width(type):
            return with_element(type, i32)
        if self._is_widened_half(type):
            return with_element(type, f32)
        return type

    def _is_widened_half(self, type: Attribute) -> bool:
        is_f16 = isinstance(element_type(type), Float16Type)
        return is_half(type) and not (is_f16 and self._shader_f16)

    def visit(self, op: Operation) -> Sequence[Parts] | None:
        if op.regions or not (op.operands or op.results):
            return None
        match op:
            case arith.ConstantOp():
                return self._constant(op)
            case memref.LoadOp() | vector.LoadOp() if element_type(op.results[0].type) == i1:
                return self._load_truth(op)
            case memref.StoreOp() if op.value.type == i1:
                word = self.emitter.add(arith.ExtUIOp(self.one(op.value), i32))
                self._add(memref.StoreOp.get(word, self.one(op.memref), self._all(op.indices)))
                return []
            case vector.StoreOp() if element_type(op.vector.type) == i1:
                wide = with_element(op.vector.type, i32)
                word = self.emitter.add(vector_ext.ExtUIOp(self.one(op.vector), wide))
                self._add(vector.StoreOp(word, self.one(op.base), self._all(op.indices)))
                return []
            case _:
                pass
        types = [v.type for v in (*op.operands, *op.results)]
        if not any(self.convert_type(t) != (t,) for t in types):
            return None
        if not op.results:
            return self.recreate(op)
        if any(narrow_width(t) for t in types):
            return self._on_integers(op)
        if any(is_half(t) for t in types):
            return self._on_halves(op)
        return self.recreate(op)

    def _add(self, op: Operation) -> None:
        self.emitter.block.add_op(op)

    def _all(self, values: Sequence[SSAValue]) -> list[SSAValue]:
        return [self.one(v) for v in values]

    def _constant(self, op: arith.ConstantOp) -> Sequence[Parts] | None:
        type = op.result.type
        wide = self._wide(type)
        if wide == type:
            return None
        if isinstance(op.value, DenseIntOrFPElementsAttr):
            elements = list(op.value.get_values())
            if op.value.is_splat():
                elements = elements[:1]
            assert isinstance(wide, VectorType)
            value = DenseIntOrFPElementsAttr.from_list(wide, elements)  # pyright: ignore[reportArgumentType, reportCallIssue]
            return [(self.emitter.add(arith.ConstantOp(value)),)]
        number = op.value.value.data  # pyright: ignore[reportAttributeAccessIssue]
        return [(self.emitter.add(arith.ConstantOp(constant_attribute(number, wide))),)]

    def _load_truth(self, op: memref.LoadOp | vector.LoadOp) -> Sequence[Parts]:
        base, *indices = self._all(op.operands)
        if isinstance(op, memref.LoadOp):
            word = self.emitter.add(memref.LoadOp.get(base, indices))
        else:
            wide = with_element(op.result.type, i32)
            assert isinstance(wide, VectorType)
            word = self.emitter.add(vector.LoadOp(base, indices, wide))
        return [(self.emitter.value(word).differs(0).ssa,)]

    # Narrow integers

    def _normalized(self, value: SSAValue, *, signed: bool) -> SSAValue:
        """The whole number of a narrow integer: its sign extended, or its upper bits cleared."""
        width = narrow_width(value.type)
        if not width:
            return self.one(value)
        key = (self.emitter.block, self.one(value), signed)
        if key in self._normal:
            return self._normal[key]
        x = self.value(value)
        if signed:
            shift = 32 - width
            result = (x << shift) >> shift
        else:
            result = x & ((1 << width) - 1)
        self._normal[key] = result.ssa
        return result.ssa

    def _on_integers(self, op: Operation) -> Sequence[Parts]:
        signed, unsigned = _reads(op)
        operands = [
            self._normalized(o, signed=True)
            if i in signed
            else self._normalized(o, signed=False)
            if i in unsigned
            else self.one(o)
            for i, o in enumerate(op.operands)
        ]
        result = op.results[0].type
        wide = self.convert_type(result)[0]
        if isinstance(op, _CHANGES_NOTHING) and operands[0].type == wide:
            return [(operands[0],)]
        if isinstance(op, _FLOAT_TO_INTEGER) and (width := narrow_width(result)):
            is_signed = isinstance(op, arith.FPToSIOp | vector_ext.FPToSIOp)
            least, end = (-(1 << width - 1), 1 << width - 1) if is_signed else (0, 1 << width)
            number = self.emitter.value(operands[0]).to_integer()
            return [(number.maximum(least).minimum(end - 1).ssa,)]
        new = type(op).create(
            operands=operands,
            result_types=[wide],
            properties=op.properties.copy(),
            attributes=op.attributes.copy(),
        )
        value = self.emitter.value(self.emitter.add(new))
        if isinstance(op, math.CountLeadingZerosOp):
            value = value - (32 - narrow_width(result))
        if self._is_widened_half(result):
            value = self._rounded(value, result)
        return [(value.ssa,)]

    # Halves

    def _rounded(self, x: Value, type: Attribute) -> Value:
        """An f32 rounded to the precision of a half type (or of a vector of it)."""
        if isinstance(element_type(type), BFloat16Type):
            call = self._helpers.call("round_to_bf16", round_to_bf16, [x.ssa])
        else:
            call = self._helpers.call("round_to_f16", round_to_f16, [x.ssa])
        return self.emitter.value(self.emitter.add(call))

    def _on_halves(self, op: Operation) -> Sequence[Parts]:
        result = op.results[0].type
        if isinstance(op, arith.ExtFOp | arith.TruncFOp):
            value = self.value(op.operands[0])
            if value.type != self.convert_type(result)[0]:
                return self.recreate(op)  # one of the types stays, for the device has it
            return [((self._rounded(value, result) if is_half(result) else value).ssa,)]
        results = self.recreate(op)
        if self._is_widened_half(result) and not isinstance(op, _EXACT_ON_HALVES):
            return [(self._rounded(self.emitter.value(results[0][0]), result).ssa,)]
        return results


def _reads(op: Operation) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The operands that an operation reads as signed numbers, and those that it reads as unsigned ones."""
    predicate = None
    if isinstance(op, arith.CmpiOp):
        predicate = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
    elif isinstance(op, vector_ext.CmpIOp):
        predicate = op.predicate.data
    elif isinstance(op, vector.ReductionOp):
        kind = op.kind.data.value
        both = tuple(range(len(op.operands)))
        return (
            both if kind in _SIGNED_KINDS else (),
            both if kind in _UNSIGNED_KINDS else (),
        )
    if predicate is not None:
        return ((), (0, 1)) if predicate.startswith("u") else ((0, 1), ())
    return _READS_SIGNED.get(type(op), ()), _READS_UNSIGNED.get(type(op), ())

"""`wgsl-emulate-i64`: 64-bit integers as two words of 32 bits; in memory the low word comes first.

So they are stored as every other target stores them, and a host copies them as they are. What
surely fits 32 bits has been narrowed before (`wgsl-narrow-i64`); `f64` is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NoReturn

from xdsl.context import Context
from xdsl.dialects import arith, math, memref, scf
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    Float64Type,
    IndexType,
    IntegerAttr,
    IntegerType,
    MemRefType,
    ModuleOp,
    f32,
    i32,
    i64,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.locations import location_names
from webdnn.lowering.target_wgsl import wide_integers as wide
from webdnn.lowering.target_wgsl.rebuild import Parts, Rebuilder, uses_type
from webdnn.lowering.target_wgsl.values import Value
from webdnn.lowering.target_wgsl.wide_integers import Wide
from webdnn.lowering.value_notation import element_type


@dataclass(frozen=True)
class WGSLEmulateI64Pass(ModulePass):
    """Converts the kernels that use 64-bit integers; the error for what cannot be converted names the nodes."""

    name = "wgsl-emulate-i64"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in list(op.ops):
            if not isinstance(kernel, FuncOp) or not kernel.is_lowered:
                continue
            if uses_type(kernel, _is_f64):
                _refuse(kernel, "64-bit floats")
            if uses_type(kernel, _is_i64):
                _Emulation(kernel).run(kernel)


def _element(type: Attribute) -> Attribute:
    return element_type(type.element_type if isinstance(type, MemRefType) else type)


def _is_f64(type: Attribute) -> bool:
    return isinstance(_element(type), Float64Type)


def _is_i64(type: Attribute) -> bool:
    element = _element(type)
    return isinstance(element, IntegerType) and element.width.data > 32


def _refuse(kernel: FuncOp, what: str) -> NoReturn:
    raise WebDNNError(
        f"the kernel {kernel.sym_name.data} needs {what}, which WebGPU does not have",
        where=tuple(location_names(kernel.location)),
        hint="compile for wasm, or convert the model to 32-bit types",
    )


_BINARY: dict[type[Operation], Callable[[Wide, Wide], Wide]] = {
    arith.AddiOp: wide.add,
    arith.SubiOp: wide.subtract,
    arith.MuliOp: wide.multiply,
    arith.AndIOp: wide.bitwise_and,
    arith.OrIOp: wide.bitwise_or,
    arith.XOrIOp: wide.bitwise_xor,
    arith.DivSIOp: lambda x, y: wide.divide_signed(x, y)[0],
    arith.RemSIOp: lambda x, y: wide.divide_signed(x, y)[1],
    arith.DivUIOp: lambda x, y: wide.divide_unsigned(x, y)[0],
    arith.RemUIOp: lambda x, y: wide.divide_unsigned(x, y)[1],
    arith.FloorDivSIOp: wide.divide_floor,
    arith.CeilDivSIOp: wide.divide_ceil,
    arith.CeilDivUIOp: wide.divide_ceil_unsigned,
    arith.MinSIOp: lambda x, y: wide.select(wide.compare("slt", x, y), x, y),
    arith.MaxSIOp: lambda x, y: wide.select(wide.compare("sgt", x, y), x, y),
    arith.MinUIOp: lambda x, y: wide.select(wide.compare("ult", x, y), x, y),
    arith.MaxUIOp: lambda x, y: wide.select(wide.compare("ugt", x, y), x, y),
    arith.ShLIOp: lambda x, y: wide.shift_left(x, y.low),
    arith.ShRSIOp: lambda x, y: wide.shift_right(x, y.low, signed=True),
    arith.ShRUIOp: lambda x, y: wide.shift_right(x, y.low, signed=False),
}


class _Emulation(Rebuilder):
    def __init__(self, kernel: FuncOp) -> None:
        super().__init__()
        self._kernel = kernel

    def convert_type(self, type: Attribute) -> tuple[Attribute, ...]:
        if not _is_i64(type):
            return (type,)
        if isinstance(type, MemRefType) and type.element_type == i64:
            (size,) = type.get_shape()
            words = size if size == DYNAMIC_INDEX else 2 * size
            return (MemRefType(i32, [words], type.layout, type.memory_space),)
        if type == i64:
            return (i32, i32)
        _refuse(self._kernel, f"values of type {type}")

    def _wide(self, value: SSAValue) -> Wide:
        low, high = self.parts(value)
        return Wide(self.emitter.value(low), self.emitter.value(high))

    def _cast(self, value: Value, type: Attribute, make: Callable[[SSAValue], Operation]) -> Value:
        """The value where it has this type already, else what an operation makes of it."""
        if value.type == type:
            return value
        return self.emitter.value(self.emitter.add(make(value.ssa)))

    def visit(self, op: Operation) -> Sequence[Parts] | None:
        if op.regions or isinstance(op, scf.YieldOp):
            return None
        if not any(_is_i64(v.type) for v in (*op.operands, *op.results)):
            return None
        if type(op) in _BINARY:
            x, y = (self._wide(o) for o in op.operands)
            return [_parts(_BINARY[type(op)](x, y))]
        match op:
            case memref.AllocaOp():
                return self.recreate(op)
            case memref.LoadOp():
                return [self._load(op)]
            case memref.StoreOp():
                self._store(op)
                return []
            case arith.ConstantOp() if isinstance(op.value, IntegerAttr):
                zero = self.emitter.value(self.emitter.constant(0, i32))
                return [_parts(wide.constant(zero, op.value.value.data))]
            case arith.CmpiOp():
                predicate = arith.CMPI_COMPARISON_OPERATIONS[op.predicate.value.data]
                result = wide.compare(predicate, self._wide(op.lhs), self._wide(op.rhs))
                return [(result.ssa,)]
            case arith.SelectOp():
                condition = self.value(op.cond)
                return [_parts(wide.select(condition, self._wide(op.lhs), self._wide(op.rhs)))]
            case math.AbsIOp():
                return [_parts(wide.absolute(self._wide(op.operands[0])))]
            case _ if len(op.operands) == 1 and len(op.results) == 1:
                return [self._convert(op)]
            case _:
                _refuse(self._kernel, f"{op.name} on 64-bit integers")

    def _convert(self, op: Operation) -> Parts:
        """Conversions to and from 64-bit integers."""
        operand, result = op.operands[0], op.results[0].type
        match op:
            case arith.ExtSIOp():
                word = self._cast(self.value(operand), i32, lambda v: arith.ExtSIOp(v, i32))
                return _parts(wide.sign_extended(word))
            case arith.ExtUIOp():
                word = self._cast(self.value(operand), i32, lambda v: arith.ExtUIOp(v, i32))
                return _parts(wide.zero_extended(word))
            case arith.TruncIOp():
                assert isinstance(result, IntegerType)
                low = self._wide(operand).low
                return (self._cast(low, result, lambda v: arith.TruncIOp(v, result)).ssa,)
            case arith.IndexCastOp() if isinstance(result, IndexType):
                # An index counts elements of memory, of which there are fewer than 2^31.
                low = self._wide(operand).low.ssa
                return (self.emitter.add(arith.IndexCastOp(low, IndexType())),)
            case arith.IndexCastOp():
                word = self.emitter.add(arith.IndexCastOp(self.one(operand), i32))
                return _parts(wide.sign_extended(self.emitter.value(word)))
            case arith.SIToFPOp() | arith.UIToFPOp():
                convert = (
                    wide.signed_to_float
                    if isinstance(op, arith.SIToFPOp)
                    else wide.unsigned_to_float
                )
                number = convert(self._wide(operand))
                return (self._cast(number, result, lambda v: arith.TruncFOp(v, result)).ssa,)  # pyright: ignore[reportArgumentType]
            case arith.FPToSIOp() | arith.FPToUIOp():
                number = self._cast(self.value(operand), f32, lambda v: arith.ExtFOp(v, f32))
                signed = isinstance(op, arith.FPToSIOp)
                convert = wide.float_to_signed if signed else wide.float_to_unsigned
                return _parts(convert(number))
            case _:
                _refuse(self._kernel, f"{op.name} on 64-bit integers")

    def _address(self, index: SSAValue) -> tuple[SSAValue, SSAValue]:
        low = self.value(index) * 2
        return low.ssa, (low + 1).ssa

    def _load(self, op: memref.LoadOp) -> Parts:
        base = self.one(op.memref)
        low, high = self._address(op.indices[0])
        return (
            self.emitter.add(memref.LoadOp.get(base, [low])),
            self.emitter.add(memref.LoadOp.get(base, [high])),
        )

    def _store(self, op: memref.StoreOp) -> None:
        base = self.one(op.memref)
        value = self._wide(op.value)
        for word, address in zip(value, self._address(op.indices[0]), strict=True):
            self.emitter.insert(memref.StoreOp.get(word.ssa, base, [address]))


def _parts(x: Wide) -> Parts:
    return (x.low.ssa, x.high.ssa)

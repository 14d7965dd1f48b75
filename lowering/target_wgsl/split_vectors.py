"""`wgsl-split-vectors`: vectors of any length as scalars and vectors of two to four elements, as WGSL has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, cast

from xdsl.context import Context
from xdsl.dialects import arith, math, memref, vector
from xdsl.dialects.builtin import (
    AnyFloat,
    DenseIntOrFPElementsAttr,
    ModuleOp,
    VectorType,
)
from xdsl.ir import Attribute, Operation, SSAValue
from xdsl.passes import ModulePass

from webdnn.dialects import vector_ext
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.wgsl import ComposeOp
from webdnn.lowering.target_wgsl.rebuild import Parts, Rebuilder, uses_type
from webdnn.lowering.value_notation import constant_attribute

_LONGEST = 4


@dataclass(frozen=True)
class WGSLSplitVectorsPass(ModulePass):
    """Splits long vectors into vectors of four (and a rest), makes vectors of one scalars, expands reductions."""

    name = "wgsl-split-vectors"

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for kernel in list(op.ops):
            if not isinstance(kernel, FuncOp) or not kernel.is_lowered:
                continue
            if uses_type(kernel, _is_unfit) or any(
                isinstance(o, vector.ReductionOp) for o in kernel.body.walk()
            ):
                _Split().run(kernel)


def _is_unfit(type: Attribute) -> bool:
    return isinstance(type, VectorType) and not 2 <= type.get_shape()[0] <= _LONGEST


def piece_lengths(length: int) -> list[int]:
    """The lengths of the pieces of a vector: fours, and a rest."""
    pieces = [_LONGEST] * (length // _LONGEST)
    return [*pieces, length % _LONGEST] if length % _LONGEST else pieces


def _piece_type(element: Attribute, length: int) -> Attribute:
    return element if length == 1 else VectorType(element, [length])


_SCALAR_CASTS: dict[type[Operation], Callable[[SSAValue, Any], Operation]] = {
    vector_ext.SIToFPOp: arith.SIToFPOp,
    vector_ext.UIToFPOp: arith.UIToFPOp,
    vector_ext.FPToSIOp: arith.FPToSIOp,
    vector_ext.FPToUIOp: arith.FPToUIOp,
    vector_ext.ExtSIOp: arith.ExtSIOp,
    vector_ext.ExtUIOp: arith.ExtUIOp,
    vector_ext.TruncIOp: arith.TruncIOp,
    vector.BitcastOp: arith.BitcastOp,
}


def _scalar_form(op: Operation, operands: Sequence[SSAValue], type: Attribute) -> Operation | None:
    """What an operation on vectors is on scalars, where that is another operation."""
    match op:
        case vector_ext.CmpIOp():
            return arith.CmpiOp(operands[0], operands[1], op.predicate.data)
        case vector_ext.CmpFOp():
            return arith.CmpfOp(operands[0], operands[1], op.predicate.data)
        case vector_ext.SelectOp():
            return arith.SelectOp(operands[0], operands[1], operands[2])
        case vector.FMAOp():
            return math.FmaOp(operands[0], operands[1], operands[2])
        case _:
            make = _SCALAR_CASTS.get(_kind(op))
            return make(operands[0], type) if make else None


_COMBINE: dict[str, Callable[[SSAValue, SSAValue], Operation]] = {
    "mul": arith.MulfOp,
    "minsi": arith.MinSIOp,
    "minui": arith.MinUIOp,
    "maxsi": arith.MaxSIOp,
    "maxui": arith.MaxUIOp,
    "minnumf": arith.MinnumfOp,
    "maxnumf": arith.MaxnumfOp,
    "minimumf": arith.MinimumfOp,
    "maximumf": arith.MaximumfOp,
    "and": arith.AndIOp,
    "or": arith.OrIOp,
    "xor": arith.XOrIOp,
}


class _Split(Rebuilder):
    def convert_type(self, type: Attribute) -> tuple[Attribute, ...]:
        if not isinstance(type, VectorType):
            return (type,)
        return tuple(_piece_type(type.element_type, n) for n in piece_lengths(type.get_shape()[0]))

    def visit(self, op: Operation) -> Sequence[Parts] | None:
        match op:
            case vector.ReductionOp():
                return [(self._reduce(op),)]
            case _ if op.regions or not any(_is_unfit(v.type) for v in (*op.operands, *op.results)):
                return None
            case arith.ConstantOp():
                return [self._constant(op)]
            case vector.LoadOp():
                return [self._load(op)]
            case vector.StoreOp():
                self._store(op)
                return []
            case vector.BroadcastOp():
                return [self._broadcast(op)]
            case vector.ExtractOp():
                return [(self._element(op.vector, _position(op)),)]
            case vector.InsertOp():
                lanes = self._lanes(op.dest)
                lanes[_position(op)] = self.one(op.source)
                return [self._compose(lanes, op.result.type)]
            case vector.ShuffleOp():
                lanes = self._lanes(op.v1) + self._lanes(op.v2)
                chosen = [lanes[max(m, 0)] for m in op.mask.get_values()]
                return [self._compose(chosen, op.result.type)]
            case ComposeOp():
                return [self._compose([self.one(e) for e in op.elements], op.result.type)]
            case _ if op.results:
                return [self._elementwise(op)]
            case _:
                return None

    def _constant(self, op: arith.ConstantOp) -> Parts:
        value = op.value
        assert isinstance(value, DenseIntOrFPElementsAttr)
        elements = list(cast("Sequence[int | float]", value.get_values()))
        length = _length(op.result.type)
        if len(elements) == 1:
            elements *= length
        parts: list[SSAValue] = []
        start = 0
        for type, count in zip(
            self.convert_type(op.result.type), piece_lengths(length), strict=True
        ):
            piece = elements[start : start + count]
            if isinstance(type, VectorType):
                attribute = DenseIntOrFPElementsAttr.from_list(type, piece)  # pyright: ignore[reportArgumentType, reportCallIssue]
            else:
                attribute = constant_attribute(piece[0], type)
            parts.append(self.emitter.add(arith.ConstantOp(attribute)))
            start += count
        return tuple(parts)

    def _positions(self, index: SSAValue, length: int) -> list[SSAValue]:
        start = self.value(index)
        return [
            (start + piece * _LONGEST).ssa if piece else start.ssa
            for piece in range(len(piece_lengths(length)))
        ]

    def _load(self, op: vector.LoadOp) -> Parts:
        base = self.one(op.base)
        types = self.convert_type(op.result.type)
        positions = self._positions(op.indices[0], _length(op.result.type))
        return tuple(
            self.emitter.add(
                vector.LoadOp(base, [p], t)
                if isinstance(t, VectorType)
                else memref.LoadOp.get(base, [p])
            )
            for t, p in zip(types, positions, strict=True)
        )

    def _store(self, op: vector.StoreOp) -> None:
        base = self.one(op.base)
        pieces = self.parts(op.vector)
        positions = self._positions(op.indices[0], _length(op.vector.type))
        for piece, position in zip(pieces, positions, strict=True):
            if isinstance(piece.type, VectorType):
                store: Operation = vector.StoreOp(piece, base, [position])
            else:
                store = memref.StoreOp.get(piece, base, [position])
            self.emitter.block.add_op(store)

    def _broadcast(self, op: vector.BroadcastOp) -> Parts:
        if isinstance(op.source.type, VectorType):
            return self._compose(self._lanes(op.source) * _length(op.vector.type), op.vector.type)
        source = self.one(op.source)
        return tuple(
            self.emitter.add(vector.BroadcastOp(source, t)) if isinstance(t, VectorType) else source
            for t in self.convert_type(op.vector.type)
        )

    def _element(self, value: SSAValue, position: int) -> SSAValue:
        part = self.parts(value)[position // _LONGEST]
        if not isinstance(part.type, VectorType):
            return part
        return self.emitter.add(
            vector.ExtractOp(part, [position % _LONGEST], part.type.element_type)
        )

    def _lanes(self, value: SSAValue) -> list[SSAValue]:
        return [self._element(value, i) for i in range(_length(value.type))]

    def _compose(self, lanes: Sequence[SSAValue], type: Attribute) -> Parts:
        parts: list[SSAValue] = []
        start = 0
        for piece in self.convert_type(type):
            count = _length(piece)
            chosen = lanes[start : start + count]
            parts.append(chosen[0] if count == 1 else self.emitter.add(ComposeOp(chosen, piece)))
            start += count
        return tuple(parts)

    def _elementwise(self, op: Operation) -> Parts:
        pieces: list[SSAValue] = []
        for number, type in enumerate(self.convert_type(op.results[0].type)):
            operands = [
                self.parts(o)[number] if isinstance(o.type, VectorType) else self.one(o)
                for o in op.operands
            ]
            scalar = None if isinstance(type, VectorType) else _scalar_form(op, operands, type)
            if scalar is not None:
                pieces.append(self.emitter.add(scalar))
                continue
            new = _kind(op).create(
                operands=operands,
                result_types=[type],
                properties=op.properties.copy(),
                attributes=op.attributes.copy(),
            )
            pieces.append(self.emitter.add(new))
        return tuple(pieces)

    def _reduce(self, op: vector.ReductionOp) -> SSAValue:
        kind = op.kind.data.value
        combine = _COMBINE.get(kind)
        is_float = isinstance(op.dest.type, AnyFloat)
        if kind == "add":
            combine = arith.AddfOp if is_float else arith.AddiOp
        elif kind == "mul" and not is_float:
            combine = arith.MuliOp
        assert combine is not None
        lanes = self._lanes(op.vector)
        if op.acc is not None:
            lanes.insert(0, self.one(op.acc))
        return reduce(lambda a, b: self.emitter.add(combine(a, b)), lanes)


def _kind(op: Operation) -> type[Operation]:
    return type(op)


def _length(type: Attribute) -> int:
    return type.get_shape()[0] if isinstance(type, VectorType) else 1


def _position(op: vector.ExtractOp | vector.InsertOp) -> int:
    position = op.get_mixed_position()
    if len(position) != 1 or not isinstance(position[0], int):
        raise WebDNNError(f"{op.name} of a vector longer than {_LONGEST} needs a constant position")
    return position[0]

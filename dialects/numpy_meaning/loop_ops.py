"""The numpy meaning of the ops of level `loops`, but for those of `arith` and `math`."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from xdsl.dialects import arith, gpu, memref, scf, vector
from xdsl.dialects.builtin import VectorType
from xdsl.ir import Operation, SSAValue

from webdnn.dialects import vector_ext
from webdnn.dialects.kernel import WorkRangeOp
from webdnn.dialects.numpy_meaning.arith import ARITH_MEANING, dtype_of
from webdnn.dialects.numpy_meaning.lockstep import Execution, LoopsError, Meanings


def _width(value: SSAValue) -> int:
    assert isinstance(value.type, VectorType)
    return prod(value.type.get_shape())


def _load(run: Execution, op: memref.LoadOp) -> None:
    run.set(op.res, run.load(run.get(op.memref), run.get(op.indices[0]), 0))


def _store(run: Execution, op: memref.StoreOp) -> None:
    run.store(run.get(op.memref), run.get(op.indices[0]), run.get(op.value), 0)


def _vector_load(run: Execution, op: vector.LoadOp) -> None:
    memory, index = run.get(op.base), run.get(op.indices[0])
    run.set(op.result, run.load(memory, index, _width(op.result)))


def _vector_store(run: Execution, op: vector.StoreOp) -> None:
    memory, index = run.get(op.base), run.get(op.indices[0])
    run.store(memory, index, run.get(op.vector), _width(op.vector))


def _broadcast(run: Execution, op: vector.BroadcastOp) -> None:
    source = np.asarray(run.get(op.source))
    width = _width(op.vector)
    run.set(op.vector, np.broadcast_to(source[..., None], (*source.shape, width)))


def _fma(run: Execution, op: vector.FMAOp) -> None:
    run.set(op.res, run.get(op.lhs) * run.get(op.rhs) + run.get(op.acc))


def _dot(run: Execution, op: vector_ext.DotOp) -> None:
    products = run.get(op.lhs).astype(np.int32) * run.get(op.rhs).astype(np.int32)
    run.set(op.res, run.get(op.acc) + products[..., 0::2] + products[..., 1::2])


def _position(op: vector.ExtractOp | vector.InsertOp) -> int:
    if op.dynamic_position or len(op.static_position) != 1:
        raise LoopsError(f"{op.name} takes one constant position")
    return op.static_position.get_values()[0]


def _extract(run: Execution, op: vector.ExtractOp) -> None:
    run.set(op.result, run.get(op.vector)[..., _position(op)])


def _insert(run: Execution, op: vector.InsertOp) -> None:
    source, dest = np.asarray(run.get(op.source)), np.asarray(run.get(op.dest))
    shape = np.broadcast_shapes(dest.shape, (*source.shape, dest.shape[-1]))
    result = np.broadcast_to(dest, shape).copy()
    result[..., _position(op)] = source
    run.set(op.result, result)


def _shuffle(run: Execution, op: vector.ShuffleOp) -> None:
    a, b = np.asarray(run.get(op.v1)), np.asarray(run.get(op.v2))
    lead = np.broadcast_shapes(a.shape[:-1], b.shape[:-1])
    both = np.concatenate(
        [np.broadcast_to(a, (*lead, a.shape[-1])), np.broadcast_to(b, (*lead, b.shape[-1]))], -1
    )
    run.set(op.result, both[..., list(op.mask.get_values())])


_REDUCTIONS: dict[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "minui": np.minimum,
    "minsi": np.minimum,
    "minnumf": np.fmin,
    "maxui": np.maximum,
    "maxsi": np.maximum,
    "maxnumf": np.fmax,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "maximumf": np.maximum,
    "minimumf": np.minimum,
}


def _reduction(run: Execution, op: vector.ReductionOp) -> None:
    source = np.asarray(run.get(op.vector))
    kind = str(op.kind.data)
    unsigned = kind in ("minui", "maxui") and source.dtype != np.bool_
    if unsigned:
        source = np.ascontiguousarray(source).view(np.dtype(f"u{source.dtype.itemsize}"))
    function = _REDUCTIONS[kind]
    result = function.reduce(source, axis=-1, dtype=source.dtype)
    if op.acc is not None:
        result = function(run.get(op.acc), result)
    run.set(op.dest, np.asarray(result).view(dtype_of(op.dest.type)))


def _gpu_id(run: Execution, op: gpu.BlockIdOp | gpu.ThreadIdOp | gpu.GlobalIdOp) -> None:
    for lanes in run.lanes:
        if op.name in lanes.ids or f"{op.name}.{op.dimension.data}" in lanes.ids:
            value = lanes.ids[f"{op.name}.{op.dimension.data}"]
            depth = run.lanes.index(lanes)
            run.set(op.result, value[run.ancestors(depth)])
            return
    raise LoopsError(f"{op.name} outside of a kernel with a grid")


def _nothing(run: Execution, op: Operation) -> None:
    """A barrier: lanes run in lockstep."""


def _work_range(run: Execution, op: WorkRangeOp) -> None:
    run.set(op.begin, np.int64(run.work[0]))
    run.set(op.end, np.int64(run.work[1]))


def _constant(run: Execution, op: arith.ConstantOp) -> None:
    run.set(op.result, ARITH_MEANING[arith.ConstantOp](op))


LOOP_MEANING: Meanings = {
    arith.ConstantOp: _constant,
    scf.ParallelOp: Execution.parallel,
    scf.ForOp: Execution.loop,
    scf.IfOp: Execution.branch,
    memref.AllocaOp: Execution.alloca,
    memref.LoadOp: _load,
    memref.StoreOp: _store,
    vector.LoadOp: _vector_load,
    vector.StoreOp: _vector_store,
    vector.BroadcastOp: _broadcast,
    vector.FMAOp: _fma,
    vector_ext.DotOp: _dot,
    vector.ExtractOp: _extract,
    vector.InsertOp: _insert,
    vector.ShuffleOp: _shuffle,
    vector.ReductionOp: _reduction,
    gpu.BlockIdOp: _gpu_id,
    gpu.ThreadIdOp: _gpu_id,
    gpu.GlobalIdOp: _gpu_id,
    gpu.BarrierOp: _nothing,
    WorkRangeOp: _work_range,
}

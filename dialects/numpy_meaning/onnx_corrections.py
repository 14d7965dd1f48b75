"""Operators and old versions of them whose reference in the `onnx` package deviates from the specification."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from webdnn.dialects.dtypes import Array
from webdnn.dialects.onnx import OnnxOp


class GlobalMaxPool(OpRun):
    """The reference reduces the wrong axes unless there are two spatial ones."""

    def _run(self, x: Array) -> tuple[Array]:
        return (x.max(axis=tuple(range(2, x.ndim)), keepdims=True),)


def _as_matrix(x: Array, axis: int) -> Array:
    """The input as these operators saw it before opset 13: all axes from `axis` on are one."""
    axis = axis + x.ndim if axis < 0 else axis
    return x.reshape(int(np.prod(x.shape[:axis], dtype=np.int64)), -1)


class Softmax(OpRun):
    """Before opset 13, over all axes from `axis` on; the reference only knows today's."""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        rows = _as_matrix(x, axis)
        powers = np.exp(rows - rows.max(axis=1, keepdims=True))
        return ((powers / powers.sum(axis=1, keepdims=True)).reshape(x.shape).astype(x.dtype),)


class LogSoftmax(OpRun):
    """Before opset 13, as `Softmax`."""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        rows = _as_matrix(x, axis)
        shifted = rows - rows.max(axis=1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        return (logarithms.reshape(x.shape).astype(x.dtype),)


class Hardmax(OpRun):
    """Before opset 13, as `Softmax`."""

    def _run(self, x: Array, axis: int = 1) -> tuple[Array]:
        rows = _as_matrix(x, axis)
        result = np.zeros_like(rows)
        np.put_along_axis(result, rows.argmax(axis=1)[:, None], 1, axis=1)
        return (result.reshape(x.shape),)


def _resize(x: Array, mode: str, scales: Array) -> tuple[Array]:
    """Upsample, and Resize before opset 11, in terms of today's Resize."""
    node = onnx.helper.make_node(
        "Resize",
        ["x", "", "scales"],
        ["y"],
        mode=mode,
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    enum = onnx.helper.np_dtype_to_tensor_dtype(x.dtype)
    inputs = [
        onnx.helper.make_tensor_value_info("x", enum, x.shape),
        onnx.helper.make_tensor_value_info("scales", TensorProto.FLOAT, scales.shape),
    ]
    output = onnx.helper.make_tensor_value_info("y", enum, None)
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "resize", inputs, [output]))
    results = ReferenceEvaluator(model).run(None, {"x": x, "scales": scales.astype(np.float32)})
    assert isinstance(results, list)
    return (np.asarray(results[0]),)


class Resize(OpRun):
    """Before opset 11 the second input was what is the third one today, and today's attributes did not exist."""

    def _run(self, x: Array, scales: Array, mode: str = "nearest", **new: object) -> tuple[Array]:
        return _resize(x, {"bilinear": "linear"}.get(mode, mode), scales)


class Upsample(OpRun):
    """An input, or before opset 9 an attribute, gives the scales."""

    def _run(self, x: Array, scales: Any = None, mode: str = "nearest") -> tuple[Array]:
        return _resize(x, {"bilinear": "linear"}.get(mode, mode), np.asarray(scales, np.float32))


class Unique(OpRun):
    """The reference takes elements in the order of their first place wrongly, or not at all, where there is an axis,
    more than one dimension, or no other output."""

    def _run(self, x: Array, axis: int | None = None, sorted: int = 1) -> tuple[Array, ...]:
        whole = x.ravel() if axis is None else x
        along = 0 if axis is None else axis
        values, first, inverse, counts = np.unique(
            whole, return_index=True, return_inverse=True, return_counts=True, axis=along
        )
        inverse = inverse.ravel()
        if not sorted:
            order = np.argsort(first)
            values, first, counts = np.take(values, order, along), first[order], counts[order]
            inverse = np.argsort(order)[inverse]
        outputs = (values, *(a.astype(np.int64) for a in (first, inverse, counts)))
        return outputs[: len(self.onnx_node.output)]


_ALWAYS: dict[str, type[OpRun]] = {
    "GlobalMaxPool": GlobalMaxPool,
    "Upsample": Upsample,
    "Unique": Unique,
}
_BEFORE: dict[str, tuple[int, type[OpRun]]] = {
    "Softmax": (13, Softmax),
    "LogSoftmax": (13, LogSoftmax),
    "Hardmax": (13, Hardmax),
    "Resize": (11, Resize),
}


def corrections_of(op: OnnxOp) -> list[type[OpRun]]:
    """What to take in place of the reference's implementation of an op: one class or none."""
    if op.domain:
        return []
    if op.op_type in _ALWAYS:
        return [_ALWAYS[op.op_type]]
    version, implementation = _BEFORE.get(op.op_type, (0, OpRun))
    return [implementation] if op.since_version < version else []

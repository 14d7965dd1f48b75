"""What the ONNX operators with subgraphs do: If, Loop, Scan and SequenceMap, over a function that runs a region.

The `onnx` package's own Loop stacks scan outputs of ranks other than 1 wrongly, and its Scan lacks version 8.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import DYNAMIC_INDEX, TensorType, UnrankedTensorType
from xdsl.ir import Attribute, Region

from webdnn.dialects.onnx import OnnxOp
from webdnn.dialects.onnx.types import StringType, UnknownType, numpy_dtype

Value: TypeAlias = Any
RunRegion: TypeAlias = Callable[[Region, Sequence[Value]], list[Value]]
"""Runs a region on the values of its block arguments and gives what it yields."""


def _if(op: OnnxOp, inputs: Sequence[Value], run: RunRegion) -> list[Value]:
    name = "then_branch" if bool(np.asarray(inputs[0]).reshape(())) else "else_branch"
    return run(op.region_named(name), ())


def _loop(op: OnnxOp, inputs: Sequence[Value], run: RunRegion) -> list[Value]:
    trips = None if inputs[0] is None else int(np.asarray(inputs[0]).reshape(()))
    condition = True if len(inputs) < 2 or inputs[1] is None else bool(np.asarray(inputs[1]).item())
    carried = list(inputs[2:])
    body = op.region_named("body")
    last = body.block.last_op
    assert last is not None
    scanned: list[list[Value]] = [[] for _ in range(len(last.operands) - 1 - len(carried))]
    iteration = 0
    while condition and (trips is None or iteration < trips):
        arguments = [np.array(iteration, np.int64), np.array(condition), *carried]
        results = run(body, arguments)
        condition = bool(np.asarray(results[0]).item())
        carried = results[1 : 1 + len(carried)]
        for values, value in zip(scanned, results[1 + len(carried) :], strict=True):
            values.append(value)
        iteration += 1
    types = [value.type for value in last.operands[1 + len(carried) :]]
    return carried + [_stack(v, t, 0) for v, t in zip(scanned, types, strict=True)]


def _stack(values: Sequence[Value], type: Attribute, axis: int) -> npt.NDArray[Any]:
    """The values of all iterations along a new axis; `type` is that of one of them, for when there is none."""
    if values:
        return np.stack([np.asarray(value) for value in values], axis)
    shape: list[int] = []
    dtype: npt.DTypeLike = np.float32
    if isinstance(type, TensorType | UnrankedTensorType):
        if isinstance(type, TensorType):
            shape = [0 if size == DYNAMIC_INDEX else size for size in type.get_shape()]
        if isinstance(type.element_type, StringType):
            dtype = object
        elif not isinstance(type.element_type, UnknownType):
            dtype = numpy_dtype(type.element_type)
    shape.insert(axis if axis >= 0 else len(shape) + 1 + axis, 0)
    return np.empty(shape, dtype)


def _scan(op: OnnxOp, inputs: Sequence[Value], run: RunRegion) -> list[Value]:
    count = op.int_of("num_scan_inputs")
    body = op.region_named("body")
    if op.since_version < 9:
        return _batched_scan(op, inputs, run, body, count)
    states, sources = list(inputs[: len(inputs) - count]), inputs[len(inputs) - count :]
    axes = op.ints_of("scan_input_axes") or [0] * count
    backward = op.ints_of("scan_input_directions") or [0] * count
    steps = [np.moveaxis(s, axis, 0) for s, axis in zip(sources, axes, strict=True)]
    steps = [s[::-1] if back else s for s, back in zip(steps, backward, strict=True)]
    states, scanned = _scan_over(states, steps, run, body)
    last = body.block.last_op
    assert last is not None
    types = [value.type for value in last.operands[len(states) :]]
    out_axes = op.ints_of("scan_output_axes") or [0] * len(scanned)
    out_backward = op.ints_of("scan_output_directions") or [0] * len(scanned)
    results: list[Value] = []
    for values, type, axis, back in zip(scanned, types, out_axes, out_backward, strict=True):
        results.append(_stack(values[::-1] if back else values, type, axis))
    return states + results


def _scan_over(
    states: list[Value], steps: Sequence[npt.NDArray[Any]], run: RunRegion, body: Region
) -> tuple[list[Value], list[list[Value]]]:
    """Run the body once for each element of the steps' first axis: the last states, and each output's values."""
    last = body.block.last_op
    assert last is not None
    scanned: list[list[Value]] = [[] for _ in range(len(last.operands) - len(states))]
    for each in zip(*steps, strict=True):
        results = run(body, [*states, *(np.asarray(value) for value in each)])
        states = results[: len(states)]
        for values, value in zip(scanned, results[len(states) :], strict=True):
            values.append(value)
    return states, scanned


def _batched_scan(
    op: OnnxOp, inputs: Sequence[Value], run: RunRegion, body: Region, count: int
) -> list[Value]:
    """Scan of version 8: everything has a batch axis, and axis 1 of the scan inputs is that of the sequence."""
    lengths, rest = inputs[0], list(inputs[1:])
    states, sources = rest[: len(rest) - count], rest[len(rest) - count :]
    backward = op.ints_of("directions") or [0] * count
    longest = int(sources[0].shape[1])
    columns: list[list[Value]] = []
    for item in range(sources[0].shape[0]):
        length = longest if lengths is None else int(lengths[item])
        steps = [s[item, :length] for s in sources]
        steps = [s[::-1] if back else s for s, back in zip(steps, backward, strict=True)]
        final, scanned = _scan_over([state[item] for state in states], steps, run, body)
        padded = [np.stack(values) for values in scanned]
        padded = [
            np.concatenate([v, np.zeros((longest - length, *v.shape[1:]), v.dtype)]) for v in padded
        ]
        columns.append([*final, *padded])
    return [np.stack(values) for values in zip(*columns, strict=True)]


def _sequence_map(op: OnnxOp, inputs: Sequence[Value], run: RunRegion) -> list[Value]:
    body = op.region_named("body")
    results: list[list[Value]] = [[] for _ in op.results]
    for index in range(len(inputs[0])):
        given = [value[index] if isinstance(value, list) else value for value in inputs]
        for values, value in zip(results, run(body, given), strict=True):
            values.append(value)
    return list(results)


CONTROL_FLOW: dict[str, Callable[[OnnxOp, Sequence[Value], RunRegion], list[Value]]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    "SequenceMap": _sequence_map,
}
"""The meaning of each operator with subgraphs, by its name in ONNX."""

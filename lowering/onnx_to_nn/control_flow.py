"""If, Loop and Scan: decided or unrolled at compile time."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import i1
from xdsl.ir import SSAValue

from webdnn.dialects.dtypes import numpy_dtype
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Unsupported
from webdnn.lowering.onnx_to_nn.node import Node, Value
from webdnn.lowering.onnx_to_nn.origins import binding_hint
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

MOST_ITERATIONS = 4096
"""A loop of more iterations is not unrolled."""


@onnx_lowering("If")
def if_(node: Node, b: NNBuilder) -> list[Value]:
    """A condition that is known picks a branch; else both are computed, and one of their results is taken."""
    known = node.constant(0)
    if known is not None:
        return node.run_region("then_branch" if known.item() else "else_branch", [])
    condition = b.reshape(node[0], [])
    results: list[Value] = []
    branches = node.run_regions(["then_branch", "else_branch"])
    hint = binding_hint(node.op.operands[0]) or "make the condition a constant"
    for on_true, on_false in zip(*branches, strict=True):
        if not isinstance(on_true, SSAValue) or not isinstance(on_false, SSAValue):
            raise Unsupported("its condition is not known and its results are no tensors", hint)
        if on_true.type != on_false.type:
            raise Unsupported(
                f"its condition is not known, and its branches give {on_true.type} and {on_false.type}",
                hint,
            )
        results.append(b(ew.SelectOp, condition, on_true, on_false))
    return results


def stacked(values: list[SSAValue], axis: int, b: NNBuilder) -> SSAValue:
    """Tensors of one shape along a new dimension."""
    shape = shape_of(values[0])
    return b.concat([b.reshape(v, [*shape[:axis], 1, *shape[axis:]]) for v in values], axis)


def none_stacked(value: Value, axis: int, b: NNBuilder) -> SSAValue:
    """No tensors like `value`, along a new dimension of size 0."""
    if not isinstance(value, SSAValue):
        raise Unsupported("it stacks sequences")
    shape = list(shape_of(value))
    shape.insert(axis % (len(shape) + 1), 0)
    return b.constant(np.empty(shape, numpy_dtype(value.type)))


@onnx_lowering("Loop", static=[0, 1])
def loop(node: Node, b: NNBuilder) -> list[Value]:
    """Unrolled, where the number of iterations and the conditions are known."""
    carried: list[Value] = [node.operands[i] for i in range(2, len(node.operands))]
    count = len(carried)
    trips = node.known_int(0) if node.has(0) else None
    condition: Value = node.operands[1] if node.has(1) else b.constant(True, i1)
    scanned: list[list[SSAValue]] = [[] for _ in range(node.result_count - count)]
    step = 0
    while trips is None or step < trips:
        if step >= MOST_ITERATIONS:
            raise Unsupported(f"it has more than {MOST_ITERATIONS} iterations")
        if not isinstance(condition, SSAValue) or (known := b.value_of(condition)) is None:
            raise Unsupported(
                "whether it goes on is computed from the model's inputs",
                binding_hint(node.op.operands[1]) if step == 0 else "",
            )
        if not known.item():
            break
        number = b.constant(np.array(step, np.int64))
        before = b.nodes
        results = node.run_region("body", [number, condition, *carried])
        if trips is not None and step == 0 and results[0] is condition:
            if trips > MOST_ITERATIONS:
                raise Unsupported(f"it has more than {MOST_ITERATIONS} iterations")
            b.check_nodes((trips - 1) * (b.nodes - before))
        condition, carried = results[0], results[1 : 1 + count]
        for rows, value in zip(scanned, results[1 + count :], strict=False):
            if not isinstance(value, SSAValue):
                raise Unsupported("it stacks sequences")
            rows.append(value)
        step += 1
    if scanned and not step:
        # What the body would give says the type of what it does not: it is lowered, and nothing reads it.
        number, condition = b.constant(np.array(0, np.int64)), b.constant(True, i1)
        given = node.run_region("body", [number, condition, *carried])
        return [*carried, *(none_stacked(value, 0, b) for value in given[1 + count :])]
    return [*carried, *(stacked(rows, 0, b) for rows in scanned)]


@onnx_lowering("Scan", since=9)
def scan(node: Node, b: NNBuilder) -> list[Value]:
    """Unrolled; the number of iterations is the size of the scanned dimension."""
    inputs = node.int("num_scan_inputs")
    states: list[Value] = list(node.operands[: len(node.operands) - inputs])
    sources = [node[i] for i in range(len(states), len(node.operands))]
    outputs = node.result_count - len(states)
    axes = node.ints("scan_input_axes", [0] * inputs) or []
    directions = node.ints("scan_input_directions", [0] * inputs) or []
    out_axes = node.ints("scan_output_axes", [0] * outputs) or []
    out_directions = node.ints("scan_output_directions", [0] * outputs) or []
    axes = [a % len(shape_of(x)) for a, x in zip(axes, sources, strict=True)]
    steps = shape_of(sources[0])[axes[0]]
    if steps > MOST_ITERATIONS:
        raise Unsupported(f"it has more than {MOST_ITERATIONS} iterations")
    if not steps:
        # As in a loop without iterations, the body is lowered for the types of what it would give.
        shapes = [[*shape_of(x)] for x in sources]
        for shape, axis in zip(shapes, axes, strict=True):
            del shape[axis]
        element = [b.filled(0, n, element_of(x)) for n, x in zip(shapes, sources, strict=True)]
        given = node.run_region("body", [*states, *element])[len(states) :]
        return [*states, *(none_stacked(v, a, b) for v, a in zip(given, out_axes, strict=True))]
    rows: list[list[SSAValue]] = [[] for _ in range(outputs)]
    for step in range(steps):
        slices: list[Value] = []
        for x, axis, is_reverse in zip(sources, axes, directions, strict=True):
            shape = shape_of(x)
            one = b.slice_axis(x, axis, steps - 1 - step if is_reverse else step, 1)
            slices.append(b.reshape(one, [*shape[:axis], *shape[axis + 1 :]]))
        before = b.nodes
        results = node.run_region("body", [*states, *slices])
        if step == 0:
            b.check_nodes((steps - 1) * (b.nodes - before))
        states = results[: len(states)]
        for kept, value in zip(rows, results[len(states) :], strict=True):
            assert isinstance(value, SSAValue)
            kept.append(value)
    stacks: list[Value] = []
    for kept, axis, is_reverse in zip(rows, out_axes, out_directions, strict=True):
        rank = len(shape_of(kept[0])) + 1
        stacks.append(stacked(kept[::-1] if is_reverse else kept, axis % rank, b))
    return [*states, *stacks]

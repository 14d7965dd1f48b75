"""Einsum, as transposes and matrix products."""

from __future__ import annotations

from math import prod

import numpy as np
from xdsl.dialects.builtin import i64
from xdsl.ir import SSAValue

from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn.base import broadcast_shapes
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.types import shape_of
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

Labels = tuple[str, ...]
"""A label for each dimension. Those of an ellipsis are `.0`, `.1` ..., counted from the last one."""


def parse(equation: str, ranks: list[int]) -> tuple[list[Labels], Labels]:
    """The labels of the operands and of the result."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    terms = [_labels(term, rank) for term, rank in zip(left.split(","), ranks, strict=True)]
    dots = sorted({x for t in terms for x in t if x[0] == "."}, key=lambda x: -int(x[1:]))
    if arrow:
        before, ellipsis, after = right.partition("...")
        return terms, (*before, *(dots if ellipsis else ()), *after)
    count = {x: sum(t.count(x) for t in terms) for t in terms for x in t}
    once = sorted(x for x, n in count.items() if n == 1 and x[0] != ".")
    return terms, (*dots, *once)


def _labels(term: str, rank: int) -> Labels:
    before, ellipsis, after = term.partition("...")
    count = rank - len(before) - len(after)
    if count and not ellipsis:
        raise Invalid(f"its equation's term '{term}' does not have {rank} dimensions")
    return (*before, *(f".{count - 1 - i}" for i in range(count)), *after)


def without_repeats(x: SSAValue, labels: Labels, b: NNBuilder) -> tuple[SSAValue, Labels]:
    """The diagonal, where a label stands twice: what is off it is masked, and summed away."""
    for label in dict.fromkeys(labels):
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            rank = len(labels)
            size = shape_of(x)[first]
            x = b(ew.SelectOp, _diagonal(size, first, second, rank, b), x, 0)
            x = b.reduce("sum", x, [second], keep_dims=False)
            labels = labels[:second] + labels[second + 1 :]
    return x, labels


def _diagonal(size: int, first: int, second: int, rank: int, b: NNBuilder) -> SSAValue:
    """Whether the indices of two dimensions of this size are the same."""
    if is_symbolic(size):
        rows, columns = [1] * rank, [1] * rank
        rows[first], columns[second] = size, size
        return b(ew.EqualOp, b.iota(rows, first, i64), b.iota(columns, second, i64))
    b.reserve([size, size], 1)
    eye = np.eye(size, dtype=bool)
    return b.constant(eye.reshape([size if d in (first, second) else 1 for d in range(rank)]))


def summed(x: SSAValue, labels: Labels, kept: set[str], b: NNBuilder) -> tuple[SSAValue, Labels]:
    """The dimensions that are not kept summed away."""
    axes = [d for d, label in enumerate(labels) if label not in kept]
    if axes:
        x = b.reduce("sum", x, axes, keep_dims=False)
    return x, tuple(label for label in labels if label in kept)


def arranged(x: SSAValue, labels: Labels, order: Labels, b: NNBuilder) -> SSAValue:
    """The dimensions in the given order; one that is not there has size 1."""
    present = [label for label in order if label in labels]
    x = b.transpose(x, [labels.index(label) for label in present])
    sizes = dict(zip(present, shape_of(x), strict=True))
    return b.reshape(x, [sizes.get(label, 1) for label in order])


def contract(
    x: SSAValue, x_labels: Labels, y: SSAValue, y_labels: Labels, kept: set[str], b: NNBuilder
) -> tuple[SSAValue, Labels]:
    """One product of two operands over the labels that both have and that are not kept."""
    x, x_labels = summed(x, x_labels, kept | set(y_labels), b)
    y, y_labels = summed(y, y_labels, kept | set(x_labels), b)
    sizes = dict(zip(x_labels, shape_of(x), strict=True))
    for label, size in zip(y_labels, shape_of(y), strict=True):
        (sizes[label],) = broadcast_shapes([size], [sizes.get(label, 1)])
    both = [label for label in x_labels if label in y_labels]
    batch = tuple(label for label in both if label in kept)
    inner = tuple(label for label in both if label not in kept)
    rows = tuple(label for label in x_labels if label not in both)
    columns = tuple(label for label in y_labels if label not in both)

    def count(labels: Labels) -> int:
        return prod(sizes[label] for label in labels)

    def widened(value: SSAValue, labels: Labels, order: Labels) -> SSAValue:
        """A size of 1 stands for any (only dimensions under an ellipsis have it)."""
        value = arranged(value, labels, order, b)
        return b.broadcast(value, [sizes[label] for label in order])

    left = widened(x, x_labels, (*batch, *rows, *inner))
    right = widened(y, y_labels, (*batch, *inner, *columns))
    batch_sizes = [sizes[label] for label in batch]
    left = b.reshape(left, [*batch_sizes, count(rows), count(inner)])
    right = b.reshape(right, [*batch_sizes, count(inner), count(columns)])
    result = b.matmul(left, right)
    labels = (*batch, *rows, *columns)
    return b.reshape(result, [sizes[label] for label in labels]), labels


@onnx_lowering("Einsum")
def einsum(node: Node, b: NNBuilder) -> SSAValue:
    tensors = node.tensors
    terms, result = parse(node.str("equation"), [len(shape_of(t)) for t in tensors])
    pairs = [without_repeats(t, labels, b) for t, labels in zip(tensors, terms, strict=True)]
    x, labels = pairs[0]
    for i, (y, y_labels) in enumerate(pairs[1:], start=1):
        later = {label for _, ls in pairs[i + 1 :] for label in ls}
        x, labels = contract(x, labels, y, y_labels, later | set(result), b)
    x, labels = summed(x, labels, set(result), b)
    return arranged(x, labels, result, b)

"""Steps of random programs: elements, reductions, and what moves data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx.helper import np_dtype_to_tensor_dtype

from tests.unit.random_programs import RandomProgram, Step
from webdnn.dialects.dtypes import Array


def unary(p: RandomProgram) -> None:
    x = p.value("f")
    if x is None:
        return
    if p.chance(0.4):
        kind = p.among(
            "Relu", "Neg", "Abs", "Identity", "Clip", "LeakyRelu", "Sign", "Floor", "Ceil", "Round"
        )
        if kind in ("Sign", "Floor", "Ceil", "Round") and x not in p.exact:
            return
        extra = (
            [p.constant(-0.5, np.float32), p.constant(0.75, np.float32)] if kind == "Clip" else []
        )
        p.add(kind, [x, *extra], exact=kind != "LeakyRelu")
    else:
        kind = p.among(
            "Sigmoid", "Tanh", "Exp", "Erf", "Gelu", "Softplus", "HardSigmoid", "HardSwish", "Mish", "Elu",
            "Selu", "Celu", "Sin", "Cos", "Atan", "Softsign", "ThresholdedRelu", "Reciprocal",
        )  # fmt: skip
        if kind in ("ThresholdedRelu", "Reciprocal") and x not in p.exact:
            return
        p.add(kind, [x], exact=False)


def unary_integer(p: RandomProgram) -> None:
    x = p.value("iu")
    if x is not None:
        p.add(p.among("Neg", "Abs", "Sign", "Relu", "Identity", "BitwiseNot"), [x])


def partner(p: RandomProgram, x: str) -> str:
    """Another operand of `x`'s type: a value, or a weight whose shape is broadcast in some way."""
    array = p.values[x]
    if p.chance(0.5):
        same = [n for n, a in p.values.items() if a.dtype == array.dtype]
        return p.among(*same)
    shape = [size if p.chance(0.6) else 1 for size in array.shape]
    shape = shape[int(p.rng.integers(len(shape) + 1)) :] if p.chance(0.5) else shape
    if p.chance(0.1):
        shape = [2, *shape]
    return p.weight(p.array(tuple(shape), array.dtype))


def binary(p: RandomProgram) -> None:
    x = p.value("f")
    if x is None:
        return
    kind = p.among("Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu", "Mean", "Sum")
    operands = [x, partner(p, x)]
    if kind != "PRelu" and p.chance(0.5):
        operands.reverse()
    if kind == "Div" and operands[1] in p.values and operands[1] not in p.exact:
        return
    p.add(kind, operands, exact=kind in ("Max", "Min"))


def remainder(p: RandomProgram) -> None:
    x = p.value("f", exact=True)
    if x is None:
        return
    operands = [x, partner(p, x)]
    if operands[1] in p.values and operands[1] not in p.exact:
        return
    p.add("Mod", operands, fmod=1)


def binary_integer(p: RandomProgram) -> None:
    x = p.value("iu")
    if x is None:
        return
    arithmetic = ("Add", "Sub", "Mul", "Max", "Min", "Mod", "Div")
    kind = p.among(*arithmetic, "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift")
    operands = [x, partner(p, x)]
    if p.chance(0.5):
        operands.reverse()
    divisor = p.values.get(operands[1], p.weights.get(operands[1]))
    dividend = p.values.get(operands[0], p.weights.get(operands[0]))
    if divisor is None or dividend is None or divisor.size == 0:
        return
    if kind in ("Div", "Mod"):  # undefined by ONNX: division by 0, and the one that overflows
        overflows = divisor.dtype.kind == "i" and (divisor == -1).any()
        if (divisor == 0).any() or overflows:
            return
        if kind == "Div" and ((dividend < 0).any() or (divisor < 0).any()):
            return
    if kind == "BitShift":
        if (divisor >= divisor.dtype.itemsize * 8).any():
            return
        p.add(kind, operands, direction=p.among("LEFT", "RIGHT"))
    else:
        p.add(kind, operands)


def compare(p: RandomProgram) -> None:
    x = p.value(exact=True)
    if x is None:
        return
    other = partner(p, x)
    if other in p.values and other not in p.exact:
        return
    p.add(p.among("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"), [x, other])


def logic(p: RandomProgram) -> None:
    x = p.value("b")
    if x is None:
        return
    kind = p.among("And", "Or", "Xor", "Not", "Not")
    p.add(kind, [x] if kind == "Not" else [x, partner(p, x)])


def where(p: RandomProgram) -> None:
    condition, x = p.value("b"), p.value()
    if condition is not None and x is not None:
        p.add("Where", [condition, x, partner(p, x)])


def cast(p: RandomProgram) -> None:
    x = p.value(exact=True)
    if x is None:
        return
    to = p.any_type()
    array = p.values[x]
    if np.dtype(to).kind == "u" and array.dtype.kind == "f" and (array < 0).any():
        return  # undefined
    p.add("Cast", [x], to=np_dtype_to_tensor_dtype(np.dtype(to)))


def reduce(p: RandomProgram) -> None:
    kind = p.among(
        "Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"
    )
    x = p.value("fi", 1)
    if x is None:
        return
    array = p.values[x]
    axes = [d for d in range(array.ndim) if p.chance(0.5)]
    if p.chance(0.3):
        axes = [d - array.ndim for d in axes]
    exact = kind in ("Max", "Min") or (
        array.dtype.kind == "i"
        and kind in ("Sum", "Mean", "Prod", "L1", "L2", "SumSquare", "LogSum")
    )
    if kind == "LogSum" and array.dtype.kind == "f" and (x not in p.exact or (array < 0).any()):
        return  # of a sum near 0 the least difference is a large one
    if (array.dtype.kind == "i" and not exact) or (
        not array.size and kind in ("Mean", "Max", "Min")
    ):
        return  # not defined
    if array.dtype.kind == "i" and np.abs(array.astype(np.float64)).max(initial=0) > 1000:
        return  # what a sum of squares is that does not fit, is not defined either
    if kind in ("Max", "Min") and array.dtype.kind == "f" and np.isnan(array).any():
        return  # in ONNX Runtime it depends on its place whether a NaN wins
    extra = {"noop_with_empty_axes": 1} if not axes and p.chance(0.5) else {}
    inputs = [x, p.constant(axes)] if axes or p.chance(0.5) else [x]
    p.add(f"Reduce{kind}", inputs, exact=exact, keepdims=p.among(0, 1), **extra)


def arg_extreme(p: RandomProgram) -> None:
    x = p.value("fiu", 1, exact=True)
    if x is not None:
        kind = p.among("ArgMax", "ArgMin")
        last = p.among(0, 0, 1)
        p.add(kind, [x], axis=p.axis(p.values[x]), keepdims=p.among(0, 1), select_last_index=last)


def top_k(p: RandomProgram) -> None:
    x = p.value("fi", 1, exact=True)
    if x is None:
        return
    array = p.values[x]
    axis = p.axis(array)
    k = p.constant([int(p.rng.integers(0, array.shape[axis] + 1))])
    p.add("TopK", [x, k], 2, axis=axis, largest=p.among(0, 1), sorted=1)


def cumulative(p: RandomProgram) -> None:
    x = p.value("fi", 1)
    if x is None:
        return
    exact = p.values[x].dtype.kind == "i"
    axis = p.constant(p.axis(p.values[x]))
    p.add("CumSum", [x, axis], exact=exact, exclusive=p.among(0, 1), reverse=p.among(0, 1))


def indices(p: RandomProgram, shape: Sequence[int], limit: int) -> str | None:
    """Indices below `limit`, negative ones too: a weight, or a value made from an input's."""
    if limit == 0:
        return None
    array = p.rng.integers(-limit, limit, shape)
    return p.weight(np.asarray(array, p.among(np.int64, np.int32)))


def gather(p: RandomProgram) -> None:
    x = p.value(rank=1)
    if x is None:
        return
    array = p.values[x]
    axis = p.axis(array)
    kind = p.among("Gather", "Gather", "GatherElements", "GatherND")
    if kind == "GatherND":
        depth = int(p.rng.integers(1, array.ndim + 1))
        where = [p.rng.integers(-s, s, (3,)) for s in array.shape[:depth] if s]
        p.add(kind, [x, p.weight(np.stack(where, 1))] if len(where) == depth else [x, x])
        return
    shape = p.among((), (2,), (3, 2))
    if kind == "GatherElements":
        shape = list(array.shape)
        shape[axis] += p.among(0, 1)
    index = indices(p, shape, array.shape[axis])
    if index is not None:
        p.add(kind, [x, index], axis=axis)


def gather_computed(p: RandomProgram) -> None:
    """With indices that are computed."""
    x, index = p.value(rank=1), p.value("i")
    if x is None or index is None or p.values[index].dtype.itemsize < 4 or not p.values[index].size:
        return
    limit = p.values[x].shape[0]
    if limit:
        size = p.constant(limit, p.values[index].dtype)
        before = len(p.nodes)
        p.add("Mod", [index, size])
        if len(p.nodes) > before:
            p.add("Gather", [x, list(p.values)[-1]], axis=0)


def scatter(p: RandomProgram) -> None:
    x = p.value(rank=1)
    if x is None:
        return
    array = p.values[x]
    axis = p.axis(array)
    reduction = p.among("none", "add", "mul", "max", "min") if array.dtype.kind != "b" else "none"
    exact = reduction in ("none", "max", "min") or array.dtype.kind != "f"
    if p.chance(0.5):
        axis %= array.ndim
        length = array.shape[axis]
        sizes = [int(p.rng.integers(0, s + 1)) for s in array.shape]
        shape = (*sizes[:axis], length, *sizes[axis + 1 :])
        order = np.argsort(p.rng.random(shape), axis=axis)  # the indices of a line do not repeat
        kept = np.take(order, np.arange(sizes[axis]), axis=axis)
        if reduction != "none" and length:
            kept = p.rng.integers(-length, length, kept.shape)
        shape = kept.shape
        p.add("ScatterElements", [x, p.weight(kept.astype(np.int64)), p.weight(p.array(shape, array.dtype))],
              exact=exact, axis=axis, reduction=reduction)  # fmt: skip
    else:
        count = array.shape[0]
        rows = int(p.rng.integers(0, count + 1))
        index = p.rng.permutation(count)[:rows, None]
        if reduction != "none" and count:
            index = p.rng.integers(-count, count, (rows + 1, 1))
        updates = p.array((len(index), *array.shape[1:]), array.dtype)
        p.add(
            "ScatterND",
            [x, p.weight(index.astype(np.int64)), p.weight(updates)],
            exact=exact,
            reduction=reduction,
        )


def slice(p: RandomProgram) -> None:
    x = p.value(rank=1)
    if x is None:
        return
    array = p.values[x]
    axes = [d for d in range(array.ndim) if p.chance(0.5)]
    starts = [int(p.rng.integers(-array.shape[d] - 1, array.shape[d] + 1)) for d in axes]
    ends = [
        p.among(int(p.rng.integers(-array.shape[d] - 2, array.shape[d] + 2)), 2**40, -(2**40))
        for d in axes
    ]
    steps = [p.among(1, 1, 1, 2, -1, -2, 3) for _ in axes]
    p.add("Slice", [x, *(p.constant(v) for v in (starts, ends, axes, steps))])


def split(p: RandomProgram) -> None:
    x = p.value(rank=1)
    if x is None:
        return
    array = p.values[x]
    axis = p.axis(array)
    size = array.shape[axis]
    if p.chance(0.5):
        parts = p.among(2, 3)
        p.add("Split", [x], parts, axis=axis, num_outputs=parts)
    else:
        cuts = sorted(int(p.rng.integers(0, size + 1)) for _ in range(2))
        sizes = [cuts[0], cuts[1] - cuts[0], size - cuts[1]]
        p.add("Split", [x, p.constant(sizes)], 3, axis=axis)


def concat(p: RandomProgram) -> None:
    x = p.value(rank=1)
    if x is None:
        return
    array = p.values[x]
    axis = p.axis(array)

    def line(a: Array) -> tuple[int, ...]:
        return (*a.shape[: axis % array.ndim], *a.shape[axis % array.ndim + 1 :])

    like = [n for n, a in p.values.items() if a.dtype == array.dtype and a.ndim == array.ndim]
    fits = [n for n in like if line(p.values[n]) == line(array)]
    parts = [x, *(p.among(*fits) for _ in range(p.among(0, 1, 1, 2, 3)))]
    if p.chance(0.2):
        parts.append(p.weight(p.array(array.shape, array.dtype)))
    p.rng.shuffle(parts)
    p.add("Concat", parts, axis=axis)


def view(p: RandomProgram) -> None:
    x = p.value(rank=1)
    if x is None:
        return
    array = p.values[x]
    others = ("Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile")
    kind = p.among("Transpose", "Transpose", "Reshape", "Reshape", *others)
    if kind == "Transpose":
        p.add(kind, [x], perm=[int(d) for d in p.rng.permutation(array.ndim)])
    elif kind == "Reshape":
        sizes = list(array.shape)
        d = int(p.rng.integers(len(sizes)))
        factors = [f for f in range(1, sizes[d] + 1) if sizes[d] % f == 0]
        if p.chance(0.5) and factors:
            f = p.among(*factors)
            sizes[d : d + 1] = [f, sizes[d] // f]
        elif d:
            sizes[d - 1 : d + 1] = [sizes[d - 1] * sizes[d]]
        if p.chance(0.5) and sizes and 0 not in sizes:
            sizes[int(p.rng.integers(len(sizes)))] = -1
        p.add(kind, [x, p.constant(sizes)], allowzero=int(0 in sizes))
    elif kind == "Flatten":
        p.add(kind, [x], axis=int(p.rng.integers(-array.ndim, array.ndim + 1)))
    elif kind == "Squeeze":
        p.add(kind, [x])
    elif kind == "Unsqueeze":
        p.add(kind, [x, p.constant([p.among(0, -1, 1)])])
    elif kind == "Expand":
        p.add(
            kind,
            [x, p.constant([p.among(1, 2), *(1 if p.chance(0.5) else s for s in array.shape)])],
        )
    else:
        p.add(kind, [x, p.constant([p.among(1, 1, 2, 3, 0) for _ in array.shape])])


def pad(p: RandomProgram) -> None:
    x = p.value(rank=1)
    if x is None:
        return
    array = p.values[x]
    mode = p.among("constant", "constant", "reflect", "edge", "wrap")
    pads = [
        p.among(0, 0, 1, 2, *([-1] if mode == "constant" else [])) for _ in range(2 * array.ndim)
    ]
    for size, low, high in zip(array.shape, pads, pads[array.ndim :], strict=False):
        if size + low + high < 0 or min(low, high) < -size:
            return
        if mode in ("reflect", "wrap") and size <= max(low, high):
            return
    fill = [p.weight(p.array((), array.dtype))] if mode == "constant" and p.chance(0.5) else []
    p.add("Pad", [x, p.constant(pads), *fill], mode=mode)


KEEP_NON_FINITE: dict[Step, int] = {
    unary: 4,
    binary: 6,
    remainder: 3,
    compare: 2,
    logic: 1,
    where: 2,
    reduce: 4,
    cumulative: 1,
    gather: 2,
    slice: 2,
    split: 1,
    concat: 2,
    view: 3,
    pad: 2,
}
"""Those that are defined for NaNs and infinities too."""

STEPS: dict[Step, int] = {
    unary: 4,
    unary_integer: 2,
    binary: 6,
    binary_integer: 5,
    remainder: 2,
    compare: 3,
    logic: 3,
    where: 3,
    cast: 3,
    reduce: 4,
    arg_extreme: 2,
    top_k: 2,
    cumulative: 2,
    gather: 4,
    gather_computed: 2,
    scatter: 3,
    slice: 4,
    split: 3,
    concat: 4,
    view: 4,
    pad: 2,
}
"""How often each is taken, relative to the others."""

"""Kernels on level `kernels` that compute positions, choose, join, or hold other types than f32."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from xdsl.dialects import arith, tensor
from xdsl.dialects.builtin import IndexType, TensorType, f16, f32, f64, i1, i8, i32, i64
from xdsl.ir import Attribute, Operation, SSAValue

from tests.unit.kernels import Kernel, Scalars, dims
from webdnn.dialects.kernel import FuncOp

INDEX = IndexType()


def gather_rows(rows: int, width: int, count: int) -> FuncOp:
    """`table[ids[i], :]` with `ids` of i64: neighbours along the last dimension."""
    k = Kernel("gather_rows", [[rows, width], ([count], i64)])
    table, ids = k.args
    i, _ = d = dims(2)

    def body(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
        return s.extract(table, s(arith.IndexCastOp, a[0], INDEX), s.index(1))

    return k.done(k.generic([(ids, [i])], [(k.empty([count, width]), d)], "pp", body))


def gather_columns(rows: int, width: int, count: int) -> FuncOp:
    """`table[:, ids[j]]`: every lane reads somewhere else; negative positions count from the end."""
    k = Kernel("gather_columns", [[rows, width], ([count], i64)])
    table, ids = k.args
    _, j = d = dims(2)

    def body(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
        size, zero = s.const(width, i64), s.const(0, i64)
        wrapped = s(arith.AddiOp, a[0], size)
        at = s(arith.SelectOp, s(arith.CmpiOp, a[0], zero, "slt"), wrapped, a[0])
        return s.extract(table, s.index(0), s(arith.IndexCastOp, at, INDEX))

    return k.done(k.generic([(ids, [j])], [(k.empty([rows, count]), d)], "pp", body))


def pad(shape: Sequence[int], before: Sequence[int], after: Sequence[int], value: float) -> FuncOp:
    """Zero (or other) padding: a choice between an element at a clamped position and the value."""
    k = Kernel("pad", [shape])
    x = k.args[0]
    out = [b + n + a for b, n, a in zip(before, shape, after, strict=True)]
    d = dims(len(shape))

    def body(s: Scalars, _: Sequence[SSAValue]) -> SSAValue:
        inside = s.const(1, i1)
        at: list[SSAValue] = []
        for i, n in enumerate(shape):
            if not before[i] and not after[i]:
                at.append(s.index(i))
                continue
            p = s(arith.SubiOp, s.index(i), s.const(before[i], INDEX))
            low, high = s.const(0, INDEX), s.const(n - 1, INDEX)
            inside = s(arith.AndIOp, inside, s(arith.CmpiOp, p, low, "sge"))
            inside = s(arith.AndIOp, inside, s(arith.CmpiOp, p, high, "sle"))
            at.append(s(arith.MinSIOp, s(arith.MaxSIOp, p, low), high))
        return s(arith.SelectOp, inside, s.extract(x, *at), s.const(value))

    return k.done(k.generic([], [(k.empty(out), d)], "p" * len(shape), body))


def nearest_resize(h: int, w: int, c: int, scale: int) -> FuncOp:
    """Repeats rows and columns, by divisions of positions."""
    k = Kernel("nearest_resize", [[h, w, c]])
    d = dims(3)

    def body(s: Scalars, _: Sequence[SSAValue]) -> SSAValue:
        by = s.const(scale, INDEX)
        y, x = s(arith.DivUIOp, s.index(0), by), s(arith.DivUIOp, s.index(1), by)
        return s.extract(k.args[0], y, x, s.index(2))

    return k.done(k.generic([], [(k.empty([h * scale, w * scale, c]), d)], "ppp", body))


def repeat_by_map(n: int, times: int) -> FuncOp:
    """`x[i floordiv times]` and `x[i mod n]`, as maps that are not linear."""
    k = Kernel("repeat_by_map", [[n], [n]])
    (i,) = dims(1)
    total = n * times
    size = k.empty([total])
    return k.done(
        k.generic(
            [(k.args[0], [i // times]), (k.args[1], [i % n])],
            [(size, [i])],
            "p",
            lambda s, a: s(arith.SubfOp, a[0], a[1]),
        )
    )


def concat(shapes: Sequence[Sequence[int]], axis: int, *, relu: bool = False) -> FuncOp:
    """`tensor.concat`, with an elementwise op behind it if `relu`."""
    k = Kernel("concat", shapes)
    out = list(shapes[0])
    out[axis] = sum(s[axis] for s in shapes)
    joined = k.add(tensor.ConcatOp(k.args, axis, TensorType(f32, out))).results[0]
    if not relu:
        return k.done(joined)
    return k.done(k.elementwise([joined], lambda s, a: s(arith.MaximumfOp, a[0], s.const(0.0))))


def argmax(shape: Sequence[int], axis: int) -> FuncOp:
    """The largest element along an axis and where it is: two results of one reduction."""
    k = Kernel("argmax", [shape])
    rank = len(shape)
    d = dims(rank)
    rest = [i for i in range(rank) if i != axis]
    kept = [shape[i] for i in rest]
    at = [d[i] for i in rest]
    kinds = "".join("r" if i == axis else "p" for i in range(rank))

    def body(s: Scalars, a: Sequence[SSAValue]) -> list[SSAValue]:
        here = s(arith.IndexCastOp, s.index(axis), i64)
        better = s(arith.CmpfOp, a[0], a[1], "ogt")
        return [s(arith.SelectOp, better, a[0], a[1]), s(arith.SelectOp, better, here, a[2])]

    top, where = k.generic(
        [(k.args[0], d)],
        [(k.fill(kept, -3.4e38), at), (k.fill(kept, 0, i64), at)],
        kinds,
        body,
    )
    return k.done(where, top)


def sum_and_squares(rows: int, columns: int, axis: int) -> FuncOp:
    """Two sums of one reduction, over rows or over columns."""
    k = Kernel("sum_and_squares", [[rows, columns]])
    d = dims(2)
    kept = [columns if axis == 0 else rows]
    at = [d[1 - axis]]
    a, b = k.generic(
        [(k.args[0], d)],
        [(k.fill(kept, 0.0), at), (k.fill(kept, 0.0), at)],
        "rp" if axis == 0 else "pr",
        lambda s, v: [
            s(arith.AddfOp, v[1], v[0]),
            s(arith.AddfOp, v[2], s(arith.MulfOp, v[0], v[0])),
        ],
    )
    return k.done(a, b)


def _folded(op: type[Operation], scalars: Scalars, args: Sequence[SSAValue]) -> SSAValue:
    return scalars(op, args[1], args[0])


def reduce_integers(rows: int, columns: int, type: Attribute) -> FuncOp:
    """Sum, minimum and maximum along the last axis of integers."""
    k = Kernel("reduce_integers", [([rows, columns], type)])
    d = dims(2)
    i, _ = d
    results: list[SSAValue] = []
    for op, start in ((arith.AddiOp, 0), (arith.MinSIOp, 100), (arith.MaxUIOp, 0)):
        results.append(
            k.generic(
                [(k.args[0], d)],
                [(k.fill([rows], start, type), [i])],
                "pr",
                partial(_folded, op),
            )
        )
    return k.done(*results)


def casts(count: int) -> FuncOp:
    """f32 to and from every other type, with a comparison and a choice."""
    k = Kernel("casts", [[count]])
    (i,) = d = dims(1)

    def body(s: Scalars, a: Sequence[SSAValue]) -> list[SSAValue]:
        x = s(arith.MulfOp, a[0], s.const(10.0))
        word = s(arith.FPToSIOp, x, i32)
        positive = s(arith.CmpfOp, x, s.const(0.0), "ogt")
        return [
            positive,
            s(arith.TruncIOp, word, i8),
            word,
            s(arith.ExtSIOp, word, i64),
            s(arith.TruncFOp, x, f16),
            s(arith.ExtFOp, x, f64),
            s(arith.SelectOp, positive, x, s(arith.SIToFPOp, word, f32)),
        ]

    types: list[Attribute] = [i1, i8, i32, i64, f16, f64, f32]
    outs = [(k.empty([count], t), [i]) for t in types]
    return k.done(*k.generic([(k.args[0], d)], outs, "p", body))


def mask(count: int) -> FuncOp:
    """Truth values in, truth values and a count out."""
    k = Kernel("mask", [([count], i1), ([count], i1)])
    d = dims(1)
    both = k.elementwise(k.args, lambda s, a: s(arith.AndIOp, a[0], a[1]))
    total = k.generic(
        [(both, d)],
        [(k.fill([], 0, i64), [])],
        "r",
        lambda s, a: s(arith.AddiOp, a[1], s(arith.ExtUIOp, a[0], i64)),
    )
    return k.done(both, total)


def matmul_of(type: Attribute, m: int, n: int, depth: int) -> FuncOp:
    """A matrix product of integers or of doubles."""
    k = Kernel("matmul_of", [([m, depth], type), ([depth, n], type)])
    i, j, p = dims(3)
    mul, add = (arith.MulfOp, arith.AddfOp) if type == f64 else (arith.MuliOp, arith.AddiOp)
    return k.done(
        k.generic(
            [(k.args[0], [i, p]), (k.args[1], [p, j])],
            [(k.fill([m, n], 0, type), [i, j])],
            "ppr",
            lambda s, a: s(add, a[2], s(mul, a[0], a[1])),
        )
    )


def interleave(n: int) -> FuncOp:
    """Writes to every other element of its initial value."""
    k = Kernel("interleave", [[n], [n]])
    (i,) = dims(1)
    out = k.generic(
        [(k.args[0], [i])], [(k.fill([2 * n], 0.0), [i * 2 + 1])], "p", lambda s, a: a[0]
    )
    return k.done(out)


def reversed_rows(rows: int, columns: int) -> FuncOp:
    """A slice with a negative step along the last axis."""
    k = Kernel("reversed_rows", [[rows, columns]])
    i, j = d = dims(2)
    return k.done(
        k.generic(
            [(k.args[0], [i, j * -1 + (columns - 1)])],
            [(k.empty([rows, columns]), d)],
            "pp",
            lambda s, a: a[0],
        )
    )

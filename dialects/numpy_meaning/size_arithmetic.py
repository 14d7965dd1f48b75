"""What `nn` ops compute from arrays of sizes: arrays of objects that are numbers, `Size`s, or fractions of sizes.

Integers are sizes, floats are fractions. Only what is the same for all values of the symbols is computed; all else
raises `UndecidedSize`, and is left to each run.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
from xdsl.ir import Attribute, Operation

from webdnn.dialects.dtypes import Array, is_bool, is_float, is_integer, numpy_dtype
from webdnn.dialects.nn import data_movement as dm
from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.nn import reduction as rd
from webdnn.dialects.nn.base import int_list
from webdnn.dialects.numpy_meaning.nn_data_movement import DATA_MOVEMENT_MEANING
from webdnn.dialects.sizes.expression import (
    UndecidedSize,
    bounds,
    is_symbolic,
    maximum,
    minimum,
    undecided,
)
from webdnn.dialects.sizes.questions import same_size
from webdnn.dialects.sizes.ratio import F32_BITS, Ratio, Real, ratio
from webdnn.dialects.sizes.types import element_of

_BITS = {"float64": 53, "float32": F32_BITS, "float16": 11, "bfloat16": 8}
"""The precision of floats."""
_MOST_POWER = 8


def is_of_sizes(array: Array) -> bool:
    """Whether an array holds objects, some of which are sizes."""
    return array.dtype == object


def run_on_sizes(op: Operation, arrays: tuple[Array, ...]) -> Array:
    """The result of an op some of whose operands are arrays of sizes: an array of numbers where nothing else is left.

    Raises:
        UndecidedSize: it is not the same for all values of the symbols, or nothing is known of such an op.
    """
    element = element_of(op.results[0])
    if type(op) in _MOVES and not any(map(is_of_sizes, arrays[1:])):
        result = DATA_MOVEMENT_MEANING[type(op)](op, *arrays)
    elif isinstance(op, dm.ConcatOp):
        result = DATA_MOVEMENT_MEANING[dm.ConcatOp](op, *(_plain(a) for a in arrays))
    elif isinstance(op, rd.ReduceOp):
        result = _reduce(op, _plain(arrays[0]))
    elif isinstance(op, ew.SelectOp):
        if is_of_sizes(arrays[0]):
            raise _unknown(op, arrays)
        result = np.where(arrays[0], *(_plain(a) for a in arrays[1:]))
    elif isinstance(op, ew.CastOp):
        result = _cast(arrays[0], element_of(op.x), element)
    elif (function := _function(op)) is not None:
        operands = np.broadcast_arrays(*(_plain(a) for a in arrays))
        result = np.empty(operands[0].shape, object)
        for at in np.ndindex(*result.shape):
            result[at] = function(*(operand[at] for operand in operands))
    else:
        raise _unknown(op, arrays)
    return _as_numbers(result, element)


_MOVES = (dm.ReshapeOp, dm.TransposeOp, dm.BroadcastOp, dm.SliceOp, dm.GatherOp)


def _plain(array: Array) -> Array:
    """The elements as Python's numbers, sizes and ratios."""
    return array if is_of_sizes(array) else array.astype(object)


def _as_numbers(array: Array, element: Attribute) -> Array:
    """An array of numbers where all elements are."""
    if any(is_symbolic(v) or isinstance(v, Ratio) for v in array.flat):
        return array if is_of_sizes(array) else array.astype(object)
    return array.astype(numpy_dtype(element))


def _unknown(op: Operation, arrays: tuple[Array, ...]) -> UndecidedSize:
    found = [v for a in arrays if is_of_sizes(a) for v in a.flat]
    sizes = [v.numerator if isinstance(v, Ratio) else v for v in found]
    return undecided(
        f"{op.name} of {', '.join(map(str, found))}", *(n for n in sizes if is_symbolic(n))
    )


def _cast(x: Array, source: Attribute, element: Attribute) -> Array:
    if is_float(element):
        bits = _BITS[numpy_dtype(element).name]

        def cast(v: Any) -> Any:
            if isinstance(v, Ratio):
                if v.is_rounded and bits < v.bits:
                    raise undecided(f"{v} is rounded twice", v.numerator)
                return Ratio(v.numerator, v.denominator, bits, v.is_rounded)
            return ratio(v, 1, bits) if is_symbolic(v) else float(v)

    elif is_bool(element):

        def cast(v: Any) -> Any:
            return not _is_zero(v.numerator if isinstance(v, Ratio) else v)

    else:
        limits = np.iinfo(numpy_dtype(element))

        def cast(v: Any) -> Any:
            whole = v.trunc() if isinstance(v, Ratio) else v
            if not is_symbolic(whole):
                return int(np.asarray(whole).astype(numpy_dtype(element)))
            low, high = bounds(whole)
            if low < limits.min or high > limits.max:
                raise undecided(f"whether {whole} fits {element}", whole)
            return whole

    result = np.empty(x.shape, object)
    for at in np.ndindex(*x.shape):
        result[at] = cast(x[at])
    return result


def _reduce(op: rd.ReduceOp, x: Array) -> Array:
    combine = _COMBINE.get(op.kind.data)
    axes = int_list(op.axes)
    if combine is None or 0 in x.shape:
        raise _unknown(op, (x,))
    kept = [d for d in range(x.ndim) if d not in axes]
    flat = x.transpose([*kept, *axes]).reshape([*(x.shape[d] for d in kept), -1])
    result = np.empty(flat.shape[:-1], object)
    for at in np.ndindex(*result.shape):
        result[at] = reduce(combine, flat[at])
    shape = [1 if d in axes else n for d, n in enumerate(x.shape)]
    return result.reshape(shape) if op.keep_dims.value.data else result


# Elements. Integers are ints and sizes, floats are floats and ratios.


def _is_zero(value: int) -> bool:
    return same_size(value, 0)


def _add(a: Any, b: Any) -> Any:
    return b + a if isinstance(b, Ratio) else a + b


def _subtract(a: Any, b: Any) -> Any:
    return -b + a if isinstance(b, Ratio) else a - b


def _multiply(a: Any, b: Any) -> Any:
    return b * a if isinstance(b, Ratio) and not isinstance(a, Ratio) else a * b


def _divide_integers(a: int, b: int) -> int:
    """Towards zero; 0 where a number is divided by 0."""
    if _is_zero(b):
        return 0
    if not b > 0:
        a, b = -a, -b
    quotient = a // b
    if quotient * b == a or a >= 0:
        return quotient
    return -(-a // b)


def _divide_floats(a: Real, b: Real) -> Real:
    if isinstance(a, Ratio):
        return a.over(b)
    assert isinstance(b, Ratio)
    raise undecided(f"{a} / {b} is not one number", b.numerator)


def _floor_mod(a: int, b: int) -> int:
    return 0 if _is_zero(b) else a % b


def _trunc_mod(a: int, b: int) -> int:
    return a - _divide_integers(a, b) * b if not _is_zero(b) else 0


def _power(a: int, b: int) -> int:
    if is_symbolic(b) or not 0 <= b <= _MOST_POWER:
        raise undecided(f"{a} to the {b}", a, b)
    return reduce(lambda x, y: x * y, [a] * int(b), 1)


def _common(a: Real, b: Real) -> tuple[int, int, int, int]:
    """Two floats as numerators over a common denominator, and the precision."""
    bits = next(v.bits for v in (a, b) if isinstance(v, Ratio))
    p, q = (v if isinstance(v, Ratio) else Ratio(*v.as_integer_ratio(), bits) for v in (a, b))
    for v in (p, q):
        if v.is_rounded:
            raise undecided(f"{v} is rounded, and compared", v.numerator)
    common = p.denominator * q.denominator
    return p.numerator * q.denominator, q.numerator * p.denominator, common, bits


def _extreme(choose: Callable[..., int]) -> Callable[[Any, Any], Any]:
    def run(a: Any, b: Any) -> Any:
        if isinstance(a, Ratio) or isinstance(b, Ratio):
            p, q, denominator, bits = _common(a, b)
            return ratio(choose(p, q), denominator, bits)
        if isinstance(a, float):
            return float(np.maximum(a, b) if choose is maximum else np.minimum(a, b))
        return choose(a, b)

    return run


def _compare(integers: Callable[[int, int], bool]) -> Callable[[Any, Any], bool]:
    def run(a: Any, b: Any) -> bool:
        if isinstance(a, Ratio) or isinstance(b, Ratio):
            a, b, _, _ = _common(a, b)
        return integers(a, b)

    return run


def _negate(a: Any) -> Any:
    return -a


def _absolute(a: Any) -> Any:
    is_negative = not (a.numerator if isinstance(a, Ratio) else a) >= 0
    return -a if is_negative else a


def _sign(a: Any) -> int:
    value = a.numerator if isinstance(a, Ratio) else a
    return 0 if _is_zero(value) else 1 if value > 0 else -1


def _whole(function: Callable[[Ratio], int]) -> Callable[[Any], Any]:
    def run(a: Any) -> Any:
        if isinstance(a, Ratio):
            return ratio(function(a), 1, a.bits)
        return float(function(Ratio(*a.as_integer_ratio(), 53))) if isinstance(a, float) else a

    return run


def _round(a: Ratio) -> int:
    if a.denominator == 1:
        return a.numerator
    raise undecided(f"which integer is nearest to {a}", a.numerator)


_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "sum": _add,
    "prod": _multiply,
    "max": _extreme(maximum),
    "min": _extreme(minimum),
}
_FUNCTIONS: dict[type[Operation], Callable[..., Any]] = {
    ew.AddOp: _add,
    ew.SubOp: _subtract,
    ew.MulOp: _multiply,
    ew.MaxOp: _COMBINE["max"],
    ew.MinOp: _COMBINE["min"],
    ew.EqualOp: _compare(same_size),
    ew.LessOp: _compare(lambda a, b: a < b),
    ew.LessEqualOp: _compare(lambda a, b: a <= b),
    ew.NegOp: _negate,
    ew.AbsOp: _absolute,
    ew.SignOp: _sign,
    ew.ReluOp: lambda a: _COMBINE["max"](a, 0.0 if isinstance(a, Ratio) else 0),
    ew.FloorOp: _whole(Ratio.floor),
    ew.CeilOp: _whole(Ratio.ceil),
    ew.TruncOp: _whole(Ratio.trunc),
    ew.RoundOp: _whole(_round),
}
_OF_INTEGERS: dict[type[Operation], Callable[..., Any]] = {
    ew.DivOp: _divide_integers,
    ew.FloorModOp: _floor_mod,
    ew.TruncModOp: _trunc_mod,
    ew.PowOp: _power,
}


def _function(op: Operation) -> Callable[..., Any] | None:
    if type(op) is ew.DivOp and is_float(element_of(op.operands[0])):
        return _divide_floats
    if is_integer(element_of(op.operands[0])) and type(op) in _OF_INTEGERS:
        return _OF_INTEGERS[type(op)]
    return _FUNCTIONS.get(type(op))

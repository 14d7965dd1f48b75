"""The remainder of floats. WebAssembly has none."""

from __future__ import annotations

from collections.abc import Callable

from xdsl.dialects import arith, scf, vector
from xdsl.dialects.builtin import IndexType, VectorType, i64
from xdsl.ir import Block, Region

from webdnn.lowering.float_remainder import remainder_bits
from webdnn.lowering.target_wasm.elementary.builder import Num, any_lane, where
from webdnn.lowering.target_wasm.elementary.formats import DOUBLE, SINGLE, format_of
from webdnn.lowering.target_wasm.types import lanes

_EXACT_QUOTIENT = 2.0**28


def remainder(x: Num, y: Num) -> Num:
    """x - y * trunc(x / y), exactly."""
    return _by_integers(x, y) if format_of(x) is DOUBLE else _by_doubles(x, y)


def _by_doubles(x: Num, y: Num) -> Num:
    """In double precision where the quotient is small. It lies 2^-24 at least from any whole number that it is not, so
    that it is not rounded to one; its product with y has 52 bits at most."""
    a, b = x.to_f64(), y.to_f64()
    quotient = (a / b).trunc()
    near = (a - quotient * b).to_f32().copysign(x)
    is_far = ~((quotient.abs() < _EXACT_QUOTIENT) & (b.abs() < float("inf")))
    (chosen,) = x.emitter.branch(
        any_lane(is_far),
        lambda: [where(is_far, _by_integers(x, y), near)],
        lambda: [near],
        [x.type],
    )
    return chosen


def _by_integers(x: Num, y: Num) -> Num:
    """In 64-bit integers; of vectors lane by lane."""
    count = lanes(x.type)
    if count is None:
        return _scalar(x, y)
    build = x.emitter
    assert isinstance(x.type, VectorType)
    element = x.type.element_type
    result = x
    for lane in range(count):
        pair = [build.of(build.add(vector.ExtractOp(v.ssa, [lane], element))) for v in (x, y)]
        result = build.of(build.add(vector.InsertOp(_scalar(*pair).ssa, result.ssa, [lane])))
    return result


def _scalar(x: Num, y: Num) -> Num:
    form = format_of(x)
    a, b = (v.bitcast(form.int) for v in (x, y))
    if form is SINGLE:
        a, b = a.extend_to_i64(), b.extend_to_i64()
    exponent = form.int.width.data - form.mantissa - 1
    bits = remainder_bits(a, b, mantissa=form.mantissa, exponent=exponent, repeat=_repeat)
    if form is SINGLE:
        bits = bits.truncate_to_i32()
    return bits.bitcast(form.float)


def _repeat(times: Num, start: Num, step: Callable[[Num], Num]) -> Num:
    build = start.emitter
    index = IndexType()
    body = Block(arg_types=[index, i64])
    outer, build.ops = build.ops, []
    following = step(build.of(body.args[1]))
    body.add_ops([*build.ops, scf.YieldOp(following.ssa)])
    build.ops = outer
    end = build.add(arith.IndexCastOp(times.ssa, index))
    zero, one = build.constant(0, index), build.constant(1, index)
    loop = scf.ForOp(zero, end, one, [start.ssa], Region(body))
    return build.of(build.add(loop))

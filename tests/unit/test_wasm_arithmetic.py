"""`arith` on the wasm target, on scalars and vectors, against numpy. Integers and casts are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.unit.wasm_kernels import DTYPES, apply

INTEGERS = ("i8", "i16", "i32", "i64")


def _integers(type: str) -> tuple[Any, Any]:
    """All pairs of interesting integers, and some random ones."""
    info = np.iinfo(DTYPES[type])
    special = np.array([0, 1, -1, 2, -2, 3, 7, -7, info.max, info.min, info.max - 1, info.min + 1])
    random = np.random.default_rng(0).integers(info.min, info.max, 20, dtype=np.int64)
    values = np.concatenate([special.astype(np.int64), random]).astype(DTYPES[type])
    a, b = np.meshgrid(values, values)
    return a.ravel(), b.ravel()


def _unsigned(a: Any) -> Any:
    return a.view(a.dtype.str.replace("i", "u"))


def _exact(op: str, a: Any, b: Any) -> Any:
    """The meaning in Python's integers, then wrapped. Division by zero gives 0."""
    ua, ub = _unsigned(a), _unsigned(b)
    bits = a.dtype.itemsize * 8

    def each(function: Any, x: Any, y: Any) -> Any:
        pairs = zip(x.tolist(), y.tolist(), strict=True)
        results = [(function(p, q) + 2 ** (bits - 1)) % 2**bits - 2 ** (bits - 1) for p, q in pairs]
        return np.array(results, dtype=a.dtype)

    def toward_zero(p: int, q: int) -> int:
        return 0 if q == 0 else abs(p) // abs(q) * (1 if (p < 0) == (q < 0) else -1)

    meanings: dict[str, Any] = {
        "addi": lambda: each(lambda p, q: p + q, a, b),
        "subi": lambda: each(lambda p, q: p - q, a, b),
        "muli": lambda: each(lambda p, q: p * q, a, b),
        "divsi": lambda: each(toward_zero, a, b),
        "divui": lambda: each(toward_zero, ua, ub),
        "remsi": lambda: each(lambda p, q: 0 if q == 0 else p - q * toward_zero(p, q), a, b),
        "remui": lambda: each(lambda p, q: 0 if q == 0 else p % q, ua, ub),
        "floordivsi": lambda: each(lambda p, q: 0 if q == 0 else p // q, a, b),
        "ceildivsi": lambda: each(lambda p, q: 0 if q == 0 else -(-p // q), a, b),
        "ceildivui": lambda: each(lambda p, q: 0 if q == 0 else -(-p // q), ua, ub),
        "minsi": lambda: np.minimum(a, b),
        "maxsi": lambda: np.maximum(a, b),
        "minui": lambda: np.minimum(ua, ub).view(a.dtype),
        "maxui": lambda: np.maximum(ua, ub).view(a.dtype),
        "andi": lambda: a & b,
        "ori": lambda: a | b,
        "xori": lambda: a ^ b,
        "shli": lambda: each(lambda p, q: p << q if q < bits else 0, ua, ub),
        "shrui": lambda: each(lambda p, q: p >> min(q, bits), ua, ub),
        "shrsi": lambda: each(lambda p, q: p >> min(q, bits - 1), a, ub),
    }
    return meanings[op]()


OPS = (
    "addi", "subi", "muli", "divsi", "divui", "remsi", "remui", "floordivsi", "ceildivsi", "ceildivui",
    "minsi", "maxsi", "minui", "maxui", "andi", "ori", "xori", "shli", "shrui", "shrsi",
)  # fmt: skip


@pytest.mark.parametrize("type", INTEGERS)
@pytest.mark.parametrize("lanes", [None, 8])
def test_integer_ops(type: str, lanes: int | None) -> None:
    a, b = _integers(type)
    for op in OPS:
        got = apply(f"%r = arith.{op} %a, %b : {{T}}", [a, b], [type, type], type, lanes)
        np.testing.assert_array_equal(got, _exact(op, a, b), err_msg=op)


COMPARE = {
    "eq": np.equal, "ne": np.not_equal, "slt": np.less, "sle": np.less_equal, "sgt": np.greater,
    "sge": np.greater_equal, "ult": np.less, "ule": np.less_equal, "ugt": np.greater,
    "uge": np.greater_equal,
}  # fmt: skip


@pytest.mark.parametrize("type", INTEGERS)
@pytest.mark.parametrize("lanes", [None, 8])
def test_integer_comparisons_and_truth_values_in_memory(type: str, lanes: int | None) -> None:
    a, b = _integers(type)
    for name, meaning in COMPARE.items():
        if lanes:
            body = f'%r = vector_ext.cmpi "{name}" %a, %b : {{T}} -> {{R}}'
        else:
            body = f"%r = arith.cmpi {name}, %a, %b : {{T}}"
        got = apply(body, [a, b], [type, type], "i1", lanes)
        want = meaning(_unsigned(a), _unsigned(b)) if name[0] == "u" else meaning(a, b)
        np.testing.assert_array_equal(got, want, err_msg=name)
        assert set(np.unique(got.view(np.uint8))) <= {0, 1}


FLOATS = np.array(
    [0.0, -0.0, 1.5, -1.5, np.inf, -np.inf, np.nan, 1e30, -1e30, 3e-39, 1e9, -1e9], np.float32
)


def _float_pairs(type: str) -> tuple[Any, Any]:
    a, b = np.meshgrid(FLOATS, FLOATS)
    a, b = (np.clip(v, -6e4, 6e4) if type == "f16" else v for v in (a, b))
    return a.ravel().astype(DTYPES[type]), b.ravel().astype(DTYPES[type])


@pytest.mark.parametrize("type", ["f32", "f64", "f16", "bf16"])
@pytest.mark.parametrize("lanes", [None, 4, 8])
@np.errstate(all="ignore")
def test_float_ops(type: str, lanes: int | None) -> None:
    a, b = _float_pairs(type)
    meanings = {
        "addf": a + b,
        "subf": a - b,
        "mulf": a * b,
        "divf": a / b,
        "maximumf": np.maximum(a, b),
        "minimumf": np.minimum(a, b),
        "maxnumf": np.fmax(a, b),
        "minnumf": np.fmin(a, b),
    }
    for op, want in meanings.items():
        got = apply(f"%r = arith.{op} %a, %b : {{T}}", [a, b], [type, type], type, lanes)
        np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64), err_msg=op)
    got = apply("%r = arith.negf %a : {T}", [a], [type], type, lanes)
    np.testing.assert_array_equal(np.signbit(got), ~np.signbit(a))


@pytest.mark.parametrize("type", ["f32", "f64", "f16"])
@pytest.mark.parametrize("lanes", [None, 2, 4, 8])
@pytest.mark.parametrize("number", [0.0, -1.5, np.inf])
@pytest.mark.parametrize("op", ["maximumf", "minimumf"])
@np.errstate(all="ignore")
def test_extrema_beside_a_known_number(
    type: str, lanes: int | None, number: float, op: str
) -> None:
    a, _ = _float_pairs(type)
    want = {"maximumf": np.maximum, "minimumf": np.minimum}[op](a, DTYPES[type](number))
    text = "0x7F800000" if type == "f32" else "0x7FF0000000000000" if type == "f64" else "0x7C00"
    known = f"arith.constant {text if np.isinf(number) else number} : {type}"
    spread = f"%n = {known}\n%c = vector.broadcast %n : {type} to {{T}}"
    for operands in ("%a, %c", "%c, %a"):
        body = f"{spread if lanes else f'%c = {known}'}\n"
        body += f"%r = arith.{op} {operands} fastmath<nsz> : {{T}}"
        got = apply(body, [a], [type], type, lanes)
        np.testing.assert_array_equal(got.astype(np.float64), want.astype(np.float64))


@pytest.mark.parametrize("type", ["f32", "f64", "f16"])
@pytest.mark.parametrize("lanes", [None, 4])
def test_float_comparisons(type: str, lanes: int | None) -> None:
    a, b = _float_pairs(type)
    unordered = np.isnan(a) | np.isnan(b)
    ordered = {"eq": a == b, "gt": a > b, "ge": a >= b, "lt": a < b, "le": a <= b}
    ordered["ne"] = ~unordered & (a != b)
    meanings = {"true": a == a.copy(), "false": a != a.copy(), "ord": ~unordered, "uno": unordered}
    meanings["true"], meanings["false"] = np.ones_like(unordered), np.zeros_like(unordered)
    meanings |= {"o" + name: value for name, value in ordered.items()}
    meanings |= {"u" + name: value | unordered for name, value in ordered.items()}
    for name, want in meanings.items():
        if lanes:
            body = f'%r = vector_ext.cmpf "{name}" %a, %b : {{T}} -> {{R}}'
        else:
            body = f"%r = arith.cmpf {name}, %a, %b : {{T}}"
        got = apply(body, [a, b], [type, type], "i1", lanes)
        np.testing.assert_array_equal(got, want, err_msg=name)


@pytest.mark.parametrize("lanes", [None, 4, 16])
def test_select(lanes: int | None) -> None:
    rng = np.random.default_rng(0)
    cond = rng.integers(0, 2, 64).astype(np.bool_)
    x, y = rng.standard_normal((2, 64)).astype(np.float32)
    op, types = ("vector_ext.select", "{T}, {R}") if lanes else ("arith.select", "{R}")
    body = f"%r = {op} %a, %b, %c : {types}"
    got = apply(body, [cond, x, y], ["i1", "f32", "f32"], "f32", lanes)
    np.testing.assert_array_equal(got, np.where(cond, x, y))


def _cast(name: str, lanes: int | None) -> str:
    return f"%r = {'vector_ext' if lanes else 'arith'}.{name} %a : {{T}} to {{R}}"


@pytest.mark.parametrize("lanes", [None, 8])
@np.errstate(all="ignore")
def test_integer_casts(lanes: int | None) -> None:
    for source in INTEGERS:
        a = np.unique(_integers(source)[0])
        a = np.concatenate([a, np.zeros(-a.size % 8, a.dtype)])
        for target in INTEGERS:
            if DTYPES[source]().itemsize < DTYPES[target]().itemsize:
                got = apply(_cast("extsi", lanes), [a], [source], target, lanes)
                np.testing.assert_array_equal(got, a.astype(DTYPES[target]))
                got = apply(_cast("extui", lanes), [a], [source], target, lanes)
                np.testing.assert_array_equal(got, _unsigned(a).astype(DTYPES[target]))
            elif source != target and DTYPES[source]().itemsize > DTYPES[target]().itemsize:
                got = apply(_cast("trunci", lanes), [a], [source], target, lanes)
                np.testing.assert_array_equal(got, a.astype(DTYPES[target]))
        for target in ("f32", "f64"):
            got = apply(_cast("sitofp", lanes), [a], [source], target, lanes)
            np.testing.assert_array_equal(got, a.astype(DTYPES[target]))
            got = apply(_cast("uitofp", lanes), [a], [source], target, lanes)
            np.testing.assert_array_equal(got, _unsigned(a).astype(DTYPES[target]))


@pytest.mark.parametrize("lanes", [None, 4])
@pytest.mark.parametrize("source", ["f32", "f64", "f16"])
def test_floats_to_integers_saturate(source: str, lanes: int | None) -> None:
    """Out of range gives the nearest integer and a NaN 0: no argument may trap."""
    values = [0.0, -0.0, 0.9, -0.9, 1.5, -1.5, 127.9, 128, -129, 255.9, 256, 40000, -40000, 65504,
              1e9, -1e9, 3e9, -3e9, 1e19, -1e19, 1e20, np.inf, -np.inf, np.nan]  # fmt: skip
    with np.errstate(all="ignore"):
        a = np.array(values).astype(DTYPES[source])
    for target in INTEGERS:
        for name, unsigned in (("fptosi", False), ("fptoui", True)):
            dtype = (
                np.dtype(DTYPES[target].__name__.replace("int", "uint"))
                if unsigned
                else DTYPES[target]
            )
            info = np.iinfo(dtype)
            want = [
                0
                if np.isnan(v)
                else info.max
                if v >= info.max
                else max(info.min, int(max(v, info.min)))
                for v in a.tolist()
            ]
            got = apply(_cast(name, lanes), [a], [source], target, lanes)
            np.testing.assert_array_equal(got.view(dtype), np.array(want, dtype), err_msg=target)


@pytest.mark.parametrize("lanes", [None, 4])
@np.errstate(all="ignore")
def test_float_formats(lanes: int | None) -> None:
    """Every half and bfloat16 widens exactly; rounding to them and to single is to nearest, ties to even."""
    rng = np.random.default_rng(0)
    bits = np.arange(65536, dtype=np.uint32).astype(np.uint16)
    for half in ("f16", "bf16"):
        a = bits.view(DTYPES[half])
        for wide in ("f32", "f64"):
            got = apply("%r = arith.extf %a : {T} to {R}", [a], [half], wide, lanes)
            np.testing.assert_array_equal(got, a.astype(DTYPES[wide]))
        singles = a.astype(np.float32)
        halfway = (singles + np.diff(singles, append=np.float32(0)) / 2).astype(np.float32)
        random = rng.integers(0, 2**32, 2**16, dtype=np.uint64).astype(np.uint32).view(np.float32)
        x = np.concatenate(
            [singles, halfway, random, rng.uniform(-7e4, 7e4, 2**14).astype(np.float32)]
        )
        got = apply("%r = arith.truncf %a : {T} to {R}", [x], ["f32"], half, lanes)
        want = x.astype(DTYPES[half]).astype(np.float32)
        np.testing.assert_array_equal(got.astype(np.float32), want)
        np.testing.assert_array_equal(np.signbit(got)[~np.isnan(x)], np.signbit(x)[~np.isnan(x)])
    doubles = np.concatenate([x.astype(np.float64), x * (1 + 2.0**-30)])
    got = apply("%r = arith.truncf %a : {T} to {R}", [doubles], ["f64"], "f16", lanes)
    np.testing.assert_array_equal(got, doubles.astype(np.float16))
    got = apply("%r = arith.truncf %a : {T} to {R}", [doubles], ["f64"], "f32", lanes)
    np.testing.assert_array_equal(got, doubles.astype(np.float32))


def test_bitcasts() -> None:
    x = np.array([1.5, -0.0, np.inf, 3e-40], np.float32)
    for lanes in (None, 4):
        got = apply("%r = arith.bitcast %a : {T} to {R}", [x], ["f32"], "i32", lanes)
        np.testing.assert_array_equal(got, x.view(np.int32))
    h = x.astype(np.float16)
    got = apply("%r = arith.bitcast %a : {T} to {R}", [h], ["f16"], "i16")
    np.testing.assert_array_equal(got, h.view(np.int16))


def test_half_constants() -> None:
    x = np.array([1, 2, 3, 4], np.float16)
    body = "%c = arith.constant 6.0e+4 : f16\n%d = arith.constant -0.3333 : f16\n%s = arith.mulf %a, %d : f16\n"
    got = apply(body + "%r = arith.minimumf %s, %c : f16", [x], ["f16"], "f16")
    np.testing.assert_array_equal(got, x * np.float16(-0.3333))
    body = "%c = arith.constant dense<[1.0, -2.0, 0.5, 4.0]> : vector<4xbf16>\n%r = arith.addf %a, %c : {T}"
    b = x.astype(DTYPES["bf16"])
    got = apply(body, [b], ["bf16"], "bf16", 4)
    np.testing.assert_array_equal(got, b + np.array([1, -2, 0.5, 4], DTYPES["bf16"]))

"""IR that is printed and read again is the same IR, in pretty and in generic form, with its locations."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from xdsl.dialects import test
from xdsl.dialects.builtin import (
    DYNAMIC_INDEX,
    AffineMapAttr,
    ArrayAttr,
    CallSiteLoc,
    ComplexType,
    DenseArrayBase,
    DenseIntOrFPElementsAttr,
    DictionaryAttr,
    FileLineColLoc,
    FloatAttr,
    FunctionType,
    FusedLoc,
    IndexType,
    IntAttr,
    IntegerAttr,
    IntegerType,
    MemRefType,
    ModuleOp,
    NameLoc,
    NoneAttr,
    NoneType,
    Signedness,
    StridedLayoutAttr,
    StringAttr,
    SymbolRefAttr,
    TensorType,
    TupleType,
    UnitAttr,
    UnknownLoc,
    UnrankedTensorType,
    VectorType,
    bf16,
    f16,
    f32,
    f64,
)
from xdsl.ir import Attribute
from xdsl.ir.affine import AffineExpr, AffineMap
from xdsl.parser import Parser

from tests.models import all_models, model_case
from tests.unit.ir_equality import first_difference
from tests.unit.random_models import random_model
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.ir_printer import ir_text
from webdnn.dialects.kernel import ScheduleAttr
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.onnx_to_nn.registry import inlined_operators
from webdnn.passes import context
from webdnn.stages import STAGES, run_stages
from webdnn.targets import TARGETS

QUICK = ("magika",)
"""The models of every change: reading all IR of the others takes minutes."""

SEEDS = (0, 1)
"""Random models of every change."""


def _round_trip(module: ModuleOp, where: str) -> None:
    for generic in (False, True):
        read = IRParser(context(), ir_text(module, generic=generic)).parse_module()
        assert first_difference(module, read) is None, f"{where}, generic: {generic}"


def _at_every_stage(source: Path | ModelProto, shapes: Any, target: str) -> None:
    imported = load(source, shapes, inline=inlined_operators())
    module = imported.module
    attach_weights(module, imported.weights)
    stages = [stage.name for stage in STAGES[:-1]]
    _round_trip(module, stages[0])
    for start, stop in pairwise(stages):
        run_stages(module, start, stop, target)
        _round_trip(module, stop)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "name",
    [n if n in QUICK else pytest.param(n, marks=pytest.mark.nightly) for n in all_models()],
)
def test_models(name: str, target: str) -> None:
    case = model_case(name)
    _at_every_stage(case.path, case.shapes, target)


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize(
    "seed", [s if s in SEEDS else pytest.param(s, marks=pytest.mark.nightly) for s in range(40)]
)
def test_random_models(seed: int, target: str) -> None:
    _at_every_stage(random_model(seed), None, target)


def test_nothing_is_lost() -> None:
    text = (Path(__file__).parent / "everything.mlir").read_text()
    module = IRParser(context(), text).parse_module()
    module.verify()
    _round_trip(module, "everything")


def test_xdsl_still_needs_it() -> None:
    """What is corrected here is still wrong in xDSL: where this fails, a correction can go."""
    module = ModuleOp([])
    module.location = NameLoc(StringAttr("é"), NoneAttr())
    with pytest.raises(Exception, match="location"):
        Parser(context(), ir_text(module)).parse_module()


# --- random attributes ------------------------------------------------------------------------------------------

names = st.text(max_size=20)
sizes = st.integers(0, 5)
integer_types = st.builds(
    IntegerType, st.sampled_from((1, 7, 8, 16, 32, 64)), st.sampled_from(Signedness)
)
float_types = st.sampled_from((f16, bf16, f32, f64))
numbers = integer_types | float_types | st.just(IndexType())


def _with_memory_space(shape: list[int], element: Any, layout: Any, space: Any) -> MemRefType:
    return MemRefType(element, shape, layout, space)


shapes = st.lists(sizes | st.just(DYNAMIC_INDEX), max_size=4)
tensor_types = st.builds(lambda s, t: TensorType(t, s), shapes, numbers)
strided = st.lists(st.none() | st.integers(0, 99), min_size=2, max_size=2).flatmap(
    lambda strides: st.builds(
        StridedLayoutAttr, st.just(strides), st.none() | st.integers(0, 2**40)
    )
)
memref_types = st.builds(
    _with_memory_space,
    st.lists(sizes, min_size=2, max_size=2),
    numbers,
    st.just(NoneAttr()) | strided,
    st.just(NoneAttr()) | st.builds(lambda n: IntegerAttr(n, IntegerType(32)), sizes),
)
vector_types = st.lists(st.integers(1, 8), min_size=1, max_size=3).flatmap(
    lambda shape: st.builds(
        lambda t, flags: VectorType(t, shape, ArrayAttr(IntegerAttr.from_bool(f) for f in flags)),
        numbers,
        st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)),
    )
)
types = st.recursive(
    numbers
    | tensor_types
    | memref_types
    | vector_types
    | st.just(NoneType())
    | st.builds(ComplexType, float_types)
    | st.builds(UnrankedTensorType, numbers),
    lambda inner: (
        st.builds(lambda parts: TupleType(tuple(parts)), st.lists(inner, max_size=3))
        | st.builds(
            FunctionType.from_lists, st.lists(inner, max_size=3), st.lists(inner, max_size=3)
        )
    ),
    max_leaves=5,
)


def _integer(type: IntegerType) -> st.SearchStrategy[int]:
    low, high = type.value_range()
    return st.integers(low, high - 1)


def _floats(type: Any) -> st.SearchStrategy[float]:
    """Numbers that the type has: any bits, and often those that prints go wrong with."""
    bits = st.binary(min_size=type.compile_time_size, max_size=type.compile_time_size)
    often = st.sampled_from((0.0, -0.0, float("inf"), -float("inf"), 1.0, 0.1))
    some = st.builds(lambda raw: type.unpack(raw, 1)[0], bits)
    return some.filter(lambda x: x == x) | st.builds(
        lambda x: type.unpack(type.pack([x]), 1)[0], often
    )


def _dense(element: Any) -> st.SearchStrategy[Attribute]:
    of_one = _floats(element) if not isinstance(element, IntegerType) else _integer(element)
    return st.lists(st.integers(0, 12), max_size=3).flatmap(
        lambda shape: (
            st.builds(
                lambda values: DenseIntOrFPElementsAttr.from_list(
                    TensorType(element, shape), values
                ),
                st.lists(of_one, min_size=_count(shape), max_size=_count(shape)),
            )
            if _count(shape) <= 150
            else st.just(UnitAttr())
        )
    )


def _count(shape: list[int]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count


locations: st.SearchStrategy[Any] = st.recursive(
    st.just(UnknownLoc())
    | st.builds(lambda n: NameLoc(StringAttr(n), NoneAttr()), names)
    | st.builds(
        lambda n, line, column: FileLineColLoc(StringAttr(n), IntAttr(line), IntAttr(column)),
        names,
        sizes,
        sizes,
    ),
    lambda inner: (
        st.builds(lambda n, child: NameLoc(StringAttr(n), child), names, inner)
        | st.builds(CallSiteLoc, inner, inner)
        | st.builds(
            lambda parts, note: FusedLoc(tuple(parts), note),
            st.lists(inner, max_size=3),
            st.just(NoneAttr()) | st.builds(StringAttr, names),
        )
    ),
    max_leaves=5,
)


def _affine(dims: int) -> st.SearchStrategy[AffineMap]:
    expressions = st.recursive(
        st.builds(AffineExpr.dimension, st.integers(0, dims - 1))
        | st.builds(AffineExpr.constant, st.integers(-9, 9)),
        lambda inner: (
            st.builds(lambda a, b: a + b, inner, inner)
            | st.builds(lambda a, n: a * n, inner, st.integers(-9, 9))
            | st.builds(lambda a, n: a // n, inner, st.integers(1, 9))
            | st.builds(lambda a, n: a % n, inner, st.integers(1, 9))
        ),
        max_leaves=5,
    )
    return st.builds(lambda e: AffineMap(dims, 0, tuple(e)), st.lists(expressions, max_size=3))


attributes: st.SearchStrategy[Attribute] = st.recursive(
    st.builds(StringAttr, names)
    | st.just(UnitAttr())
    | types
    | integer_types.flatmap(lambda t: st.builds(IntegerAttr, _integer(t), st.just(t)))
    | float_types.flatmap(lambda t: st.builds(FloatAttr, _floats(t), st.just(t)))
    | (integer_types | float_types).flatmap(_dense)
    | st.builds(SymbolRefAttr, names.filter(bool), st.lists(names.filter(bool), max_size=2))
    | st.builds(AffineMapAttr, _affine(3))
    | st.sampled_from((f32, f64)).flatmap(
        lambda t: st.builds(
            lambda xs: DenseArrayBase.from_list(t, xs), st.lists(_floats(t), max_size=4)
        )
    )
    | st.sampled_from((IntegerType(8), IntegerType(64))).flatmap(
        lambda t: st.builds(
            lambda xs: DenseArrayBase.from_list(t, xs),
            st.lists(st.integers(-128, 127), max_size=4),
        )
    )
    | st.builds(
        ScheduleAttr.of,
        st.dictionaries(
            st.from_regex(r"[a-z_]+", fullmatch=True), names | sizes | st.lists(sizes), max_size=3
        ),
    ),
    lambda inner: (
        st.builds(ArrayAttr, st.lists(inner, max_size=3))
        | st.builds(DictionaryAttr, st.dictionaries(names, inner, max_size=3))
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(attributes)
def test_attributes(attribute: Attribute) -> None:
    op = test.TestOp(attributes={"test.value": attribute})
    _round_trip(ModuleOp([op]), str(attribute))


@settings(deadline=None)
@given(locations, names.filter(bool))
def test_locations_and_keys(location: Any, key: str) -> None:
    op = test.TestOp(attributes={key: UnitAttr()})
    op.location = location
    _round_trip(ModuleOp([op]), str(location))


@pytest.mark.parametrize(
    "name", ("é", '"', "\\", "\n", "\0", "\x1b[31m", "🙂", "a" * 1_000_000, "\\C3", "%s", "")
)
def test_names(name: str) -> None:
    module = ModuleOp([])
    module.location = NameLoc(StringAttr(name), NoneAttr())
    _round_trip(module, name[:9])

"""Builds kernels of level `kernels` for the tests of the lowering to GPU loops, and runs what they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.builder import Builder
from xdsl.dialects import tensor
from xdsl.dialects.builtin import IndexType, IntegerType, ModuleOp, TensorType, f16, f32, i1
from xdsl.dialects.linalg.ops import IndexOp
from xdsl.ir import Attribute, Block, Region, SSAValue
from xdsl.ir.affine import AffineExpr

from webdnn.dialects.kernel import FuncOp, ReturnOp, ScheduleAttr, SizeOp
from webdnn.dialects.numpy_meaning.kernel import run_kernel as run_meaning
from webdnn.dialects.sizes.expression import is_symbolic, unique_symbols
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.types import shape_of, size_of
from webdnn.engines.wgpu import run_kernel
from webdnn.lowering.loops_gpu.lower import lower_kernel
from webdnn.lowering.nn_to_linalg.region_builder import RegionBuilder, scalar_constant

Array = npt.NDArray[Any]

ELEMENTS: dict[str, Attribute] = {
    "float32": f32,
    "float16": f16,
    "bool": i1,
    **{f"{sign}int{n}": IntegerType(n) for n in (8, 16, 32) for sign in ("", "u")},
}


class Scalars:
    """Appends scalar ops to the body of a generic: `s(arith.AddfOp, x, y)`."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder

    def __call__(self, op: Any, *args: Any) -> SSAValue:
        return self.builder.insert(op(*args)).results[0]

    def constant(self, value: float, type: Attribute = f32) -> SSAValue:
        return scalar_constant(self.builder, value, type)

    def constant_index(self, value: int) -> SSAValue:
        return self.constant(value, IndexType())

    def size(self, value: int) -> SSAValue:
        """A size as a value of type index."""
        return self(SizeOp, value) if is_symbolic(value) else self.constant_index(value)

    def index(self, dim: int) -> SSAValue:
        return self(IndexOp, dim)

    def extract(self, source: SSAValue, indices: Sequence[SSAValue]) -> SSAValue:
        assert isinstance(source.type, TensorType)
        return self(tensor.ExtractOp, source, list(indices), source.type.element_type)


def tensor_type(array: Array) -> TensorType[Attribute]:
    """The tensor type of an array."""
    return TensorType(ELEMENTS[array.dtype.name], array.shape)


def make_kernel(
    arrays: Sequence[Array | Attribute],
    build: Callable[[RegionBuilder], SSAValue | Sequence[SSAValue]],
    schedule: dict[str, Any] | None = None,
) -> FuncOp:
    """A kernel whose inputs have the types of the arrays, or are of the types; `build` gives its results."""
    outer = Block(arg_types=[a if isinstance(a, Attribute) else tensor_type(a) for a in arrays])
    region = RegionBuilder(outer.args)
    results = build(region)
    results = [results] if isinstance(results, SSAValue) else list(results)
    region.builder.insert(ReturnOp(*results))
    block = region.block

    tensors = [*block.args, *(r for op in block.ops for r in op.results)]
    sizes = [n for v in tensors if isinstance(v.type, TensorType) for n in shape_of(v)]
    func = FuncOp(
        "k",
        ([a.type for a in block.args], [v.type for v in results]),
        Region(block),
        symbols=unique_symbols(sizes),
        schedule=None if schedule is None else ScheduleAttr.of(schedule),
    )
    func.verify()
    return func


def check(
    func: FuncOp,
    arrays: Sequence[Array],
    expected: Sequence[Array] | None = None,
    tolerance: float = 1e-5,
    sizes: Mapping[str, int] | None = None,
) -> FuncOp:
    """Compare a kernel on level `kernels`, its GPU loops in numpy, and its WGSL run by wgpu.

    Args:
        expected: what the kernel must give, if that is known from elsewhere.
        sizes: the values of its symbols.

    Returns:
        the lowered kernel.
    """
    func.verify()
    values = dict(sizes or {})
    numbers = [values[symbol.name] for symbol in func.symbols]
    reference = run_meaning(func, arrays, sizes=numbers)
    for actual, wanted in zip(reference, expected or [], strict=expected is not None):
        assert_close(actual, wanted, tolerance)
    lowered = lower_kernel(func.clone())
    module = ModuleOp([lowered])
    module.verify()
    lengths = [evaluate(size_of(type), values) for type in func.function_type.outputs]
    for run in (
        partial(run_meaning, lowered, arrays, sizes=numbers, lengths=lengths),
        partial(run_kernel, module, "k", arrays, sizes=values),
    ):
        for actual, wanted in zip(run(), reference, strict=True):
            assert_close(actual.reshape(wanted.shape), wanted, tolerance)
    return lowered


def assert_close(actual: Array, expected: Array, tolerance: float = 1e-5) -> None:
    """Equal up to `tolerance` of the range of the expected values."""
    assert actual.shape == expected.shape
    if expected.size == 0:
        return
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(actual, expected)
        return
    wanted, got = np.isfinite(expected), np.isfinite(actual)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(actual[~wanted], expected[~wanted])
    expected, actual = np.where(wanted, expected, 0), np.where(wanted, actual, 0)
    scale = max(float(np.abs(expected).max()), 1e-30)
    error = float(np.abs(actual.astype(np.float64) - expected).max()) / scale
    assert error <= tolerance, f"relative error {error}"


RNG = np.random.default_rng(5)


def floats(*shape: int) -> Array:
    """Random numbers of float32."""
    return RNG.standard_normal(shape).astype(np.float32)


def dim(position: int) -> AffineExpr:
    """A dimension of an iteration space."""
    return AffineExpr.dimension(position)


def binary(op: Any) -> Callable[[Builder, Sequence[SSAValue]], SSAValue]:
    """What builds an op from its operands."""
    return lambda b, args: b.insert(op(*args)).results[0]


def count(func: FuncOp, op: type) -> int:
    """How many ops of a class a kernel has."""
    return sum(isinstance(o, op) for o in func.walk())

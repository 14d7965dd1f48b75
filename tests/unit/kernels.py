"""Small kernels on level `kernels`, built in Python for the tests of the lowerings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from xdsl.builder import Builder
from xdsl.dialects import arith, math, tensor
from xdsl.dialects.builtin import (
    AffineMapAttr,
    ModuleOp,
    TensorType,
    f32,
)
from xdsl.dialects.linalg.attrs import IteratorTypeAttr
from xdsl.dialects.linalg.ops import FillOp, GenericOp, IndexOp, YieldOp
from xdsl.ir import Attribute, Block, Operation, Region, SSAValue
from xdsl.ir.affine import AffineConstantExpr, AffineDimExpr, AffineExpr, AffineMap
from xdsl.rewriter import InsertPoint

from webdnn.dialects.dtypes import Array
from webdnn.dialects.kernel import FuncOp, ReturnOp
from webdnn.dialects.numpy_meaning.arith import dtype_of
from webdnn.dialects.numpy_meaning.kernel import run_kernel
from webdnn.dialects.numpy_meaning.loops import run_loops
from webdnn.dialects.sizes.expression import unique_symbols
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.types import (
    concrete_shape,
    element_of,
    shape_of,
    symbols_bound,
    tensor_type,
)
from webdnn.engines.wasmtime import KernelInstance, kernel_wasm
from webdnn.engines.wasmtime import run_kernel as run_in_wasmtime
from webdnn.lowering.loops_cpu.distribute import distribute
from webdnn.lowering.loops_cpu.lower import lower_kernel
from webdnn.lowering.nn_to_linalg.region_builder import scalar_constant

Dims = Sequence[AffineExpr | int]
Body = Callable[["Scalars", Sequence[SSAValue]], Sequence[SSAValue] | SSAValue]


class Scalars:
    """Appends scalar ops to the body of a generic: `s(arith.AddfOp, a, b)`."""

    def __init__(self, block: Block) -> None:
        self.builder = Builder(InsertPoint.at_end(block))

    def __call__(self, op: Any, *operands: Any, **kwargs: Any) -> SSAValue:
        return self.builder.insert(op(*operands, **kwargs)).results[0]

    def const(self, value: float, type: Attribute = f32) -> SSAValue:
        return scalar_constant(self.builder, value, type)

    def index(self, dim: int) -> SSAValue:
        return self.builder.insert(IndexOp(dim)).result

    def extract(self, source: SSAValue, *indices: SSAValue) -> SSAValue:
        assert isinstance(source.type, TensorType)
        op = tensor.ExtractOp(source, list(indices), source.type.element_type)
        return self.builder.insert(op).result


class Kernel:
    """Builds a `kernel.func`.

    k = Kernel("matmul", [[4, 8], [8, 5]])
    a, b = k.args
    """

    def __init__(
        self, name: str, shapes: Sequence[Sequence[int] | tuple[Sequence[int], Attribute]]
    ) -> None:
        self.name = name
        types: list[Attribute] = []
        for s in shapes:
            match s:
                case (Sequence() as shape, Attribute() as element):
                    types.append(tensor_type(element, shape))
                case _:
                    types.append(tensor_type(f32, s))
        self.block = Block(arg_types=types)
        self.args = list(self.block.args)

    def add(self, op: Operation) -> Operation:
        self.block.add_op(op)
        return op

    def const(self, value: float, type: Attribute = f32) -> SSAValue:
        return scalar_constant(Builder(InsertPoint.at_end(self.block)), value, type)

    def empty(self, shape: Sequence[int], type: Attribute = f32) -> SSAValue:
        return self.add(tensor.EmptyOp([], tensor_type(type, shape))).results[0]

    def fill(self, shape: Sequence[int], value: float, type: Attribute = f32) -> SSAValue:
        c = self.const(value, type)
        return self.add(FillOp([c], [self.empty(shape, type)])).results[0]

    def generic(
        self,
        ins: Sequence[tuple[SSAValue, Dims]],
        outs: Sequence[tuple[SSAValue, Dims]],
        iterators: str,
        body: Body,
    ) -> Any:
        """`iterators` has a letter for each dimension: p (parallel) or r (reduction)."""
        rank = len(iterators)

        def map_of(dims: Dims) -> AffineMapAttr:
            exprs = tuple(AffineConstantExpr(d) if isinstance(d, int) else d for d in dims)
            return AffineMapAttr(AffineMap(rank, 0, exprs))

        operands = [*ins, *outs]
        block = Block(arg_types=[element_of(v) for v, _ in operands])
        result = body(Scalars(block), block.args)
        results = [result] if isinstance(result, SSAValue) else list(result)
        block.add_op(YieldOp(*results))
        kinds = [
            IteratorTypeAttr.parallel() if c == "p" else IteratorTypeAttr.reduction()
            for c in iterators
        ]
        op = GenericOp(
            [v for v, _ in ins],
            [v for v, _ in outs],
            Region(block),
            [map_of(d) for _, d in operands],
            kinds,
            [v.type for v, _ in outs],
        )
        self.add(op)
        return op.results[0] if len(op.results) == 1 else list(op.results)

    def elementwise(
        self, ins: Sequence[SSAValue], body: Body, type: Attribute | None = None
    ) -> Any:
        """Operands of one shape, or of one that broadcasts to the first's."""
        shape = list(shape_of(ins[0]))
        rank = len(shape)
        d = dims(rank)

        def at(value: SSAValue) -> Dims:
            mine = shape_of(value)
            first = rank - len(mine)
            return [
                0 if n == 1 and shape[first + i] != 1 else d[first + i] for i, n in enumerate(mine)
            ]

        out = self.empty(shape, type or element_of(ins[0]))
        return self.generic([(v, at(v)) for v in ins], [(out, d)], "p" * rank, body)

    def done(self, *results: SSAValue) -> FuncOp:
        self.block.add_op(ReturnOp(*results))
        func = FuncOp(
            self.name,
            ([a.type for a in self.block.args], [r.type for r in results]),
            Region(self.block),
            symbols=unique_symbols(
                size for value in (*self.block.args, *results) for size in shape_of(value)
            ),
        )
        func.verify()
        return func


def dims(count: int) -> list[AffineExpr]:
    """The first `count` dimensions."""
    return [AffineDimExpr(i) for i in range(count)]


def madd(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
    """`acc + x * w`."""
    return s(arith.AddfOp, a[2], s(arith.MulfOp, a[0], a[1]))


def relu(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
    return s(arith.MaximumfOp, a[0], s.const(0.0))


def bias_relu(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
    """`max(x + b, 0)`."""
    return s(arith.MaximumfOp, s(arith.AddfOp, a[0], a[1]), s.const(0.0))


def matmul(m: int, n: int, k: int, *, epilogue: bool = True, name: str = "matmul") -> FuncOp:
    """`relu(A[m, k] @ B[k, n] + bias[n])`."""
    kernel = Kernel(name, [[m, k], [k, n], [n]])
    a, b, bias = kernel.args
    i, j, p = dims(3)
    c = kernel.generic(
        [(a, [i, p]), (b, [p, j])], [(kernel.fill([m, n], 0.0), [i, j])], "ppr", madd
    )
    return kernel.done(kernel.elementwise([c, bias], bias_relu) if epilogue else c)


def batched_matmul_bt(b: int, m: int, n: int, k: int) -> FuncOp:
    """`A[b, m, k] @ B[b, n, k]^T`."""
    kernel = Kernel("matmul_bt", [[b, m, k], [b, n, k]])
    d, i, j, p = dims(4)
    out = kernel.fill([b, m, n], 0.0)
    return kernel.done(
        kernel.generic(
            [(kernel.args[0], [d, i, p]), (kernel.args[1], [d, j, p])],
            [(out, [d, i, j])],
            "pppr",
            madd,
        )
    )


def conv(
    spatial: Sequence[int],
    c: int,
    m: int,
    window: Sequence[int],
    *,
    n: int = 1,
    stride: int = 1,
    dilation: int = 1,
    groups: int = 1,
    epilogue: bool = True,
    name: str = "conv",
) -> FuncOp:
    """A convolution of any rank in `N, spatial..., C` with filters `spatial..., C/group, M`, bias and
    relu; no padding."""
    rank = len(spatial)
    out = [(s - (w - 1) * dilation - 1) // stride + 1 for s, w in zip(spatial, window, strict=True)]
    kernel = Kernel(name, [[n, *spatial, c], [*window, c // groups, m], [m]])
    x, w, bias = kernel.args
    o = kernel.fill([n, *out, m], 0.0)
    if groups == 1:
        d = dims(2 * rank + 3)
        image, ys, mm, ks, cc = d[0], d[1 : rank + 1], d[rank + 1], d[rank + 2 : -1], d[-1]
        at = [y * stride + k * dilation for y, k in zip(ys, ks, strict=True)]
        r = kernel.generic(
            [(x, [image, *at, cc]), (w, [*ks, cc, mm])],
            [(o, [image, *ys, mm])],
            "p" * (rank + 2) + "r" * (rank + 1),
            madd,
        )
    elif groups == c == m:
        d = dims(2 * rank + 2)
        image, ys, mm, ks = d[0], d[1 : rank + 1], d[rank + 1], d[rank + 2 :]
        at = [y * stride + k * dilation for y, k in zip(ys, ks, strict=True)]
        r = kernel.generic(
            [(x, [image, *at, mm]), (w, [*ks, 0, mm])],
            [(o, [image, *ys, mm])],
            "p" * (rank + 2) + "r" * rank,
            madd,
        )
    else:
        per, each = m // groups, c // groups
        d = dims(2 * rank + 4)
        image, ys, g, mm, ks, cc = (
            d[0],
            d[1 : rank + 1],
            d[rank + 1],
            d[rank + 2],
            d[rank + 3 : -1],
            d[-1],
        )
        at = [y * stride + k * dilation for y, k in zip(ys, ks, strict=True)]
        kernel = Kernel(
            name, [[n, *spatial, groups, each], [*window, each, groups, per], [groups, per]]
        )
        x, w, bias = kernel.args
        o = kernel.fill([n, *out, groups, per], 0.0)
        r = kernel.generic(
            [(x, [image, *at, g, cc]), (w, [*ks, cc, g, mm])],
            [(o, [image, *ys, g, mm])],
            "p" * (rank + 3) + "r" * (rank + 1),
            madd,
        )
    return kernel.done(kernel.elementwise([r, bias], bias_relu) if epilogue else r)


def max_pool(h: int, w: int, c: int, k: int, stride: int) -> FuncOp:
    """A max pool of k x k in `1, H, W, C`."""
    kernel = Kernel("max_pool", [[1, h, w, c], [k, k]])
    oh, ow = (h - k) // stride + 1, (w - k) // stride + 1
    n, y, x, m, ky, kx = dims(6)
    out = kernel.fill([1, oh, ow, c], -3.4e38)
    return kernel.done(
        kernel.generic(
            [
                (kernel.args[0], [n, y * stride + ky, x * stride + kx, m]),
                (kernel.args[1], [ky, kx]),
            ],
            [(out, [n, y, x, m])],
            "pppprr",
            lambda s, a: s(arith.MaximumfOp, a[2], a[0]),
        )
    )


def softmax(shape: Sequence[int]) -> FuncOp:
    """Over the last axis."""
    kernel = Kernel("softmax", [shape])
    x = kernel.args[0]
    rank = len(shape)
    d = dims(rank)
    rows = list(shape[:-1])
    kinds = "p" * (rank - 1) + "r"
    top = kernel.generic(
        [(x, d)],
        [(kernel.fill(rows, -3.4e38), d[:-1])],
        kinds,
        lambda s, a: s(arith.MaximumfOp, a[1], a[0]),
    )
    e = kernel.generic(
        [(x, d), (top, d[:-1])],
        [(kernel.empty(shape), d)],
        "p" * rank,
        lambda s, a: s(math.ExpOp, s(arith.SubfOp, a[0], a[1])),
    )
    total = kernel.generic(
        [(e, d)],
        [(kernel.fill(rows, 0.0), d[:-1])],
        kinds,
        lambda s, a: s(arith.AddfOp, a[1], a[0]),
    )
    return kernel.done(
        kernel.generic(
            [(e, d), (total, d[:-1])],
            [(kernel.empty(shape), d)],
            "p" * rank,
            lambda s, a: s(arith.DivfOp, a[0], a[1]),
        )
    )


def norm(shape: Sequence[int], axes: Sequence[int]) -> FuncOp:
    """`(x - mean) / sqrt(var + 1e-5) * scale + shift` over `axes`; scale and shift have the last axis's
    size."""
    kernel = Kernel("norm", [shape, [shape[-1]], [shape[-1]]])
    x, scale, shift = kernel.args
    rank = len(shape)
    d = dims(rank)
    rest = [i for i in range(rank) if i not in axes]
    kept = [shape[i] for i in rest]
    at = [d[i] for i in rest]
    count = float(np.prod([shape[i] for i in axes]))
    kinds = "".join("r" if i in axes else "p" for i in range(rank))

    def mean_of(value: SSAValue) -> SSAValue:
        total = kernel.generic(
            [(value, d)],
            [(kernel.fill(kept, 0.0), at)],
            kinds,
            lambda s, a: s(arith.AddfOp, a[1], a[0]),
        )
        return kernel.elementwise([total], lambda s, a: s(arith.MulfOp, a[0], s.const(1 / count)))

    mean = mean_of(x)
    centred = kernel.generic(
        [(x, d), (mean, at)],
        [(kernel.empty(shape), d)],
        "p" * rank,
        lambda s, a: s(arith.SubfOp, a[0], a[1]),
    )
    square = kernel.elementwise([centred], lambda s, a: s(arith.MulfOp, a[0], a[0]))
    var = mean_of(square)

    def finish(s: Scalars, a: Sequence[SSAValue]) -> SSAValue:
        dev = s(math.SqrtOp, s(arith.AddfOp, a[1], s.const(1e-5)))
        return s(arith.AddfOp, s(arith.MulfOp, s(arith.DivfOp, a[0], dev), a[2]), a[3])

    return kernel.done(
        kernel.generic(
            [(centred, d), (var, at), (scale, [d[-1]]), (shift, [d[-1]])],
            [(kernel.empty(shape), d)],
            "p" * rank,
            finish,
        )
    )


def transpose(shape: Sequence[int], permutation: Sequence[int]) -> FuncOp:
    kernel = Kernel("transpose", [shape])
    d = dims(len(shape))
    out = kernel.empty([shape[p] for p in permutation])
    source = [d[list(permutation).index(i)] for i in range(len(shape))]
    return kernel.done(
        kernel.generic([(kernel.args[0], source)], [(out, d)], "p" * len(shape), lambda s, a: a[0])
    )


def random_inputs(func: FuncOp, seed: int = 0) -> list[Array]:
    """Inputs of a kernel of floats, integers (small ones, not negative) and truth values."""
    rng = np.random.default_rng(seed)
    arrays: list[Array] = []
    for type in func.function_type.inputs:
        assert isinstance(type, TensorType)
        dtype, shape = dtype_of(type), concrete_shape(type)
        if dtype.kind == "f":
            arrays.append(rng.standard_normal(shape).astype(dtype))
        else:
            arrays.append(rng.integers(0, 2 if dtype.kind == "b" else 5, shape).astype(dtype))
    return arrays


def check(func: FuncOp, *, inputs: Sequence[Array] | None = None, wasm: bool = True) -> FuncOp:
    """Lower a kernel, and compare its meaning with that of its loops and with WebAssembly in wasmtime.

    The tolerance is 1e-5 of the range of each output; what is not a float must be equal.

    Returns:
        The lowered kernel.
    """
    if inputs is None:
        inputs = random_inputs(func)
    wanted = run_kernel(func, inputs)
    module = ModuleOp([lower_kernel(func)])
    module.verify()
    (lowered,) = [op for op in module.ops if isinstance(op, FuncOp)]
    compare(run_kernel(lowered, inputs), wanted)
    if wasm:
        outputs = [(w.shape, w.dtype) for w in wanted]
        compare(run_in_wasmtime(module, func.sym_name.data, inputs, outputs), wanted)
    return lowered


def check_at(
    func: FuncOp, *points: Sequence[int], wasm: bool = True, shared: bool = False
) -> FuncOp:
    """`check` for a kernel with sizes, which is lowered and compiled once and run with each of `points` as its sizes.

    Args:
        shared: two calls share the work.

    Returns:
        The lowered kernel.
    """
    lowered = lower_kernel(func)
    if shared:
        assert distribute(lowered, 1, 1)
    module = ModuleOp([lowered])
    module.verify()
    compiled = kernel_wasm(module, func.sym_name.data) if wasm else b""
    for point in points:
        values = {s.name: n for s, n in zip(func.symbols, point, strict=True)}
        with symbols_bound(values):
            inputs = random_inputs(func)
        wanted = run_kernel(func, inputs, sizes=point)
        work = evaluate(lowered.work_size, values)
        parts = [(0, work // 3), (work // 3, work)] if shared else [None]
        memories = [a.reshape(-1) for a in (*inputs, *map(np.zeros_like, wanted))]
        for part in parts:
            run_loops(lowered, memories, part, sizes=point)
        compare(memories[len(inputs) :], wanted)
        if wasm:
            arrays = [*inputs, *(np.full_like(w, 1) for w in wanted)]
            name = func.sym_name.data
            instance = KernelInstance(module, name, arrays, sizes=point, wasm=compiled)
            for part in parts:
                instance(part)
            found = [instance.read(len(inputs) + i, w) for i, w in enumerate(wanted)]
            compare(found, wanted)
    return lowered


def compare(found: Sequence[Array], wanted: Sequence[Array]) -> None:
    """Raise an AssertionError where outputs differ by more than 1e-5 of their range."""
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype
        if b.dtype.kind != "f":
            np.testing.assert_array_equal(a.reshape(b.shape), b)
            continue
        finite = b[np.isfinite(b)]
        largest = float(np.abs(finite).max()) if finite.size else 1.0
        tolerance = 1e-3 if b.dtype == np.float16 else 1e-5
        np.testing.assert_allclose(
            a.reshape(b.shape).astype(np.float64), b.astype(np.float64), 0, tolerance * largest
        )

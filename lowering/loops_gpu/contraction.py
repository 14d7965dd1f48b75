"""Strategy `contraction`: matrix products, batched ones and convolutions as implicit matrix products.

`sum over k of a(m, k) * b(k, n)`, where m, n and k each stand for several dims of the kernel, and `a` and `b` are any
expressions. A workgroup computes a block of the outputs, an invocation a register tile of `tile[0]` rows times
`tile[1]` columns as vectors along n. The blocks of `a` and `b` go through workgroup memory, or come straight from
storage (`memory = "none"`: software adapters are slow at barriers). What follows the product (bias,
activation, residual) is computed on the tile before it is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod

from xdsl.dialects import arith
from xdsl.ir import SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.sizes.expression import is_symbolic
from webdnn.dialects.sizes.questions import divides, is_known
from webdnn.lowering.loops_common.emitter import vector_type
from webdnn.lowering.loops_common.expression import Apply, Node, Reduction, reductions
from webdnn.lowering.loops_common.linear import Dim, Lin, volume
from webdnn.lowering.loops_gpu.combine import needs_init
from webdnn.lowering.loops_gpu.evaluate import (
    InvocationEvaluator,
    is_vector_access,
    is_word,
    memory,
)
from webdnn.lowering.loops_gpu.kernel_builder import KernelBuilder, ceil_div
from webdnn.lowering.loops_gpu.read_kernel import Output
from webdnn.lowering.loops_gpu.strategy import Contraction
from webdnn.lowering.loops_gpu.tiles import WIDTH, Axis, Place, Source, Tile

_Step = Callable[[Place, Sequence[SSAValue]], Sequence[SSAValue]]


@dataclass
class Product:
    """A kernel read as `sum over k of a(batch, m, k) * b(batch, k, n)`.

    The outputs' innermost dim is the last of `n` if it can be.
    """

    reduction: Reduction
    a: Node
    b: Node
    batch: tuple[Dim, ...]
    m: tuple[Dim, ...]
    n: tuple[Dim, ...]

    @property
    def k(self) -> tuple[Dim, ...]:
        return self.reduction.dims


def as_product(outputs: Sequence[Output]) -> Product | None:
    """The product that a kernel computes, or None if it is not one (or has no rows or no columns)."""
    found = reductions([o.value for o in outputs])
    if (
        len(found) != 1
        or len(found[0].dims) == 0
        or any(o.dims != outputs[0].dims for o in outputs)
    ):
        return None
    (reduction,) = found
    factors = _factors(reduction)
    if factors is None:
        return None
    a, b = factors
    dims = outputs[0].dims
    only_a = tuple(d for d in dims if d in a.dims and d not in b.dims)
    only_b = tuple(d for d in dims if d in b.dims and d not in a.dims)
    if only_a and (not only_b or only_a[-1] is dims[-1]):
        a, b, only_a, only_b = b, a, only_b, only_a
    if not only_b:
        return None
    batch = tuple(d for d in dims if d not in only_a and d not in only_b)
    return Product(reduction, a, b, batch, only_a, only_b)


def _factors(reduction: Reduction) -> tuple[Node, Node] | None:
    """`x` and `y` of a reduction whose update is `x * y + accumulator`."""
    if len(reduction.updates) != 1 or not is_word(reduction.updates[0].type):
        return None
    (update,), (accumulator,) = reduction.updates, reduction.accumulators
    if not isinstance(update, Apply) or not isinstance(update.op, arith.AddfOp | arith.AddiOp):
        return None
    others = [n for n in update.operands if n is not accumulator]
    if len(others) != 1 or not isinstance(product := others[0], Apply):
        return None
    if not isinstance(product.op, arith.MulfOp | arith.MuliOp):
        return None
    x, y = product.operands
    return x, y


def lower_contraction(func: FuncOp, outputs: Sequence[Output], strategy: Contraction) -> FuncOp:
    """The kernel by register tiles.

    Raises:
        WebDNNError: the kernel is not a product, or its schedule is not possible.
    """
    product = as_product(outputs)
    if product is None:
        raise WebDNNError(
            "the strategy 'contraction' needs one sum of products",
            where=func.sym_name.data,
            hint="strategy 'pointwise' fits every kernel",
        )
    return _Lowering(func, outputs, product, strategy).run()


class _Lowering:
    def __init__(
        self, func: FuncOp, outputs: Sequence[Output], product: Product, strategy: Contraction
    ) -> None:
        self.outputs = outputs
        self.product = product
        self.tile_m, self.tile_n = strategy.tile
        self.groups_m, self.groups_n = strategy.workgroup
        self.split = strategy.split
        self.first_row = Lin()
        self.unroll = strategy.unroll
        self.staged = strategy.memory == "workgroup"
        self.vectors_n = ceil_div(self.tile_n, WIDTH)
        self.m = Axis(product.m, self.tile_m * self.groups_m, run=self.tile_m // self.split)
        self.n = Axis(product.n, self.vectors_n * WIDTH * self.groups_n)
        self.k = Axis(product.k, self.k_block(strategy), self.split, summed=True)
        self.builder = KernelBuilder(func, outputs, [self.groups_n, self.groups_m, self.split])
        self.emit = self.builder.emitter
        (update,) = product.reduction.updates
        assert isinstance(update, Apply)
        is_float = isinstance(update.op, arith.AddfOp)
        self.add = arith.AddfOp if is_float else arith.AddiOp
        self.multiply = arith.MulfOp if is_float else arith.MuliOp

    def k_block(self, strategy: Contraction) -> int:
        """How much of k is taken at a time: without workgroup memory, what divides the innermost dim."""
        if self.staged:
            return strategy.k
        inner = self.product.k[-1].size
        return next(step for step in (4, 2, 1) if divides(step, inner))

    def run(self) -> FuncOp:
        builder, emit, product = self.builder, self.emit, self.product
        batches = volume(product.batch)
        if batches * self.m.size * self.n.size == 0:
            builder.empty_grid()
            return builder.finish()
        counts = (batches, ceil_div(self.m.size, self.m.block), ceil_div(self.n.size, self.n.block))
        batch, block_m, block_n = builder.grid_of(*counts)
        self.in_range: SSAValue | None = None
        if not builder.grid_is_exact:
            # Workgroups without a block must come to the barriers too: they compute the last batch again.
            self.in_range = emit.less(batch, batches)
            batch = emit.clamp(batch, batches - 1)
        indices = emit.delinearize(batch, [d.size for d in product.batch])
        self.evaluator = InvocationEvaluator(emit, dict(zip(product.batch, indices, strict=True)))
        self.thread_n, self.thread_m, self.part = (builder.thread(axis) for axis in range(3))
        self.at_m = Place(block_m * self.m.block, Lin())
        self.at_n = Place(block_n * self.n.block, Lin())
        self.a = Source(self.evaluator, product.a, self.m, self.k)
        self.b = Source(self.evaluator, product.b, self.k, self.n)
        zero = emit.number(0, vector_type(product.reduction.inits[0].type, WIDTH))
        results = self.over_k([zero] * (self.tile_m * self.vectors_n))
        if self.split > 1:
            results = self.add_parts(results)
        self.epilogue(results)
        return builder.finish()

    # The sum

    def over_k(self, running: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """The register tile, summed over all of k."""
        step = self.staged_step() if self.staged else self.direct_step
        block = self.k.block
        if not divides(self.k.step, self.k.dims[-1].size):

            def flat(at: Lin, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
                return step(Place((at * self.split + self.part) * block, Lin()), values)

            return self.emit.for_loop(0, ceil_div(self.k.size, self.k.step), 1, running, flat)

        def nest(outer: tuple[Lin, ...], values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            # One loop for each dim of k, so that no index needs a division.
            dim = self.k.dims[len(outer)]
            innermost = len(outer) == len(self.k.dims) - 1

            def body(at: Lin, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
                if innermost:
                    return step(Place(Lin(), Lin(), (*outer, at + self.part * block)), values)
                return nest((*outer, at), values)

            step_size = self.k.step if innermost else 1
            steps = dim.size // step_size
            inner = prod(d.size for d in self.k.dims[len(outer) + 1 :])
            if not innermost:
                inner //= self.k.step
            unroll = max(
                u
                for u in range(1, (self.unroll if is_symbolic(steps) else steps) + 1)
                if u == 1 or (divides(u, steps) and is_known(u * inner, lambda n: n <= self.unroll))
            )

            def several(at: Lin, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
                for i in range(unroll):
                    values = body(at + i * step_size, values)
                return values

            return self.emit.for_loop(0, dim.size, step_size * unroll, values, several)

        return nest((), running)

    def staged_step(self) -> _Step:
        """One block of k through workgroup memory."""
        emit = self.emit
        invocations = self.groups_m * self.groups_n
        invocation = self.thread_m * self.groups_n + self.thread_n
        sizes = self.m.block * self.k.block, self.n.block * self.k.block
        memories, starts = self.tile_memory(sizes)
        tile_a, tile_b = (
            Tile(source, memory, start, invocations, invocation)
            for source, memory, start in zip((self.a, self.b), memories, starts, strict=True)
        )

        def inner(at: Lin, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            rows = [tile_a.read(self.thread_m * self.tile_m + i, at) for i in range(self.tile_m)]
            columns = [
                [tile_b.read(at + kk, self.column(j)) for j in range(self.vectors_n)]
                for kk in range(WIDTH)
            ]
            return self.multiply_add(rows, columns, values)

        def step(at_k: Place, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            fetched_a, fetched_b = tile_a.fetch(self.at_m, at_k), tile_b.fetch(at_k, self.at_n)
            emit.barrier()  # all have read the block before
            tile_a.put(fetched_a)
            tile_b.put(fetched_b)
            emit.barrier()
            return emit.for_loop(0, self.k.block, WIDTH, values, inner)

        return step

    def tile_memory(self, sizes: tuple[int, int]) -> tuple[list[SSAValue], list[Lin]]:
        """Workgroup memory for the blocks of both matrices, and where this invocation's blocks begin in it."""
        type = self.product.a.type
        if self.split == 1:
            return [self.emit.workgroup_memory(type, size) for size in sizes], [Lin(), Lin()]
        # One memory for all blocks, because the parts are added up in it afterwards.
        block = sum(sizes)
        count = max(block, self.tile_m * self.vectors_n * WIDTH * self.groups_m * self.groups_n)
        self.memory = self.emit.workgroup_memory(type, count * self.split)
        return [self.memory, self.memory], [self.part * block, self.part * block + sizes[0]]

    def add_parts(self, results: Sequence[SSAValue]) -> list[SSAValue]:
        """The sums of the parts; each part gets the rows of the register tile that it will store."""
        emit = self.emit
        invocations = self.groups_m * self.groups_n
        invocation = self.thread_m * self.groups_n + self.thread_n

        def place(vector: Lin | int, part: Lin | int) -> Lin:
            return ((Lin.of(vector) * self.split + part) * invocations + invocation) * WIDTH

        emit.barrier()  # all have read the last blocks
        for i, value in enumerate(results):
            emit.store(value, self.memory, place(i, self.part))
        emit.barrier()
        self.tile_m //= self.split
        self.first_row = self.part * self.tile_m
        sums: list[SSAValue] = []
        for i in range(self.tile_m * self.vectors_n):
            vector = self.first_row * self.vectors_n + i
            values = [
                emit.load(self.memory, place(vector, p), WIDTH, depth=None)
                for p in range(self.split)
            ]
            total = values[0]
            for value in values[1:]:
                total = emit.binary(self.add, total, value)
            sums.append(total)
        return sums

    def direct_step(self, at_k: Place, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
        """A few places of k, straight from storage."""
        step = self.k.block
        with self.evaluator.forget():
            first = self.at_m + self.thread_m * self.tile_m
            places = [self.row(first, i) for i in range(self.tile_m)]
            if step != WIDTH:
                rows = [
                    self.emit.pack([self.a.element(place, at_k + kk) for kk in range(step)])
                    if step > 1
                    else self.a.element(place, at_k)
                    for place in places
                ]
            elif self.a.along_rows and self.tile_m % WIDTH == 0:
                rows = [
                    row
                    for i in range(0, self.tile_m, WIDTH)
                    for row in self.a.square(first + i, at_k)
                ]
            else:
                rows = [self.a.vector(place, at_k) for place in places]
            columns: list[list[SSAValue]] = [[] for _ in range(step)]
            for j in range(self.vectors_n):
                at_n = self.at_n + self.column(j)
                if step == WIDTH:
                    vectors = self.b.square(at_k, at_n)
                else:
                    vectors = [self.b.vector(at_k + kk, at_n) for kk in range(step)]
                for kk, value in enumerate(vectors):
                    columns[kk].append(value)
            return self.multiply_add(rows, columns, values)

    def multiply_add(
        self,
        rows: Sequence[SSAValue],
        columns: Sequence[Sequence[SSAValue]],
        values: Sequence[SSAValue],
    ) -> list[SSAValue]:
        """Add to the register tile: `rows[i]` holds some places of k, `columns[k][j]` vectors along n."""
        emit, result = self.emit, list(values)
        for kk, vectors in enumerate(columns):
            for i, row in enumerate(rows):
                factor = emit.splat(emit.lane(row, kk), WIDTH)
                for j, vector in enumerate(vectors):
                    at = i * self.vectors_n + j
                    term = emit.binary(self.multiply, factor, vector)
                    result[at] = emit.binary(self.add, term, result[at])
        return result

    def row(self, first: Place, number: int) -> Place:
        """A row of the register tile that begins at `first`."""
        return first.along_run(number) if self.m.run > 1 else first + number

    def column(self, vector: int) -> Lin:
        """Where a vector of this invocation lies in the block: neighbouring invocations have neighbouring vectors."""
        return self.thread_n * WIDTH + vector * WIDTH * self.groups_n

    # The outputs

    def epilogue(self, results: Sequence[SSAValue]) -> None:
        """Compute the outputs from the register tile and store them."""
        emit = self.emit
        for j in range(self.vectors_n):
            at_n = self.at_n + self.column(j)
            columns = emit.below(at_n.flat, self.n.size) if self.n.ragged else None

            def rows(j: int = j, at_n: Place = at_n) -> None:
                for i in range(self.tile_m):
                    first = self.thread_m * (self.tile_m * self.split) + self.first_row
                    at_m = self.row(self.at_m + first, i)
                    inside = emit.below(at_m.flat, self.m.size) if self.m.ragged else None
                    value = results[i * self.vectors_n + j]
                    self.builder.when(inside, partial(self.store_vector, at_m, at_n, value))

            self.builder.when(emit.both(self.in_range, columns), rows)

    def store_vector(self, at_m: Place, at_n: Place, value: SSAValue) -> None:
        """Four elements of a row of each output."""
        emit, evaluator = self.emit, self.evaluator
        with evaluator.forget():
            evaluator.bind(self.m.dims, self.m.indices(emit, at_m))
            if self.n.has_vectors:
                evaluator.bind(self.n.dims, self.n.indices(emit, at_n))
                with evaluator.vectors(self.n.dims[-1], WIDTH):
                    self.store(value)
                return
            for i in range(WIDTH):
                at = at_n + i
                if at.flat.is_const and is_known(self.n.size - at.flat.const, lambda n: n <= 0):
                    break
                inside = emit.below(at.flat, self.n.size) if i and self.n.ragged else None
                self.builder.when(inside, partial(self.store_lane, at, emit.lane(value, i)))

    def store_lane(self, at_n: Place, value: SSAValue) -> None:
        """One element of each output."""
        with self.evaluator.forget():
            self.evaluator.bind(self.n.dims, self.n.indices(self.emit, at_n))
            self.store(value)

    def store(self, total: SSAValue) -> None:
        """The outputs where the evaluator stands, given the sum of products there."""
        emit, evaluator, reduction = self.emit, self.evaluator, self.product.reduction
        (init,), width = reduction.inits, evaluator.width
        if needs_init(self.add, init):
            total = emit.binary(self.add, total, emit.splat(evaluator.packed(init), width))
        evaluator.define(reduction, [total], width)
        values = [emit.splat(evaluator.packed(o.value), width) for o in self.outputs]
        for output, value in zip(self.outputs, values, strict=True):
            target, offset = memory(output), evaluator.uniform(output.at)
            lane = evaluator.lane
            if lane is None or is_vector_access(output, lane):
                emit.store(value, target, offset)
                continue
            stride = output.at.coefficient(lane)
            for i in range(width):
                emit.store(emit.lane(value, i), target, offset + stride * i)

"""Emits loops, branches, index arithmetic, accesses to memory and vectors."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from xdsl.dialects import arith, memref, scf, vector
from xdsl.dialects.builtin import (
    FloatAttr,
    IntegerAttr,
    MemRefType,
    VectorType,
)
from xdsl.ir import Attribute, Block, Operation, SSAValue

from webdnn.dialects.sizes.arithmetic import compute
from webdnn.dialects.sizes.expression import Size, Symbol, is_symbolic, maximum
from webdnn.dialects.sizes.questions import is_known
from webdnn.lowering.loops_common.linear import Atom, Lin, is_negative
from webdnn.lowering.loops_common.placing import Placer, index
from webdnn.lowering.value_notation import constant_attribute


class SizeArithmetic:
    """Sizes as values of type index, for `compute`; equal ones are shared.

    Args:
        symbols: the values of symbols.
    """

    def __init__(self, placer: Placer, symbols: Mapping[Symbol, SSAValue]) -> None:
        self._placer = placer
        self._symbols = symbols

    def number(self, value: int) -> SSAValue:
        return self._placer.constant_index(value)

    def symbol(self, symbol: Symbol) -> SSAValue:
        return self._symbols[symbol]

    def add(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._placer.binary(arith.AddiOp, a, b)

    def subtract(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._placer.binary(arith.SubiOp, a, b)

    def multiply(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._placer.binary(arith.MuliOp, a, b)

    def divide(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._placer.binary(arith.DivUIOp, a, b)

    def maximum(self, a: SSAValue, b: SSAValue) -> SSAValue:
        return self._placer.binary(arith.MaxSIOp, a, b)


class Emitter(Placer):
    """Builds the body of one lowered kernel.

    Args:
        block: the kernel's block.
        symbols: the symbols of its sizes, whose values its first arguments are.
    """

    def __init__(self, block: Block, symbols: Sequence[Symbol] = ()) -> None:
        super().__init__(block)
        values = dict(zip(symbols, block.args, strict=False))
        self._arithmetic = SizeArithmetic(self, values)
        self._limits: dict[SSAValue, int] = {arg: symbol.size for symbol, arg in values.items()}
        self._lanes: dict[SSAValue, Sequence[SSAValue]] = {}
        """The lanes of vectors that were put together."""

    # Regions

    def parallel(self, count: int, body: Callable[[Lin], None]) -> None:
        """`scf.parallel` over the numbers below `count`."""

        def run(args: Sequence[SSAValue]) -> Sequence[SSAValue]:
            self.limit(args[0], count - 1)
            body(Lin.of(args[0]))
            return ()

        may_be_empty = is_symbolic(count) and not is_known(count, lambda n: n > 0)
        region = self._nested([index], run, guarded=may_be_empty, end=scf.ReduceOp)
        zero, end, one = (self.size(n) for n in (0, count, 1))
        self.append(scf.ParallelOp([zero], [end], [one], region))

    def for_loop(
        self,
        lower: Lin | int,
        upper: Lin | int,
        step: int,
        inits: Sequence[SSAValue],
        body: Callable[[Lin, Sequence[SSAValue]], Sequence[SSAValue]],
    ) -> Sequence[SSAValue]:
        """`scf.for`; what is known to run once or never is no loop at all."""
        lower, upper = Lin.of(lower), Lin.of(upper)
        distance = upper - lower
        runs = distance.is_const and is_known(distance.const, lambda n: n > 0)
        if distance.is_const and is_known(distance.const, lambda n: n <= 0):
            return inits
        if runs and is_known(distance.const, lambda n: n <= step):
            return body(lower, inits)
        if distance.is_const and step > 1:
            # Counting in steps of one keeps it plain that addresses are multiples of the step.
            return self.for_loop(
                0,
                -(-distance.const // step),
                1,
                inits,
                lambda count, values: body(lower + count * step, values),
            )
        bounds = [self.value(lower), self.value(upper), self.constant_index(step)]

        def run(args: Sequence[SSAValue]) -> Sequence[SSAValue]:
            if upper.is_const:
                self.limit(args[0], upper.const - 1)
            return body(Lin.of(args[0]), args[1:])

        # A loop whose trip count is not known may run zero times: loads must not leave it.
        guarded = not (runs and lower.is_const and upper.is_const)
        region = self._nested([index, *(v.type for v in inits)], run, guarded=guarded)
        op = scf.ForOp(bounds[0], bounds[1], bounds[2], inits, region)
        self.append(op)
        return op.results

    def if_else(
        self,
        condition: SSAValue,
        then: Callable[[], Sequence[SSAValue]],
        otherwise: Callable[[], Sequence[SSAValue]] | None = None,
    ) -> Sequence[SSAValue]:
        """`scf.if`; without `otherwise` it has no results."""
        true = self._nested([], lambda _: then(), guarded=True)
        last = true.block.last_op
        assert last is not None
        types = [v.type for v in last.operands]
        false = None
        if otherwise is not None:
            false = self._nested([], lambda _: otherwise(), guarded=True)
        op = scf.IfOp(condition, types, true, false)
        self.append(op)
        return op.results

    def when(self, condition: SSAValue | None, body: Callable[[], None]) -> None:
        """The body, under a condition if there is one."""
        if condition is None:
            body()
            return

        def then() -> Sequence[SSAValue]:
            body()
            return ()

        self.if_else(condition, then)

    # Values

    def value(self, form: Lin) -> SSAValue:
        """A linear form over SSA values, the same in all lanes, as one value.

        Its outer parts are added up outside of the loops, and the constant comes last, where a target folds it into
        the access.
        """
        assert form.is_uniform
        more, less, constant = self._parts(form.const)
        terms = [*form.terms, *((part, 1) for part in more), *((part, -1) for part in less)]

        def order(term: tuple[Atom, int]) -> tuple[int, bool]:
            atom, coefficient = term
            assert isinstance(atom, SSAValue)
            return self.depth(atom), bool(is_negative(coefficient))

        total: SSAValue | None = None
        waiting: list[
            tuple[Atom, int]
        ] = []  # negative terms without anything to subtract them from
        for atom, coefficient in sorted(terms, key=order):
            assert isinstance(atom, SSAValue)
            negative = is_negative(coefficient)
            if total is None and negative:
                waiting.append((atom, coefficient))
                continue
            term = self._scaled(atom, -coefficient if negative else coefficient)
            if total is None:
                total = term
            else:
                op = arith.SubiOp if negative else arith.AddiOp
                total = self.binary(op, total, term)
        for atom, coefficient in waiting:
            assert isinstance(atom, SSAValue)
            total = self.constant_index(0) if total is None else total
            total = self.binary(arith.SubiOp, total, self._scaled(atom, -coefficient))
        if total is None:
            return self.constant_index(constant)
        if constant:
            total = self.binary(arith.AddiOp, total, self.constant_index(constant))
        return total

    def _scaled(self, atom: SSAValue, factor: int) -> SSAValue:
        if factor == 1:
            return atom
        return self.binary(arith.MuliOp, atom, self.size(factor))

    # Sizes

    def size(self, value: int) -> SSAValue:
        """A size as a value of type index."""
        if not is_symbolic(value):
            return self.constant_index(value)
        result = self.value(Lin.of(value))
        self.limit(result, value)
        return result

    def divisor(self, value: int) -> SSAValue:
        """A size to divide by; 1 where it is 0, and so the extent of something without points."""
        return self.size(maximum(value, 1) if is_symbolic(value) else value)

    def _parts(self, size: int) -> tuple[list[SSAValue], list[SSAValue], int]:
        """The terms of a size to be added up, those to be subtracted, and its constant."""
        if not is_symbolic(size):
            return [], [], size
        parts: dict[bool, list[SSAValue]] = {True: [], False: []}
        constant = 0
        for monomial, c in size.terms:
            if monomial:
                term = Size.of(((monomial, abs(c)),))
                parts[c > 0].append(compute(term, self._arithmetic))
            else:
                constant = c
        return parts[True], parts[False], constant

    def divide(self, form: Lin, divisor: int) -> tuple[Lin, Lin]:
        """Quotient and remainder of a form that is not negative by a positive size."""
        exact, rest = self._split(form, divisor)
        if self._is_below(rest, divisor):
            return exact, rest
        value = self.value(rest)
        quotient = Lin.of(self.binary(arith.DivUIOp, value, self.divisor(divisor)))
        return exact + quotient, Lin.of(value) - quotient * divisor

    def remainder(self, form: Lin, divisor: int) -> Lin:
        """The remainder alone of a form that is not negative by a positive size."""
        _, rest = self._split(form, divisor)
        if self._is_below(rest, divisor):
            return rest
        end = self.divisor(divisor)
        return Lin.of(self.binary(arith.RemUIOp, self.value(rest), end))

    def _split(self, form: Lin, divisor: int) -> tuple[Lin, Lin]:
        """What divides evenly, and a rest that is not negative as the form is not."""
        exact, rest = form.split(divisor)
        sizes = (rest.const, *(coefficient for _, coefficient in rest.terms))
        if any(is_negative(size) is not False for size in sizes):
            return Lin(), form  # only the whole form is known not to be negative
        return exact, rest

    def _is_below(self, form: Lin, bound: int) -> bool:
        most = self._most(form)
        return most is not None and is_known(most, lambda n: n < bound)

    def limit(self, value: SSAValue, most: int) -> None:
        """Say that an index is at least 0 and at most `most`."""
        self._limits[value] = most

    def _most(self, form: Lin) -> int | None:
        """The greatest value of a form whose atoms have limits and no negative coefficient."""
        most = form.const
        for atom, coefficient in form.terms:
            assert isinstance(atom, SSAValue)
            limit = self._limits.get(atom)
            if limit is None or is_negative(coefficient) is not False:
                return None
            most += coefficient * limit
        return most

    def delinearize(self, form: Lin, sizes: Sequence[int]) -> list[Lin]:
        """The index of each dimension for a flat row-major position."""
        indices: list[Lin] = []
        for size in reversed(sizes[1:]):
            form, remainder = self.divide(form, size)
            indices.append(remainder)
        return [*([form] if sizes else []), *reversed(indices)]

    def less(self, form: Lin, bound: int) -> SSAValue:
        """`form < bound`, both not negative."""
        value, limit = self.value(form), self.size(bound)
        return self.pure("ult", (value, limit), lambda: arith.CmpiOp(value, limit, "ult"))

    def below(self, form: Lin, bound: int) -> SSAValue | None:
        """`form < bound` for a form that is not negative, or None where the limits of its atoms show it."""
        return None if self._is_below(form, bound) else self.less(form, bound)

    def clamp(self, form: Lin, most: int) -> Lin:
        """The form, which is not negative, or `most` if that is less."""
        if form.is_const and is_known(form.const, lambda n: n > most):
            return Lin.of(most)
        if (limit := self._most(form)) is not None and is_known(limit, lambda n: n <= most):
            return form
        value = self.binary(arith.MinUIOp, self.value(form), self.size(most))
        self.limit(value, most)
        return Lin.of(value)

    def both(self, lhs: SSAValue | None, rhs: SSAValue | None) -> SSAValue | None:
        """The conjunction of two conditions, None being true."""
        if lhs is None or rhs is None:
            return lhs or rhs
        return self.binary(arith.AndIOp, lhs, rhs)

    def select(self, condition: SSAValue, then: SSAValue, otherwise: SSAValue) -> SSAValue:
        """`then` where the condition holds, else `otherwise`."""
        return self.pure(
            arith.SelectOp,
            (condition, then, otherwise),
            lambda: arith.SelectOp(condition, then, otherwise),
        )

    # Memory

    def load(
        self,
        source: SSAValue,
        offset: Lin,
        width: int = 1,
        *,
        depth: int | None = 0,
        version: Hashable = None,
    ) -> SSAValue:
        """An element of a memref, or a vector of neighbours.

        Args:
            depth: the depth of the outermost block in which the memref already holds what is read; the load may be
                shared and moved out of loops as far as that. None if it must stay where it is.
            version: what the memref holds, for one that is written more than once: loads of two versions are not
                shared.
        """
        at = self.value(offset.at_lane(0))

        def make() -> Operation:
            if width == 1:
                return memref.LoadOp.get(source, [at])
            return vector.LoadOp(source, [at], VectorType(element_type(source), [width]))

        if depth is None:
            return self.append(make()).results[0]
        key = ("load", width, version)
        return self.pure(key, (source, at), make, speculatable=False, least_depth=depth)

    def store(self, value: SSAValue, target: SSAValue, offset: Lin) -> None:
        """Store a scalar or a vector."""
        at = self.value(offset.at_lane(0))
        if isinstance(value.type, VectorType):
            self.append(vector.StoreOp(value, target, [at]))
        else:
            self.append(memref.StoreOp.get(value, target, [at]))

    def alloca(self, type: Attribute, count: int) -> SSAValue:
        """Scratch memory of one iteration of the innermost block."""
        return self.append(memref.AllocaOp.get(type, shape=[count])).results[0]

    # Vectors

    def number(self, value: float, type: Attribute) -> SSAValue:
        """A number as a constant of a type; vectors hold it in every lane."""
        if isinstance(type, VectorType):
            return self.splat(self.number(value, type.element_type), *type.get_shape())
        constant = constant_attribute(value, type)
        assert isinstance(constant, IntegerAttr | FloatAttr)
        return self.constant(constant)

    def splat(self, value: SSAValue, width: int) -> SSAValue:
        """A vector of equal elements."""
        if width == 1 or isinstance(value.type, VectorType):
            return value
        type = VectorType(value.type, [width])
        return self.pure(("splat", width), (value,), lambda: vector.BroadcastOp(value, type))

    def lane(self, value: SSAValue, lane: int) -> SSAValue:
        """An element of a vector; a scalar stands for a vector of equal elements."""
        type = value.type
        if not isinstance(type, VectorType):
            return value
        if (lanes := self._lanes.get(value)) is not None:
            return lanes[lane]
        element = type.element_type
        return self.pure(
            ("extract", lane), (value,), lambda: vector.ExtractOp(value, [lane], element)
        )

    def pack(self, lanes: Sequence[SSAValue]) -> SSAValue:
        """A vector of the given elements."""
        result = self.splat(lanes[0], len(lanes))
        for i, lane in enumerate(lanes):
            if lane is not lanes[0]:
                result = self._insert(lane, result, i)
        self._lanes[result] = tuple(lanes)
        return result

    def _insert(self, lane: SSAValue, target: SSAValue, position: int) -> SSAValue:
        return self.pure(
            ("insert", position),
            (lane, target),
            lambda: vector.InsertOp(lane, target, [position]),
        )


def element_type(memory: SSAValue) -> Attribute:
    """The element type of a memref."""
    assert isinstance(memory.type, MemRefType)
    return memory.type.element_type


def vector_type(element: Attribute, width: int) -> Attribute:
    """`vector<width x element>`, or the element itself for width 1."""
    return element if width == 1 else VectorType(element, [width])

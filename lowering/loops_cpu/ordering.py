"""Kernels of one `linalg_ext` op as loops: each row by itself, one key after the other.

`select` and `counting_sort` take a time that is linear in the row. They read a key as an unsigned number, its sign bit
turned over, in digits of 8 bits; scratch memory counts how often each digit occurs. `top_k` keeps the first K keys so
far in order, which is less for few of few.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from xdsl.dialects import arith
from xdsl.dialects.builtin import IndexType, IntegerType, i32
from xdsl.ir import Attribute, Block, Operation, SSAValue

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import FuncOp
from webdnn.dialects.linalg_ext import DIGIT, CountingSortOp, OrderingOp, SelectOp, TopKOp
from webdnn.dialects.sizes.expression import Symbol, is_symbolic
from webdnn.dialects.sizes.questions import at_most
from webdnn.lowering.loops_common.emitter import Emitter
from webdnn.lowering.loops_common.function import begin_function, end_function
from webdnn.lowering.loops_common.linear import Lin
from webdnn.lowering.value_notation import Value

INDEX = IndexType()
BINS = 1 << DIGIT


class _Code:
    """Builds a kernel of numbers: loads and stores stay where they are."""

    def __init__(self, block: Block, symbols: Sequence[Symbol]) -> None:
        self.emitter = Emitter(block, symbols)

    def add(self, op: Operation) -> SSAValue:
        return self.emitter.append(op).results[0]

    def constant(self, value: int | float, type: Attribute) -> SSAValue:
        if is_symbolic(value):
            size = self.value(self.emitter.size(value))
            return (size if type == INDEX else self.as_i32(size)).ssa
        return self.emitter.number(value, type)

    def value(self, ssa: SSAValue) -> Number:
        return Value(self, ssa)

    def number(self, value: int, type: Attribute = i32) -> Number:
        return self.value(self.constant(value, type))

    def load(self, memory: SSAValue, at: Number) -> Number:
        return self.value(self.emitter.load(memory, Lin.of(at.ssa), depth=None))

    def store(self, value: Number, memory: SSAValue, at: Number) -> None:
        self.emitter.store(value.ssa, memory, Lin.of(at.ssa))

    def scratch(self, count: int, type: Attribute = i32) -> SSAValue:
        return self.emitter.alloca(type, at_most(count))

    def as_index(self, x: Number) -> Number:
        return self.value(self.add(arith.IndexCastOp(x.ssa, INDEX)))

    def as_i32(self, x: Number) -> Number:
        """An index, or an integer of at least 32 bits, as i32."""
        if x.type == i32:
            return x
        make = arith.IndexCastOp if x.type == INDEX else arith.TruncIOp
        return self.value(self.add(make(x.ssa, i32)))

    def widened(self, x: Number, type: IntegerType) -> Number:
        """An i32 that is not negative, as a type of at least its width."""
        return x if type == i32 else self.value(self.add(arith.ExtUIOp(x.ssa, type)))

    def parallel(self, count: int, body: Callable[[Number], None]) -> None:
        """`body` for each number below `count`, in any order."""
        self.emitter.parallel(count, lambda at: body(self.value(self.emitter.value(at))))

    def loop(
        self,
        count: int,
        carried: Sequence[Number],
        body: Callable[[Number, Sequence[Number]], Sequence[Number]],
    ) -> list[Number]:
        """`body` for each number below `count` in turn; it takes the carried values and gives the next ones."""

        def step(at: Lin, values: Sequence[SSAValue]) -> Sequence[SSAValue]:
            results = body(self.value(self.emitter.value(at)), [*map(self.value, values)])
            return [v.ssa for v in results]

        begin = [v.ssa for v in carried]
        return [*map(self.value, self.emitter.for_loop(0, count, 1, begin, step))]

    def when(
        self,
        condition: Number,
        body: Callable[[], Sequence[Number]],
        otherwise: Sequence[Number] = (),
    ) -> list[Number]:
        """What `body` gives where the condition holds, else `otherwise`."""
        results = self.emitter.if_else(
            condition.ssa,
            lambda: [v.ssa for v in body()],
            (lambda: [v.ssa for v in otherwise]) if otherwise else None,
        )
        return [*map(self.value, results)]


Number: TypeAlias = Value[_Code]


def lower_ordering(func: FuncOp, op: OrderingOp) -> FuncOp:
    """A kernel that is nothing but `op`, as loops.

    Raises:
        WebDNNError: the op has no loops of its own.
    """
    block = begin_function(func, ())
    symbols = func.symbols
    code = _Code(block, symbols)
    keys, *order, out = block.args[len(symbols) :]

    def row(number: Number) -> None:
        match op:
            case SelectOp():
                _select(code, op, number, keys, out)
            case CountingSortOp():
                _counting_sort(code, op, number, keys, order, out)
            case TopKOp():
                _insertion_sort(code, op, number, keys, out)
            case _:
                raise WebDNNError(f"{op.name} has no loops", where=func.sym_name.data)

    code.parallel(op.sizes[0], row)
    return end_function(func, block)


def _select(code: _Code, op: SelectOp, row: Number, keys: SSAValue, out: SSAValue) -> None:
    """The K-th key digit by digit, the highest first; then one pass keeps what is less, and the first of its equals."""
    _, count, k = op.sizes
    type, sign = op.key_type, 1 << op.bits - 1
    first, counts = row * count, code.scratch(BINS)
    zero = code.number(0)

    def digit(number: Number, carried: Sequence[Number]) -> Sequence[Number]:
        """Among the keys that begin with `prefix`, the `rank`-th is looked for."""
        prefix, mask, rank = carried
        shift = code.number(op.bits - DIGIT) - code.as_i32(number) * DIGIT
        wide = code.widened(shift, type)
        _clear(code, counts)

        def count_key(i: Number, _: Sequence[Number]) -> Sequence[Number]:
            bits = code.load(keys, first + i) ^ sign

            def count_it() -> Sequence[Number]:
                at = _bin(code, bits.shift_right_logical(wide))
                code.store(code.load(counts, at) + 1, counts, at)
                return ()

            code.when((bits & mask).equals(prefix), count_it)
            return ()

        code.loop(count, [], count_key)

        def find(i: Number, carried: Sequence[Number]) -> Sequence[Number]:
            total, digit, below = carried
            total = total + code.load(counts, i)
            is_before = total < rank
            return total, digit + _as_number(is_before), is_before.select(total, below)

        _, digit, below = code.loop(BINS, [zero, zero, zero], find)
        wide_digit = code.widened(digit, type)
        ones = code.number(BINS - 1, type)
        return prefix | wide_digit << wide, mask | ones << wide, rank - below

    none = code.number(0, type)
    prefix, _, ties = code.loop(op.bits // DIGIT, [none, none, code.number(k)], digit)
    last = prefix ^ sign
    to = row * k

    def keep(i: Number, carried: Sequence[Number]) -> Sequence[Number]:
        place, ties = carried
        key = code.load(keys, first + i)

        def is_candidate() -> Sequence[Number]:
            is_tie = key.equals(last)

            def store() -> Sequence[Number]:
                code.store(code.as_i32(i), out, to + code.as_index(place))
                return place + 1, ties - _as_number(is_tie)

            return code.when(key.differs(last) | (ties > 0), store, [place, ties])

        return code.when(key <= last, is_candidate, [place, ties])

    code.loop(count, [zero, ties], keep)


def _counting_sort(
    code: _Code,
    op: CountingSortOp,
    row: Number,
    keys: SSAValue,
    order: Sequence[SSAValue],
    out: SSAValue,
) -> None:
    """How many keys have each digit, so where those of each digit begin; each position goes to the next place of its
    digit."""
    _, count, k = op.sizes
    first, to, places = row * count, row * k, code.scratch(BINS)
    sign = 1 << op.bits - 1

    def position(i: Number) -> Number:
        return code.load(order[0], to + i) if order else code.as_i32(i)

    def bin_of(position: Number) -> Number:
        bits = code.load(keys, first + code.as_index(position)) ^ sign
        return _bin(code, bits.shift_right_logical(op.shift.value.data))

    def count_key(i: Number, _: Sequence[Number]) -> Sequence[Number]:
        at = bin_of(position(i))
        code.store(code.load(places, at) + 1, places, at)
        return ()

    def begin(i: Number, carried: Sequence[Number]) -> Sequence[Number]:
        (total,) = carried
        size = code.load(places, i)
        code.store(total, places, i)
        return (total + size,)

    def move(i: Number, _: Sequence[Number]) -> Sequence[Number]:
        here = position(i)
        at = bin_of(here)
        place = code.load(places, at)
        code.store(here, out, to + code.as_index(place))
        code.store(place + 1, places, at)
        return ()

    _clear(code, places)
    code.loop(k, [], count_key)
    code.loop(BINS, [code.number(0)], begin)
    code.loop(k, [], move)


def _insertion_sort(code: _Code, op: TopKOp, row: Number, keys: SSAValue, out: SSAValue) -> None:
    """Each key that comes before the last one that is kept moves those after it by one place."""
    _, count, k = op.sizes
    first, to = row * count, row * k
    kept, positions = code.scratch(k, op.key_type), code.scratch(k)

    def free(i: Number, _: Sequence[Number]) -> Sequence[Number]:
        code.store(code.number(-1), positions, i)  # a place without a position is behind all
        return ()

    def insert(i: Number, _: Sequence[Number]) -> Sequence[Number]:
        key, position = code.load(keys, first + i), code.as_i32(i)

        def entry(place: Number) -> tuple[Number, Number, Number]:
            """The key and the position at a place, and whether the new key comes before them."""
            old, at = code.load(kept, place), code.load(positions, place)
            return old, at, (at < 0) | (key < old)

        def put(place: Number, key: Number, position: Number) -> None:
            code.store(key, kept, place)
            code.store(position, positions, place)

        def move(step: Number, _: Sequence[Number]) -> Sequence[Number]:
            place = code.number(k - 1, INDEX) - step
            mine, at, is_behind = entry(place)
            other, other_at, moves = entry(place - 1)
            put(
                place,
                moves.select(other, is_behind.select(key, mine)),
                moves.select(other_at, is_behind.select(position, at)),
            )
            return ()

        def put_in() -> Sequence[Number]:
            code.loop(k - 1, [], move)
            begin = code.number(0, INDEX)
            mine, at, is_behind = entry(begin)
            put(begin, is_behind.select(key, mine), is_behind.select(position, at))
            return ()

        code.when(entry(code.number(k - 1, INDEX))[2], put_in)
        return ()

    def give(i: Number, _: Sequence[Number]) -> Sequence[Number]:
        code.store(code.load(positions, i), out, to + i)
        return ()

    code.loop(k, [], free)
    code.loop(count, [], insert)
    code.loop(k, [], give)


def _clear(code: _Code, counts: SSAValue) -> None:
    def clear(i: Number, _: Sequence[Number]) -> Sequence[Number]:
        code.store(code.number(0), counts, i)
        return ()

    code.loop(BINS, [], clear)


def _bin(code: _Code, bits: Number) -> Number:
    """The lowest digit, as an index."""
    return code.as_index(code.as_i32(bits) & BINS - 1)


def _as_number(truth: Number) -> Number:
    return Value(truth.emitter, truth.emitter.add(arith.ExtUIOp(truth.ssa, i32)))

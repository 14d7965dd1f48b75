"""The strategies by which a kernel is cut into workgroups and invocations, as typed schedules."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.kernel import ScheduleAttr


@dataclass(frozen=True)
class Pointwise:
    """An invocation computes one element of each output, or `vector` adjacent ones where the accesses allow.

    Attributes:
        workgroup: the number of invocations of a workgroup.
        vector: 4 or 1.
        tile: how many points side by side an invocation computes, along the innermost dim that is not that of the
            vectors. Their windows are walked together, so that what they share is loaded once.
    """

    workgroup: int = 64
    vector: int = 4
    tile: int = 1

    def problem(self) -> str | None:
        """What is wrong with the entries, if anything."""
        return _first(
            (self.workgroup >= 1, "workgroup is a positive number"),
            (self.vector in (1, 4), "vector is 1 or 4"),
            (self.tile >= 1, "tile is a positive number"),
        )


@dataclass(frozen=True)
class Rows:
    """The invocations of a workgroup share the reductions of one or several rows, then compute the rows' elements.

    Attributes:
        threads: the number of invocations for a row, a power of two.
        rows: the number of rows (or vectors of rows) of a workgroup.
        along: what neighbouring invocations walk along: `"reduced"`, the elements of a reduction, or
            `"kept"`, the rows themselves (where a reduction goes over an outer dim).
        vector: 4 or 1; vectors lie along the same.
    """

    threads: int = 64
    rows: int = 1
    along: str = "reduced"
    vector: int = 4

    def problem(self) -> str | None:
        """What is wrong with the entries, if anything."""
        return _first(
            (self.threads >= 1 and self.threads.bit_count() == 1, "threads is a power of two"),
            (self.rows >= 1, "rows is a positive number"),
            (self.along in ("reduced", "kept"), "along is 'reduced' or 'kept'"),
            (self.vector in (1, 4), "vector is 1 or 4"),
        )


@dataclass(frozen=True)
class Contraction:
    """Invocations compute register tiles of a matrix product (or of a convolution as one).

    Attributes:
        workgroup: the number of invocations along rows and columns.
        tile: the number of rows and columns of an invocation's register tile; columns are a multiple of 4.
        k: how much of the summed axis goes through workgroup memory at a time, a multiple of 4.
        memory: `"workgroup"`, or `"none"` to read both matrices straight from storage.
        split: how many groups of invocations share the sum of a block, each taking every `split`-th part of it:
            more invocations for products with few results. A divisor of the tile's rows.
        unroll: up to how many steps along the inner dims of k are written out: what the rows of a register tile
            share (the windows of a convolution overlap) is then loaded once. Without workgroup memory only.
    """

    workgroup: tuple[int, ...] = (8, 8)
    tile: tuple[int, ...] = (4, 4)
    k: int = 32
    memory: str = "workgroup"
    split: int = 1
    unroll: int = 1

    def problem(self) -> str | None:
        """What is wrong with the entries, if anything."""
        return _first(
            (len(self.workgroup) == 2 and min(self.workgroup) >= 1, "workgroup is two numbers"),
            (len(self.tile) == 2 and min(self.tile) >= 1, "tile is two numbers"),
            (self.tile[-1] % 4 == 0, "the columns of a tile are a multiple of 4"),
            (self.k >= 4 and self.k % 4 == 0, "k is a multiple of 4"),
            (self.memory in ("workgroup", "none"), "memory is 'workgroup' or 'none'"),
            (self.split >= 1 and self.tile[0] % self.split == 0, "split divides the tile's rows"),
            (self.unroll >= 1, "unroll is a positive number"),
            (self.split == 1 or self.memory == "workgroup", "split needs workgroup memory"),
        )


def _first(*rules: tuple[bool, str]) -> str | None:
    return next((text for holds, text in rules if not holds), None)


Strategy = Pointwise | Rows | Contraction

_STRATEGIES: dict[str, type[Strategy]] = {
    "pointwise": Pointwise,
    "rows": Rows,
    "contraction": Contraction,
}


def to_attribute(strategy: Strategy) -> ScheduleAttr:
    """The attribute that says a schedule."""
    (name,) = (n for n, cls in _STRATEGIES.items() if cls is type(strategy))
    return ScheduleAttr.of({"strategy": name, **asdict(strategy)})


def from_attribute(schedule: ScheduleAttr, kernel: str) -> Strategy:
    """The schedule that an attribute says; what it leaves out has its default value.

    Raises:
        WebDNNError: there is no such strategy, or it has no such entry, or an entry has another type.
    """
    entries: dict[str, Any] = dict(schedule.to_dict())
    name = entries.pop("strategy", None)
    cls = _STRATEGIES.get(name)
    if cls is None:
        raise WebDNNError(
            f"there is no strategy {name!r} for GPUs",
            where=kernel,
            hint=f"one of {', '.join(_STRATEGIES)}",
        )
    defaults = {field.name: getattr(cls(), field.name) for field in fields(cls)}
    for key, value in entries.items():
        if key not in defaults:
            raise WebDNNError(
                f"the strategy {name!r} has no entry {key!r}",
                where=kernel,
                hint=f"one of {', '.join(defaults)}",
            )
        if isinstance(value, list):
            entries[key] = tuple(value)
        if type(entries[key]) is not type(defaults[key]):
            raise WebDNNError(
                f"the schedule's {key!r} is {value!r}; expected something like {defaults[key]!r}",
                where=kernel,
            )
    strategy = cls(**entries)
    if (problem := strategy.problem()) is not None:
        raise WebDNNError(f"impossible schedule: {problem}", where=kernel)
    return strategy

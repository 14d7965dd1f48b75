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
    """

    workgroup: int = 64
    vector: int = 4


Strategy = Pointwise

_STRATEGIES: dict[str, type[Strategy]] = {"pointwise": Pointwise}


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
    return cls(**entries)

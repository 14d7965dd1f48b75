"""Schedules as a file: TOML, one `[[kernel]]` for each kernel.

```toml
format = "webdnn-schedules"
version = 1

[[kernel]]
name = "conv_relu_0"             # for people
nodes = ["Conv_3", "Relu_4"]     # for people: what the first launch computes
target = "wasm"
digest = "0f3a9c5d7e21b846"      # of what the kernel computes; the same in every model
panels = [0, 8, 0]               # columns of a panel of each packed operand (wasm); 0: not packed
schedule = '#kernel.schedule<strategy = "tiles", tile = [1, 6, 8, 1, 2], vector = 2, order = [0, 1, 2]>'
```

`panels` and `schedule` may each be left out: then the compiler chooses (with a schedule, but without panels, nothing is
packed). A tuner adds the times, what the compiler would have chosen (`untuned_schedule`, `untuned_panels`), and
`[measured]` with the engine and the machine.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import tomlkit
from xdsl.context import Context
from xdsl.dialects.builtin import Builtin
from xdsl.utils.exceptions import ParseError

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.ir_parser import IRParser
from webdnn.dialects.kernel import Kernel, ScheduleAttr
from webdnn.lowering.target import target_names

FORMAT = "webdnn-schedules"
VERSION = 1

DEFAULT_TABLE = Path(__file__).with_name("default_schedules.toml")
"""The schedules that ship with the compiler: measured ones of common kernels."""


@dataclass(frozen=True)
class ScheduleEntry:
    """The schedule of one kernel.

    Attributes:
        digest: says which kernel it is (`webdnn.lowering.kernels.digest`).
        target: `wasm` or `webgpu`.
        schedule: None if only the panels are given.
        panels: for each operand the columns of a panel, 0 for none; None if the compiler is to choose them.
        name: of the kernel in the model that the entry was made from.
        nodes: of that model, which the kernel computes.
        milliseconds: of one run, where it was measured.
        untuned_milliseconds: of one with what the compiler would have chosen.
        untuned_schedule: what that is. In a table that is not strict the entry holds only while the cost model chooses
            this: a better cost model is not overruled by what was better than an older one.
        untuned_panels: and its panels.
    """

    digest: str
    target: str
    schedule: ScheduleAttr | None
    panels: tuple[int, ...] | None = None
    name: str = ""
    nodes: tuple[str, ...] = ()
    milliseconds: float | None = None
    untuned_milliseconds: float | None = None
    untuned_schedule: ScheduleAttr | None = None
    untuned_panels: tuple[int, ...] | None = None


@dataclass
class ScheduleTable:
    """Schedules by kernel.

    Attributes:
        entries: no two are of one kernel and target.
        strict: whether an entry that does not fit its kernel is an error. If not, it is as good as none.
        measured: where the schedules come from, if they were measured: engine, machine, date.
    """

    entries: Sequence[ScheduleEntry] = ()
    strict: bool = True
    measured: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self._by_kernel = {(e.target, e.digest): e for e in self.entries}

    def find(self, target: str, digest: str) -> ScheduleEntry | None:
        """The entry of a kernel."""
        return self._by_kernel.get((target, digest))

    def text(self) -> str:
        """The content of a file that says this table; entries in their order."""
        document = tomlkit.document()
        document["format"], document["version"] = FORMAT, VERSION
        if self.measured:
            document["measured"] = dict(self.measured)
        if self.entries:
            kernels = tomlkit.aot()
            for entry in self.entries:
                kernels.append(tomlkit.item(_written(entry)))
            document["kernel"] = kernels
        return tomlkit.dumps(document)

    def save(self, path: Path) -> None:
        """Write the table to a file."""
        path.write_text(self.text(), encoding="utf-8")

    @staticmethod
    def load(path: str | Path, *, strict: bool = True) -> ScheduleTable:
        """Read a file.

        Raises:
            WebDNNError: it cannot be read, or is not a table of schedules.
        """
        try:
            content = tomllib.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise WebDNNError(
                "the schedules cannot be read", where=str(path), why=error.strerror or ""
            ) from error
        except (
            ValueError,
            RecursionError,
        ) as error:  # bad TOML, bad UTF-8, numbers of too many digits
            raise _bad(path, str(error)) from error
        if content.get("format") != FORMAT or content.get("version") != VERSION:
            raise _bad(path, f'the file must begin with format = "{FORMAT}", version = {VERSION}')
        kernels = content.get("kernel", [])
        if not isinstance(kernels, list) or not all(isinstance(k, dict) for k in kernels):
            raise _bad(path, "a kernel begins with [[kernel]]")
        entries = [_entry(kernel, number, path) for number, kernel in enumerate(kernels, 1)]
        seen: set[tuple[str, str]] = set()
        for entry in entries:
            if (entry.target, entry.digest) in seen:
                raise _bad(path, f"two entries are of kernel {entry.digest} for {entry.target}")
            seen.add((entry.target, entry.digest))
        measured = content.get("measured", {})
        if not isinstance(measured, dict):
            raise _bad(path, "what was measured begins with [measured]")
        measured = {str(k): str(v) for k, v in measured.items()}
        return ScheduleTable(entries, strict, measured)


@cache
def default_table() -> ScheduleTable:
    """The schedules that ship with the compiler."""
    return ScheduleTable.load(DEFAULT_TABLE, strict=False)


def merged(tables: Iterable[ScheduleTable]) -> ScheduleTable:
    """One table of several; of entries for one kernel the first is taken, and what is said of the first table."""
    entries: dict[tuple[str, str], ScheduleEntry] = {}
    kept = list(tables)
    for table in kept:
        for entry in table.entries:
            entries.setdefault((entry.target, entry.digest), entry)
    first = kept[0] if kept else ScheduleTable()
    return ScheduleTable(list(entries.values()), first.strict, first.measured)


def _written(entry: ScheduleEntry) -> dict[str, Any]:
    """What stands in a file of an entry."""
    values: dict[str, Any] = {}
    if entry.name:
        values["name"] = entry.name
    if entry.nodes:
        values["nodes"] = list(entry.nodes)
    values["target"], values["digest"] = entry.target, entry.digest
    for prefix in ("", "untuned_"):
        if (panels := getattr(entry, prefix + "panels")) is not None:
            values[prefix + "panels"] = list(panels)
        if (schedule := getattr(entry, prefix + "schedule")) is not None:
            text = str(schedule)
            # Quotes are part of most schedules.
            is_literal = "'" not in text and text.isprintable()
            values[prefix + "schedule"] = tomlkit.string(text, literal=is_literal)
    for key in ("milliseconds", "untuned_milliseconds"):
        if (value := getattr(entry, key)) is not None:
            values[key] = round(value, 4)
    return values


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "digest": str,
    "target": str,
    "schedule": str,
    "panels": list,
    "name": str,
    "nodes": list,
    "milliseconds": (int, float),
    "untuned_milliseconds": (int, float),
    "untuned_schedule": str,
    "untuned_panels": list,
}


def _entry(fields: Mapping[str, Any], number: int, path: str | Path) -> ScheduleEntry:
    where = f"kernel {number} ({fields.get('name', 'without a name')})"
    for key, value in fields.items():
        if key not in _FIELDS:
            raise _bad(path, f"{where} has a field {key!r}; the fields are {', '.join(_FIELDS)}")
        if not isinstance(value, _FIELDS[key]) or isinstance(value, bool):
            raise _bad(path, f"{where}: {key} is of the wrong type")
    for key in ("digest", "target"):
        if key not in fields:
            raise _bad(path, f"{where} has no {key}")
    if fields["target"] not in target_names():
        known = " or ".join(target_names())
        raise _bad(path, f"{where}: the target is {known}, not {fields['target']!r}")
    panels: dict[str, tuple[int, ...] | None] = {}
    schedules: dict[str, ScheduleAttr | None] = {}
    for prefix in ("", "untuned_"):
        given = fields.get(prefix + "panels")
        if given is not None and not all(type(n) is int and n >= 0 for n in given):
            raise _bad(path, f"{where}: panels is a list of numbers that are not negative")
        panels[prefix] = None if given is None else tuple(given)
        text = fields.get(prefix + "schedule")
        schedules[prefix] = None if text is None else _schedule(text, where, path)
    if schedules[""] is None and panels[""] is None:
        raise _bad(path, f"{where} says neither schedule nor panels")
    return ScheduleEntry(
        fields["digest"],
        fields["target"],
        schedules[""],
        panels[""],
        fields.get("name", ""),
        tuple(str(node) for node in fields.get("nodes", ())),
        fields.get("milliseconds"),
        fields.get("untuned_milliseconds"),
        schedules["untuned_"],
        panels["untuned_"],
    )


def _schedule(text: str, where: str, path: str | Path) -> ScheduleAttr:
    if not text.startswith(
        f"#{ScheduleAttr.name}<"
    ):  # other attributes need not be parsed to be refused
        raise _bad(path, f"{where}: the schedule is not of the form #{ScheduleAttr.name}<...>")
    try:
        parser = IRParser(_context(), text)
        attr = parser.parse_attribute()
        at_end = parser.pos == len(text.rstrip())
    except ParseError as error:
        raise _bad(path, f"{where}: the schedule does not parse: {error}") from error
    if not isinstance(attr, ScheduleAttr) or not at_end:
        raise _bad(path, f"{where}: the schedule is not of the form #{ScheduleAttr.name}<...>")
    return attr


@cache
def _context() -> Context:
    ctx = Context()
    ctx.load_dialect(Builtin)
    ctx.load_dialect(Kernel)
    return ctx


def _bad(path: str | Path, why: str) -> WebDNNError:
    return WebDNNError(
        "this is not a table of schedules",
        where=str(path),
        why=why,
        hint="webdnn compile --dump-schedule writes one",
    )

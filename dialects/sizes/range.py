"""The range of a size as users write it: `64..1024:32@224`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from webdnn.dialects.errors import WebDNNError

_RANGE = re.compile(r"(\d+)\.\.(\d+)(?::(\d+))?(?:@(\d+))?")


@dataclass(frozen=True)
class Range:
    """The values of a size: from `low` to `high`, multiples of `unit`; `likely` is the one to optimise for."""

    low: int
    high: int
    unit: int = 1
    likely: int | None = None

    def __str__(self) -> str:
        unit = f":{self.unit}" if self.unit != 1 else ""
        likely = f"@{self.likely}" if self.likely is not None else ""
        return f"{self.low}..{self.high}{unit}{likely}"


def parse_range(text: str, where: str) -> Range | None:
    """`1..512:8@128` as a range; None where it is none.

    Args:
        text: the text.
        where: what the user wrote, for messages.

    Raises:
        WebDNNError: no size is in the range, or the one to optimise for is not.
    """
    match = _RANGE.fullmatch(text.replace(" ", ""))
    if match is None:
        return None
    low, high, unit, likely = (None if part is None else int(part) for part in match.groups())
    assert low is not None and high is not None
    found = Range(low, high, 1 if unit is None else unit, likely)
    if unit == 0 or -(-low // found.unit) * found.unit > high:
        raise WebDNNError(
            f"the range {found} holds no size",
            where=where,
            why="a range is LOW..HIGH, with both ends; a number behind ':' says what sizes are multiples of",
        )
    if likely is not None and (not low <= likely <= high or likely % found.unit):
        raise WebDNNError(f"the size to optimise for, {likely}, is not in its range", where=where)
    return found

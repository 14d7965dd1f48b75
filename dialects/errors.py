"""The one kind of error that a user is meant to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MOST_LISTED = 5
"""Of more things of one kind a message shows so many, and says how many there are."""


def shortened(items: Sequence[str]) -> list[str]:
    """Things of one kind in a message: the first few, and how many there are where that is not all."""
    shown = list(items[:MOST_LISTED])
    return shown if len(items) <= MOST_LISTED else [*shown, f"... ({len(items)} in all)"]


def listed(items: Sequence[str]) -> str:
    """Things of one kind in a sentence: `a, b, c, d, e, ... (211 in all)`."""
    return ", ".join(shortened(items))


class WebDNNError(Exception):
    """Bad input, or a model that cannot be compiled: one clear message and no traceback.

    Args:
        what: what is wrong, in one sentence.
        where: the names of the nodes, tensors or files it is about, as the user's model spells them.
        why: the rule that is broken.
        hint: what to do about it.
    """

    def __init__(
        self, what: str, *, where: Sequence[str] | str = (), why: str = "", hint: str = ""
    ) -> None:
        self.what = what
        self.where = (where,) if isinstance(where, str) else tuple(where)
        self.why = why
        self.hint = hint
        lines = [what]
        if self.where:
            lines.append("  where: " + ", ".join(self.where))
        if why:
            lines.append("  why:   " + why)
        if hint:
            lines.append("  try:   " + hint)
        super().__init__("\n".join(lines))

    def __reduce__(self) -> tuple[Any, ...]:
        return _error, (self.what, self.where, self.why, self.hint)

    def at(self, where: Sequence[str]) -> WebDNNError:
        """The error, at nodes of the model where it does not say yet what it is about."""
        return self if self.where else _error(self.what, where, self.why, self.hint)


def _error(what: str, where: Sequence[str], why: str, hint: str) -> WebDNNError:
    return WebDNNError(what, where=where, why=why, hint=hint)

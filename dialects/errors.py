"""The one kind of error that a user is meant to read."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
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
        return _error, (type(self), self.what, self.where, self.why, self.hint)

    def at(self, where: Sequence[str]) -> WebDNNError:
        """The error, at nodes of the model where it does not say yet what it is about."""
        return self if self.where else _error(type(self), self.what, where, self.why, self.hint)


class InternalError(WebDNNError):
    """What no input should be able to do: a bug of WebDNN. Its `__cause__` is the exception that nobody foresaw."""


def _error(
    kind: type[WebDNNError], what: str, where: Sequence[str], why: str, hint: str
) -> WebDNNError:
    return kind(what, where=where, why=why, hint=hint)


@contextmanager
def internal_errors(
    doing: str, where: Callable[[Exception], Sequence[str]] = lambda error: ()
) -> Generator[None, None, None]:
    """What is raised inside and is not meant for users becomes an InternalError; errors of the system pass.

    Args:
        doing: what is done inside, as in `WebDNN failed to <doing>`.
        where: the names of the nodes that it is done to, once something was raised.
    """
    try:
        yield
    except (WebDNNError, OSError):
        raise
    except MemoryError as error:
        raise WebDNNError(f"there is not enough memory to {doing}", where=where(error)) from error
    except Exception as error:
        lines = str(error).splitlines()
        raise InternalError(
            f"WebDNN failed to {doing}",
            where=where(error),
            why=f"this is a bug of WebDNN: {type(error).__name__}{f': {lines[0]}' if lines else ''}",
            hint="report it with the model; in Python, the __cause__ of this error says where it was raised",
        ) from error

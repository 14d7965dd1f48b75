"""Errors of code that a user brings: of an operator that ONNX does not define, or of an op of its own for it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.time_limit import limited

RAISED = (Exception, SystemExit)
"""What such code may raise: a call of `sys.exit` in it is its fault, and no end of ours."""


def place_of(function: Callable[..., Any], error: BaseException | None = None) -> str:
    """`file.py:12`: the line of a function's file that raised an error, or where the function begins."""
    code = getattr(function, "__code__", None)
    if code is None:
        return getattr(function, "__qualname__", type(function).__name__)
    frames = traceback.extract_tb(error.__traceback__) if error is not None else ()
    lines = [frame.lineno for frame in frames if frame.filename == code.co_filename]
    line = next((line for line in reversed(lines) if line), code.co_firstlineno)
    return f"{code.co_filename}:{line}"


def reason(error: BaseException) -> str:
    """What an exception says, in one line: `KeyError: 'beta'`."""
    lines = str(error).splitlines()
    return type(error).__name__ + (f": {lines[0]}" if lines else "")


@contextmanager
def foreign_errors(
    what: str, function: Callable[..., Any], where: Sequence[str] = ()
) -> Generator[None, None, None]:
    """What `function` raises becomes a WebDNNError, and so does that it does not end; one that is such an error already
    passes.

    Args:
        what: what the function is, for the message: `the shape function of com.example.Swish`.
        where: the nodes that it was called for.
    """
    try:
        with limited(what, where):
            yield
    except WebDNNError:
        raise
    except RAISED as error:
        raise WebDNNError(
            f"{what} fails", where=[*where, place_of(function, error)], why=reason(error)
        ) from error


__all__ = ["RAISED", "foreign_errors", "place_of", "reason"]

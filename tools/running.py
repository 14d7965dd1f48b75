"""How a tool runs and ends: what is wrong with its input becomes one message, and nothing stays behind."""

from __future__ import annotations

import gc
import re
import sys
import warnings
from collections.abc import Callable
from typing import NoReturn, TextIO

import typer
from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.termination import closing_when_terminated
from webdnn.dialects.time_limit import StillRunning

GARBAGE_THRESHOLD = 200_000
"""Objects between two searches for cycles: a tool makes a great many that live until it ends."""

INTERRUPTED = 130
"""The exit code after a Ctrl-C, as shells give it."""


def run_app(app: typer.Typer) -> None:
    """Run a tool of commands (see `run_tool`)."""
    run_tool(lambda: sys.exit(_run(app)))


def _run(app: typer.Typer) -> int:
    try:
        return app(standalone_mode=False) or 0
    except typer.TyperException as error:
        raise usage_error(error) from None


def usage_error(error: typer.TyperException) -> WebDNNError:
    """What typer says of a wrong command line, in our words."""
    message = error.format_message()
    bad_value = re.fullmatch(r"(?s)Invalid value for (.*?): (?:Value error, )?(.*)", message)
    if bad_value is not None:
        option, why = bad_value[1].replace("'", ""), bad_value[2]
        message = f"{option}: {_uncapitalised(why)}"
    context = getattr(error, "ctx", None)
    tool = context.command_path if context is not None else ""
    return command_line_error(message, tool)


def command_line_error(message: str, tool: str) -> WebDNNError:
    """The error of a wrong command line.

    Args:
        message: what is wrong.
        tool: the command that says what is right: with `--help`.
    """
    hint = f"{tool} --help lists what there is" if tool else ""
    return WebDNNError(_uncapitalised(message).rstrip(". "), hint=hint)


def _uncapitalised(sentence: str) -> str:
    """A sentence that begins as what stands behind a colon; names in capitals stay."""
    is_word = sentence[1:2].islower()
    return sentence[:1].lower() + sentence[1:] if is_word else sentence


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning):
        kind = "waiting" if issubclass(category, StillRunning) else "warning"
        print(f"{kind}: {message}", file=file or sys.stderr)


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool; bad input becomes one message on standard error and exit code 1, a warning a message alone, and
    Ctrl-C, or a signal that asks it to end, an end without a message."""
    warnings.showwarning = _show_warning
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        with closing_when_terminated():
            main()
    except BrokenPipeError:
        sys.exit(1)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(INTERRUPTED)
    except (WebDNNError, ParseError, DiagnosticException, ArgSpecParseError) as error:
        _fail(str(error))
    except RecursionError:
        _fail("the input is nested too deeply")
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}")


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)

"""What the tools' command lines share."""

from __future__ import annotations

import gc
import json
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TextIO

from xdsl.utils.exceptions import ArgSpecParseError, DiagnosticException, ParseError

from webdnn.array_files import read_array
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.values import InputValue
from webdnn.peaks import Peaks


def parse_shapes(values: Sequence[str]) -> dict[str, list[int]]:
    """`["x=1,3,224,224"]` as `{"x": [1, 3, 224, 224]}`.

    Raises:
        WebDNNError: a value is not of this form.
    """
    shapes: dict[str, list[int]] = {}
    for value in values:
        name, separator, sizes = value.rpartition("=")
        try:
            if not (separator and name):
                raise ValueError
            shapes[name] = [int(size) for size in sizes.split(",")] if sizes else []
            if any(size < 0 for size in shapes[name]):
                raise ValueError
        except ValueError:
            raise WebDNNError(
                f"--shape {value} is not a shape", hint="write --shape NAME=1,3,224,224"
            ) from None
    return shapes


def parse_shapes_in_order(values: Sequence[str]) -> list[list[int]]:
    """`["(1,224,224,3)"]` as `[[1, 224, 224, 3]]`; the parentheses may be left out.

    Raises:
        WebDNNError: a value is not of this form.
    """
    shapes: list[list[int]] = []
    for value in values:
        sizes = value.strip().removeprefix("(").removesuffix(")").rstrip(", ")
        if not re.fullmatch(r"(\s*\d+\s*(,\s*\d+\s*)*)?", sizes):
            raise WebDNNError(
                f"--input-shape {value} is not a shape", hint="write --input-shape '(1,224,224,3)'"
            )
        shapes.append([int(size) for size in sizes.split(",")] if sizes else [])
    return shapes


def chosen_shapes(by_name: Sequence[str], in_order: Sequence[str]) -> Shapes:
    """What `--shape` or `--input-shape` says.

    Raises:
        WebDNNError: a value is not of its form, or both are given.
    """
    if by_name and in_order:
        raise WebDNNError("--shape and --input-shape are both given", hint="give one of them")
    return parse_shapes_in_order(in_order) if in_order else parse_shapes(by_name)


CUSTOM_OPS_HELP = (
    "a Python file of operators that ONNX does not define; it is run (may be repeated)"
)
VALUE_HELP = (
    "NAME=16000, NAME=1,2,3 or NAME=FILE.npy: a constant in place of this input (may be repeated)"
)

_WORDS = {
    **dict.fromkeys(("nan", "+nan", "-nan"), "NaN"),
    **dict.fromkeys(("inf", "+inf", "infinity", "+infinity"), "Infinity"),
    **dict.fromkeys(("-inf", "-infinity"), "-Infinity"),
    "true": "true",
    "false": "false",
}
"""Words that stand for numbers and truth values, in any case, as JSON (in Python's reading) spells them."""


def parse_values(values: Sequence[str]) -> dict[str, InputValue]:
    """`["sr=16000", "sizes=[1,2]"]` as `{"sr": 16000, "sizes": [1, 2]}`; arrays from `NAME=FILE.npy`.

    Numbers between commas are a list, with brackets or without. What is no number and no truth value is a text.

    Raises:
        WebDNNError: a value is not of this form, an input is named twice, or a file cannot be read.
    """
    parsed: dict[str, InputValue] = {}
    for value in values:
        name, separator, text = value.partition("=")
        if not (separator and name and text):
            raise WebDNNError(
                f"--value {value} is not a value",
                hint="write --value NAME=16000, NAME=1,2,3 or NAME=FILE.npy",
            )
        if name in parsed:
            raise WebDNNError(f"the input '{name}' is given two values")
        parsed[name] = read_array(text) if text.endswith(".npy") else _parse_value(text)
    return parsed


def _parse_value(text: str) -> InputValue:
    words = re.sub(r"[^\s\[\],]+", lambda word: _WORDS.get(word[0].lower(), word[0]), text)
    for spelling in (words, f"[{words}]") if "," in words else (words,):
        with suppress(ValueError, RecursionError):
            return json.loads(spelling)
    if text.startswith("["):
        raise WebDNNError(
            f"'{text}' is not a list of numbers", hint="write --value NAME=[1,2,3] or NAME=1,2,3"
        )
    return text


def parse_peaks(value: str) -> Peaks:
    """`"57,30"` as the peaks of an engine: billions of operations, and of bytes, a second.

    Raises:
        WebDNNError: the value is not of this form.
    """
    try:
        gflops, gigabytes = (float(part) for part in value.split(","))
        if not (gflops > 0 and gigabytes > 0):
            raise ValueError
    except ValueError:
        raise WebDNNError(
            f"--peak {value} is not a pair of rates",
            hint="write --peak 57,30 for 57 GFLOP/s, 30 GB/s",
        ) from None
    return Peaks(gflops, {1: gigabytes})


GARBAGE_THRESHOLD = 200_000
"""Objects between two searches for cycles: a tool makes a great many that live until it ends."""


INTERRUPTED = 130
"""The exit code after a Ctrl-C, as shells give it."""


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if issubclass(category, UserWarning):
        print(f"warning: {message}", file=file or sys.stderr)


def run_tool(main: Callable[[], None]) -> None:
    """Run a tool; bad input becomes one message on standard error and exit code 1, a warning a message alone, and
    Ctrl-C an end without a message."""
    warnings.showwarning = _show_warning
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        main()
    except BrokenPipeError:
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except (WebDNNError, ParseError, DiagnosticException, ArgSpecParseError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except RecursionError:
        print("error: the input is nested too deeply", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(1)

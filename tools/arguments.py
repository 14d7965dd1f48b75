"""Values of options, from the texts of a command line."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from webdnn.array_files import read_array
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.onnx.binding import Shapes
from webdnn.frontends.onnx.values import InputValue
from webdnn.lowering.interface.image_input import ImageInput
from webdnn.lowering.interface.image_text import parse_image_input
from webdnn.lowering.interface.pairs import parse_pairs
from webdnn.peaks import Peaks


def parse_shapes(values: Sequence[str]) -> dict[str, list[int | str]]:
    """`["x=1,3,h:64..1024,224"]` as `{"x": [1, 3, "h:64..1024", 224]}`.

    Raises:
        WebDNNError: a value is not of this form, or an input is named twice.
    """
    shapes: dict[str, list[int | str]] = {}
    for value in values:
        name, separator, sizes = value.rpartition("=")
        try:
            if not (separator and name):
                raise ValueError
            if name in shapes:
                raise WebDNNError(f"the input '{name}' is given two shapes")
            shapes[name] = [_size(size) for size in sizes.split(",")] if sizes else []
        except ValueError:
            raise WebDNNError(
                f"--shape {value} is not a shape",
                hint="write --shape NAME=1,3,224,224, or NAME=1,3,h:64..1024,w:64..1024:32 for sizes that vary",
            ) from None
    return shapes


def _size(text: str) -> int | str:
    """A size that is not negative, or the text of one that varies."""
    text = text.strip()
    if re.fullmatch(r"\d+", text):
        return int(text)
    if not re.match(r"[A-Za-z_\"]|\d+\.\.", text):
        raise ValueError
    return text


def parse_dims(values: Sequence[str]) -> dict[str, str]:
    """`["seq=1..512@128", "batch=1"]` as `{"seq": "1..512@128", "batch": "1"}`.

    Raises:
        WebDNNError: a value is not of this form, or a dimension is named twice.
    """
    return parse_pairs(
        values,
        "--dim {} does not say what a dimension is",
        "write --dim seq=1..512, seq=1..512:8@128, batch=1, or t=seq for two names of one size",
        "the dimension '{}' is given twice",
        at_last=True,
    )


def parse_sizes(values: Sequence[str]) -> dict[str, int]:
    """`["seq=17"]` as `{"seq": 17}`.

    Raises:
        WebDNNError: a value is not of this form, or a size is named twice.
    """
    dims = parse_dims(values)
    for name, text in dims.items():
        if not (text.isascii() and text.isdigit()):
            raise WebDNNError(f"--dim {name}={text} names no size", hint=f"write --dim {name}=17")
    return {name: int(text) for name, text in dims.items()}


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
                f"--input-shape {value} is not a shape",
                why="here all sizes are whole numbers",
                hint="write --input-shape '(1,224,224,3)'; sizes that vary are given by --shape or --dim",
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


def parse_images(values: Sequence[str]) -> dict[str, ImageInput]:
    """`["image=uint8-rgba,mode=imagenet"]` as image inputs by name.

    Raises:
        WebDNNError: a value is not of this form, or an input is named twice.
    """
    images: dict[str, ImageInput] = {}
    for value in values:
        name, image = parse_image_input(value)
        if name in images:
            raise WebDNNError(f"the input '{name}' is given two pictures")
        images[name] = image
    return images


def parse_labels(values: Sequence[str]) -> Mapping[str, str]:
    """`["labels.txt"]` as `{"": "labels.txt"}`, which is for the only output, and `["y=labels.txt"]` as
    `{"y": "labels.txt"}`. A file may have an equals sign in its name too.

    Raises:
        WebDNNError: an output is given twice.
    """
    files = _by_output("--labels", values, lambda text: Path(text).exists())
    if "" in files.values():
        raise WebDNNError("--labels names no file", hint="write --labels FILE, or OUTPUT=FILE")
    return files


def parse_top_k(values: Sequence[str]) -> dict[str, int]:
    """`["5"]` as `{"": 5}`, which is for the only output, and `["y=5"]` as `{"y": 5}`.

    Raises:
        WebDNNError: a value is not of this form, or an output is given twice.
    """
    counts: dict[str, int] = {}
    for name, text in _by_output("--top-k", values, str.isdecimal).items():
        if not (text.isascii() and text.isdecimal()):
            raise WebDNNError(
                f"--top-k {text} is not a number", hint="write --top-k 5, or --top-k OUTPUT=5"
            )
        counts[name] = int(text)
    return counts


def _by_output(
    option: str, values: Sequence[str], is_whole: Callable[[str], bool]
) -> dict[str, str]:
    """Values for outputs: `OUTPUT=VALUE` (the last `=` counts), or the value alone."""
    found: dict[str, str] = {}
    for value in values:
        name, _, text = ("", "", value) if is_whole(value) else value.rpartition("=")
        if name in found:
            raise WebDNNError(
                f"{option} is given twice for {f'output {name!r}' if name else 'one output'}"
            )
        found[name] = text
    return found


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
    hint = "write --value NAME=16000, NAME=1,2,3 or NAME=FILE.npy"
    pairs = parse_pairs(
        values, "--value {} is not a value", hint, "the input '{}' is given two values"
    )
    return {
        name: read_array(text) if text.endswith(".npy") else _parse_value(text)
        for name, text in pairs.items()
    }


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

"""An `ImageInput` as it is written in a command: `image=uint8-rgba,crop=center,mean=0.5,0.5,0.5`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from typing import Any, get_args

from webdnn.dialects.errors import WebDNNError
from webdnn.lowering.interface.image_input import SIZE_FORM, ImageInput, Pixels

FORM = "NAME=uint8-rgba,resize=bilinear,crop=center,mode=imagenet"

_START = re.compile(rf"=({'|'.join(get_args(Pixels))})(?=,|$)")
"""Where the name ends, which may hold commas and equals signs."""


def parse_image_input(text: str) -> tuple[str, ImageInput]:
    """The name of an input, and what comes into it.

    After the pixels follow pairs `key=value`, which are the attributes of `ImageInput`, with `-` or `_`; `crop=center`
    stands for `fit=crop`, and `pad=114` for `fit=pad` too. Numbers may be fractions (`scale=1/255`), and lists of them
    stand between commas.

    Raises:
        WebDNNError: it is not of this form.
    """
    start = _START.search(text)
    if start is None or not start.start():
        raise _wrong(text, "it does not begin with a name and what its pixels are", FORM)
    values = _pairs(text, text[start.end() + 1 :])
    options: dict[str, Any] = {"pixels": start[1]}
    for key, parts in values.items():
        parse = _KEYS.get(key)
        if parse is None:
            known = ", ".join(k.replace("_", "-") for k in _KEYS)
            raise _wrong(text, f"{key!r} is no key of it", f"one of {known}")
        try:
            options[key] = parse(parts)
        except ValueError as error:
            raise _wrong(text, f"{key}={','.join(parts)} is not {error}") from None
    if options.pop("crop", None):
        _set_fit(text, options, "crop")
    elif "pad" in options:
        _set_fit(text, options, "pad")
    return text[: start.start()], ImageInput(**options)


def image_text(name: str, image: ImageInput) -> str:
    """What `parse_image_input` reads as these."""
    parts = [f"{name}={image.pixels}"]
    for field in fields(image):
        value = getattr(image, field.name)
        default = None if field.default is MISSING else field.default
        if field.name != "pixels" and value != default:
            parts.append(f"{field.name}={_written(field.name, value)}")
    return ",".join(parts)


def _written(key: str, value: Any) -> str:
    if key == "size":
        return "x".join(map(str, value))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value).lower()


def _pairs(text: str, rest: str) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    key = ""
    for part in rest.split(",") if rest else []:
        left, separator, right = part.partition("=")
        if separator:
            key = left.strip().replace("-", "_")
            if key in values:
                raise _wrong(text, f"{key!r} stands twice")
            values[key] = [right.strip()]
        elif key:
            values[key].append(part.strip())
        else:
            raise _wrong(text, f"{part!r} is not of the form key=value", FORM)
    return values


def _set_fit(text: str, options: dict[str, Any], fit: str) -> None:
    if options.setdefault("fit", fit) != fit:
        raise _wrong(text, f"it is to {fit} and to {options['fit']}", "one of them")


def _wrong(text: str, why: str, hint: str = "") -> WebDNNError:
    return WebDNNError("this is no image input", where=text, why=why, hint=hint)


def _one(parts: Sequence[str]) -> str:
    if len(parts) != 1:
        raise ValueError("one value")
    return parts[0]


_SIDE = r"(\d+(?:\.\.\d+(?::\d+)?(?:@\d+)?)?)"


def _size(parts: Sequence[str]) -> tuple[int | str, int | str]:
    found = re.fullmatch(f"{_SIDE}x{_SIDE}", _one(parts))
    if found is None:
        raise ValueError(f"of the form 640x480: {SIZE_FORM}")
    width, height = (side if ".." in side else int(side) for side in found.groups())
    return width, height


def _truth(parts: Sequence[str]) -> bool:
    words = {"true": True, "false": False}
    word = _one(parts).lower()
    if word not in words:
        raise ValueError("true or false")
    return words[word]


def _whole(parts: Sequence[str]) -> int:
    if not re.fullmatch(r"\d+", _one(parts)):
        raise ValueError("a whole number")
    return int(parts[0])


def _number(parts: Sequence[str]) -> float:
    above, _, below = _one(parts).partition("/")
    try:
        return float(above) / (float(below) if below else 1.0)
    except (ValueError, ZeroDivisionError):
        raise ValueError("a number") from None


def _numbers(parts: Sequence[str]) -> tuple[float, ...]:
    try:
        return tuple(_number([part]) for part in parts)
    except ValueError:
        raise ValueError("a list of numbers") from None


def _center(parts: Sequence[str]) -> bool:
    if _one(parts) != "center":
        raise ValueError("center")
    return True


_KEYS: Mapping[str, Callable[[Sequence[str]], Any]] = {
    "size": _size,
    "resize": _one,
    "antialias": _truth,
    "fit": _one,
    "crop": _center,
    "pad": _number,
    "shortest_edge": _whole,
    "crop_pct": _number,
    "mode": _one,
    "order": _one,
    "scale": _number,
    "mean": _numbers,
    "std": _numbers,
    "layout": _one,
}

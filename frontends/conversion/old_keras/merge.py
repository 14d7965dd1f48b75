"""The layer `Merge` of Keras 1, which is several layers today."""

from __future__ import annotations

from collections.abc import Collection

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.old_keras.source import Config

_MODES = {"ave": "Average", "max": "Maximum", "mul": "Multiply", "sum": "Add"}


def convert_merge(settings: Config, custom: Collection[str]) -> tuple[str, Config]:
    """The class and the arguments of today.

    Raises:
        WebDNNError: its mode is a function that the user does not give.
    """
    name, mode = settings["name"], settings["mode"]
    if settings.get("mode_type", "raw") != "raw":
        return "Lambda", function_of_user(
            name, mode if isinstance(mode, str) else None, settings.get("arguments"), custom
        )
    if mode in _MODES:
        return _MODES[mode], {"name": name}
    if mode == "concat":
        return "Concatenate", {"name": name, "axis": settings.get("concat_axis", -1)}
    return ("Dot" if mode == "dot" else "Cosine"), {
        "name": name,
        "axes": settings.get("dot_axes", -1),
    }


def function_of_user(
    name: str, function: str | None, given: Config | None, custom: Collection[str]
) -> Config:
    """The arguments of a Lambda whose function is one of the user's: of its own name, or that of the layer.

    Raises:
        WebDNNError: there is no such function.
    """
    found = next((label for label in (function, name) if label in custom), None)
    if found is None:
        raise WebDNNError(
            "a layer is a Python function, which the file holds as code of some version of Python, or only names",
            where=name,
            why="code of a file is not run here",
            hint=f"define it as `def {function or name}(inputs): ...` in FILE.py, and give --custom-objects FILE.py",
        )
    reference = {"module": None, "class_name": "function", "config": found, "registered_name": found}  # fmt: skip
    return {"name": name, "function": reference, "arguments": given or {}}

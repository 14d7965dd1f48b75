"""The layer `Merge` of Keras 1, which is several layers today."""

from __future__ import annotations

from collections.abc import Collection

from webdnn.frontends.conversion.lambdas import function_of_user
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

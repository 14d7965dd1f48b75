"""Lambdas: layers of Keras that are a Python function, for which one of the user's stands in."""

from __future__ import annotations

import keyword
import re
from collections.abc import Collection, Mapping
from typing import Any

from webdnn.dialects.errors import WebDNNError

_CODE = "__lambda__"
"""The class name by which Keras 3 marks a function that it saves as code."""


def function_of_user(
    name: str, function: str | None, given: Mapping[str, Any] | None, custom: Collection[str]
) -> dict[str, Any]:
    """The arguments of a Lambda whose function is one of the user's: of its own name, or that of the layer.

    Args:
        name: the layer's.
        function: the function's, where the file says it.
        given: arguments of the function beside its input.
        custom: the names of the user's functions.

    Raises:
        WebDNNError: there is no such function.
    """
    return {"name": name, "function": _reference(name, function, custom), "arguments": given or {}}


def name_lambdas(config: Any, custom: Collection[str]) -> Any:
    """A configuration of Keras 3 in which each Lambda, however deep inside, that holds code names a function of the
    user's instead; the same object where there is none.

    Raises:
        WebDNNError: the user gives no such function.
    """
    if isinstance(config, list):
        items: list[Any] = config
        named = [name_lambdas(item, custom) for item in items]
        return items if all(a is b for a, b in zip(items, named, strict=True)) else named
    if not isinstance(config, dict):
        return config
    entry: dict[str, Any] = config
    if _is_lambda(entry):
        settings = dict(entry["config"])
        settings["function"] = _reference(settings["name"], None, custom)
        if _is_code(settings.get("output_shape")):
            del settings["output_shape"]  # it follows from the function
        return {**entry, "config": settings}
    found = {key: name_lambdas(value, custom) for key, value in entry.items()}
    return entry if all(found[key] is value for key, value in entry.items()) else found


def _is_lambda(entry: dict[str, Any]) -> bool:
    settings = entry.get("config")
    is_keras = str(entry.get("module")).partition(".")[0] == "keras"
    return (
        is_keras
        and entry.get("class_name") == "Lambda"
        and isinstance(settings, dict)
        and _is_code(settings.get("function"))
    )


def _is_code(function: Any) -> bool:
    return isinstance(function, dict) and function.get("class_name") == _CODE


def _reference(name: str, function: str | None, custom: Collection[str]) -> dict[str, Any]:
    """One of the user's functions, as a configuration of Keras 3 refers to it."""
    labels = [label for label in (function, name) if label]
    possible = [each for label in labels for each in (label, identifier(label))]
    found = next((label for label in possible if label in custom), None)
    if found is None:
        raise WebDNNError(
            "a layer is a Python function, which the file holds as code of some version of Python, or only names",
            where=name,
            why="code of a file is not run here",
            hint=f"define it as `def {identifier(labels[0])}(inputs): ...` in FILE.py, and give "
            "--custom-objects FILE.py",
        )
    return {"module": None, "class_name": "function", "config": found, "registered_name": found}


def identifier(name: str) -> str:
    """A name that a function of Python can have: `lambda_` for `lambda`, `scope_double` for `scope/double`."""
    found = re.sub(r"\W", "_", name)
    if keyword.iskeyword(found):
        return f"{found}_"
    return found if found.isidentifier() else f"_{found}"


__all__ = ["function_of_user", "identifier", "name_lambdas"]

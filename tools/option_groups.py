"""Options that several commands share: a group of them is a dataclass, and a command takes it as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import typer

Command = TypeVar("Command", bound=Callable[..., None])


def with_option_groups(command: Command) -> Command:
    """A command for typer, in which each parameter that is a group stands for the options that are its fields.

    Fields are annotated as typer's parameters are, and all have a default.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, type[Any]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        kind = parameter.annotation
        if not is_dataclass(kind):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(kind, type)
        groups[name] = kind
        parameters += _parameters(kind)

    def run(**given: Any) -> None:
        options = {
            name: group(**{each.name: given.pop(each.name) for each in fields(group)})
            for name, group in groups.items()
        }
        command(**given, **options)

    made: Any = run
    for attribute in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(made, attribute, getattr(command, attribute))
    made.__annotations__ = {each.name: each.annotation for each in parameters}
    made.__signature__ = signature.replace(parameters=parameters)
    return made


def _parameters(group: type[Any]) -> list[inspect.Parameter]:
    types = get_type_hints(group, include_extras=True)
    found: list[inspect.Parameter] = []
    for each in fields(group):
        assert each.default is not MISSING, f"{group.__name__}.{each.name} has no default"
        found.append(
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=each.default,
                annotation=types[each.name],
            )
        )
    return found


def path(text: str) -> Path:
    """A path from a command line. That of an empty text would be the current folder, which nobody means.

    Raises:
        typer.BadParameter: it is empty.
    """
    return Path(path_text(text))


def path_text(text: str) -> str:
    """The same, of what may be something else than a path too.

    Raises:
        typer.BadParameter: it is empty.
    """
    if not text:
        raise typer.BadParameter("an empty text is no path")
    return text

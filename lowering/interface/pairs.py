"""Texts of the form `NAME=VALUE`, as command lines have them."""

from __future__ import annotations

from collections.abc import Iterable

from webdnn.dialects.errors import WebDNNError


def parse_pairs(
    values: Iterable[str], problem: str, hint: str, twice: str, *, at_last: bool = False
) -> dict[str, str]:
    """`["a=b"]` as `{"a": "b"}`.

    Args:
        values: the texts.
        problem: what a text of another form is said to be, with `{}` in its place.
        hint: how it is to be written.
        twice: what is said of a name that comes twice, with `{}` in its place (and
            in those of its values).
        at_last: whether a text is cut at the last `=`, because names may hold some; else at the first.

    Raises:
        WebDNNError: a text is not of this form, or a name comes twice.
    """
    pairs: dict[str, str] = {}
    for text in values:
        name, separator, value = text.rpartition("=") if at_last else text.partition("=")
        if not (separator and name and value):
            raise WebDNNError(problem.format(text).strip(), hint=hint)
        if name in pairs:
            raise WebDNNError(twice.format(name, pairs[name], value))
        pairs[name] = value
    return pairs

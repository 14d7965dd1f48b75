"""`model.json`, the manifest of a package, and the files that it names: read, and checked before they are used.

A package may come from anywhere. What `package.schema.json` and `webdnn.manifest_checks` say of its manifest is checked
here, so that nobody else has to ask whether a number is in range or a name leads out of the package.
"""

from __future__ import annotations

import errno
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from xxhash import xxh32_hexdigest

from webdnn.dialects.errors import WebDNNError
from webdnn.manifest_checks import check_manifest

if TYPE_CHECKING:
    from jsonschema.protocols import Validator

MANIFEST = "model.json"
"""The file that says what is in a package."""
SCHEMA: dict[str, Any] = json.loads(
    Path(__file__).with_name("package.schema.json").read_text(encoding="utf-8")
)
"""The definition of the format."""
FORMAT: str = SCHEMA["properties"]["format"]["const"]
FORMAT_VERSION: int = SCHEMA["properties"]["version"]["const"]
BACKENDS: tuple[str, ...] = tuple(SCHEMA["properties"]["backends"]["properties"])
"""Those that this version of WebDNN knows; a later one may write others."""
_FILE = SCHEMA["$defs"]["file"]["properties"]["file"]
_FILE_NAME = re.compile(_FILE["pattern"])
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_SHOWN = 200
"""Characters of a message about a value of the manifest."""


def is_file_name(name: str) -> bool:
    """Whether a file of a package may be called so: it is a path within the package, on every system."""
    return len(name) <= _FILE["maxLength"] and _FILE_NAME.search(name) is not None


def check_file_names(names: Iterable[str]) -> None:
    """Check the names of all files of a package but the manifest.

    Raises:
        WebDNNError: one leads out of the package, or two of them are, or may be, one file.
    """
    taken = {MANIFEST}  # in lower case: some systems do not tell it apart
    folders: set[str] = set()
    for name in names:
        if not is_file_name(name):
            raise WebDNNError(
                "a file of a package cannot have this name",
                where=repr(name[:_SHOWN]),
                why=_FILE["description"],
            )
        path = PurePosixPath(name.lower())
        if str(path) in taken:
            raise WebDNNError("two files of a package would be written to one place", where=name)
        taken.add(str(path))
        folders.update(map(str, path.parents))
    if both := taken & folders:
        raise WebDNNError("a file of a package is a folder too", where=sorted(both))


def file_entries(manifest: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a manifest says of each file of the back ends that are known."""
    for section in (manifest["backends"][b] for b in BACKENDS if b in manifest["backends"]):
        yield from section.get("modules", ())
        yield from section.get("shaders", ())
        yield from section["weights"]["shards"]


def code_entries(section: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a back end's section says of the files of code that one browser loads: all shaders, or the best module."""
    modules = section.get("modules", [])
    return [*modules[:1], *section.get("shaders", ())]


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the package in a folder.

    Raises:
        WebDNNError: there is none, or it is not one that this version of WebDNN understands.
    """
    try:
        text = _path(folder, MANIFEST).read_text(encoding="utf-8")
        manifest = json.loads(text, parse_float=_number, parse_constant=_no_number)
        _check_text(text, manifest)
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
            raise ValueError(f"{MANIFEST} is something else")
        if manifest.get("version") != FORMAT_VERSION:
            raise ValueError(f"{MANIFEST} is not of version {FORMAT_VERSION} of the format")
        _check_form(manifest)
        check_manifest(manifest)
    except (OSError, ValueError, RecursionError) as error:
        raise WebDNNError(
            "this is not a package",
            where=str(folder),
            why=f"{MANIFEST} is nested too deeply"
            if isinstance(error, RecursionError)
            else "it is a file, and a package is a folder"
            if isinstance(error, NotADirectoryError)
            else str(error),
            hint="webdnn compile makes one",
        ) from error
    check_file_names(entry["file"] for entry in file_entries(manifest))
    return manifest


def read_file(folder: Path, entry: Mapping[str, Any]) -> bytes:
    """The content of a file of the package in a folder.

    Args:
        entry: what the manifest says of it.

    Raises:
        WebDNNError: the file is missing or damaged, or not in the folder.
    """
    name = entry["file"]
    try:
        path = _path(folder, name)
        content = path.read_bytes() if path.stat().st_size == entry["bytes"] else None
    except OSError as error:
        raise WebDNNError(
            "a file of the package cannot be read", where=name, why=error.strerror or str(error)
        ) from error
    if content is None or xxh32_hexdigest(content) != entry["xxh32"]:
        raise WebDNNError("a file of the package is damaged", where=name)
    return content


def _path(folder: Path, name: str) -> Path:
    """Where a file of a package lies.

    Raises:
        OSError: nowhere, or it is no file that can be read to its end, or a link leads out of the package.
    """
    try:
        path = (folder / name).resolve(strict=True)
    except RuntimeError as error:
        raise OSError(errno.ELOOP, "links lead in a circle", name) from error
    if not path.is_relative_to(folder.resolve()):
        raise OSError(errno.EACCES, "a link leads out of the package", name)
    if not path.is_file():
        raise OSError(errno.EINVAL, "it is not a file", name)
    return path


def _check_form(manifest: dict[str, Any]) -> None:
    """Check that a manifest is as the schema says. What the schema does not know is ignored, so that a version of the
    format may gain fields.

    Raises:
        ValueError: it is not.
    """
    error = next(_validator().iter_errors(manifest), None)
    if error is not None:
        message = error.message
        if len(message) > _SHOWN:  # it begins with the value
            message = f"{message[: _SHOWN // 2]} ... {message[-_SHOWN // 2 :]}"
        raise ValueError(f"{MANIFEST}: {error.json_path.removeprefix('$.')}: {message}")


@cache
def _validator() -> Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(_lenient(SCHEMA))


def _lenient(schema: Any) -> Any:
    """A schema that lets through fields that it does not know."""
    if isinstance(schema, list):
        return [_lenient(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    strict = ("additionalProperties", "unevaluatedProperties")
    return {k: _lenient(v) for k, v in schema.items() if not (k in strict and v is False)}


def _number(text: str) -> int | float:
    """JSON does not tell 1.0 from 1."""
    value = float(text)
    return int(value) if value.is_integer() else value


def _no_number(text: str) -> float:
    raise ValueError(f"{MANIFEST} is not JSON: {text}")


def _check_text(text: str, manifest: Any) -> None:
    """Check that what is escaped in a text is Unicode: half of a character could be neither printed nor written.

    Raises:
        ValueError: it is not.
    """
    if _SURROGATE.search(text):
        try:
            json.dumps(manifest, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"a string in {MANIFEST} is not Unicode") from error

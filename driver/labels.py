"""Labels: the names of a classifier's classes, from files and in packages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

from webdnn.dialects.errors import WebDNNError

Labels: TypeAlias = Sequence[str] | str | Path
"""The names of classes in their order, or the path of a file of them."""

MOST_BYTES = 1 << 20
"""What the labels of a package may come to, in UTF-8: they stand in its manifest, which a browser reads before all
else. Those of ImageNet take 22 KB, those of 21,841 classes 400 KB; a server compresses either to a third."""
_MOST_FILE_BYTES = 16 << 20


def class_labels(labels: Labels) -> tuple[str, ...]:
    """The names of classes, read if they are in a file: text with one a line, or JSON. That is a list, or an object
    with the numbers of classes as keys, by itself or as `id2label` (as `config.json` on the Hugging Face Hub has it).
    Where each class has a list, as in Keras' `imagenet_class_index.json`, its last text is the name.

    Raises:
        WebDNNError: there is no such file, it is none of these, or there are too many.
    """
    found: tuple[Any, ...] = (
        _read(Path(labels)) if isinstance(labels, str | Path) else tuple(labels)
    )
    where = str(labels) if isinstance(labels, str | Path) else ()
    if not found:
        raise WebDNNError("there are no labels", where=where)
    if not all(isinstance(label, str) for label in found):
        raise WebDNNError("a label is no text", where=where)
    size = sum(len(label.encode(errors="surrogatepass")) for label in found)
    if size > MOST_BYTES:
        raise WebDNNError(
            f"the labels are too large for a package: {size:,} bytes",
            where=where,
            why=f"they may take {MOST_BYTES:,} bytes, for they stand in its manifest",
            hint="let the page read a file of its own",
        )
    return found


def _read(path: Path) -> tuple[str, ...]:
    try:
        if path.stat().st_size > _MOST_FILE_BYTES:
            raise WebDNNError("the file of labels is too large", where=str(path))
        text = path.read_text(encoding="utf-8-sig").strip()
        if path.suffix == ".json" or text[:1] == "{" or (text[:1] == "[" and text[-1:] == "]"):
            return _from_json(json.loads(text))
    except OSError as error:
        why = error.strerror or str(error)
        raise WebDNNError("the labels cannot be read", where=str(path), why=why) from error
    except (ValueError, RecursionError) as error:
        raise WebDNNError(
            "the labels cannot be read",
            where=str(path),
            why=str(error),
            hint='text in UTF-8 with one label a line, or JSON: ["cat", "dog"] or {"0": "cat", "1": "dog"}',
        ) from error
    return tuple(line.strip() for line in text.split("\n")) if text else ()


def _from_json(content: Any) -> tuple[str, ...]:
    if isinstance(content, dict):
        content = content.get("id2label", content)
    if isinstance(content, dict):
        by_number = {int(key): value for key, value in content.items()}
        if missing := [n for n in range(len(content)) if n not in by_number]:
            raise ValueError(f"class {missing[0]} of {len(content)} has no label")
        content = [by_number[n] for n in range(len(content))]
    if not isinstance(content, list):
        raise ValueError("it is neither a list nor an object with numbers as keys")
    names: list[str] = []
    for entry in content:
        name = entry[-1] if isinstance(entry, list) and entry else entry
        if not isinstance(name, str):
            raise ValueError(f"the label of class {len(names)} is no text")
        names.append(name)
    return tuple(names)

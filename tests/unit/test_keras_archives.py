"""Archives of Keras that cannot be read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.keras_models import check_archive


def _write(path: Path, version: str) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": version}))
        archive.writestr("config.json", "{}" * 1000)


def test_of_keras_to_come(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    _write(path, "4.1.0")
    with pytest.raises(WebDNNError, match=r"(?s)written by Keras 4\.1\.0.*3\.15\.1 is installed"):
        check_archive(path, "3.15.1")
    _write(path, "2.15.0")
    assert check_archive(path, "3.15.1") == (2, 15)


def test_damaged(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    _write(path, "3.15.1")
    content = bytearray(path.read_bytes())
    content[content.index(b"{}{}") + 100] ^= 1
    path.write_bytes(content)
    with pytest.raises(WebDNNError, match=r"(?s)damaged.*config\.json"):
        check_archive(path, "3.15.1")
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(WebDNNError, match="damaged"):
        check_archive(path, "3.15.1")

"""Archives of Keras that cannot be read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.keras_models import check_archive
from webdnn.frontends.conversion.lambdas import identifier, name_lambdas


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


def test_code_becomes_the_name_of_a_function() -> None:
    code = {"class_name": "__lambda__", "config": {"code": "4wE=", "defaults": None}}

    def layer(name: str) -> dict[str, Any]:
        return {
            "module": "keras.layers",
            "class_name": "Lambda",
            "config": {"name": name, "function": code},
        }

    def functions(config: dict[str, Any], *custom: str) -> list[str]:
        layers = name_lambdas(config, custom)["config"]["layers"]
        return [each["config"]["function"]["config"] for each in layers]

    model = {"class_name": "Sequential", "config": {"layers": [layer("lambda"), layer("twice")]}}
    assert functions(model, "lambda_", "twice") == ["lambda_", "twice"]
    with pytest.raises(WebDNNError, match=r"(?s)where: lambda\n.*`def lambda_\(inputs\): \.\.\.`"):
        name_lambdas(model, ["twice"])
    named = {"class_name": "Sequential", "config": {"layers": []}}
    assert name_lambdas(named, []) is named
    assert [identifier(name) for name in ("a/b", "1st", "class", "ok")] == [
        "a_b", "_1st", "class_", "ok",
    ]  # fmt: skip


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

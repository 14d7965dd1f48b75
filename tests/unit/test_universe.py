"""What the registry names exists, under the name that it has there, and every pass has a filecheck test."""

from __future__ import annotations

from pathlib import Path

import pytest

from webdnn.universe import WEBDNN_UNIVERSE

FILECHECK = Path(__file__).parents[1] / "filecheck"


@pytest.mark.parametrize("name", WEBDNN_UNIVERSE.all_passes)
def test_pass(name: str) -> None:
    assert WEBDNN_UNIVERSE.all_passes[name]().name == name
    runs = [
        line
        for path in FILECHECK.rglob("*.mlir")
        for line in path.read_text().splitlines()
        if "RUN:" in line and name in line
    ]
    assert runs, f"no filecheck test runs {name}"


@pytest.mark.parametrize("name", WEBDNN_UNIVERSE.all_dialects)
def test_dialect(name: str) -> None:
    assert WEBDNN_UNIVERSE.all_dialects[name]().name == name


@pytest.mark.parametrize("name", WEBDNN_UNIVERSE.all_targets)
def test_target(name: str) -> None:
    assert WEBDNN_UNIVERSE.all_targets[name]().name == name

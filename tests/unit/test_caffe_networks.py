"""Public networks of Caffe, converted and compiled, against Caffe's arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.caffe_models import check
from tests.unit.caffe_networks import NETWORKS


@pytest.mark.parametrize("name", NETWORKS)
def test_narrow_networks(tmp_path: Path, name: str) -> None:
    check(tmp_path, NETWORKS[name](8))


@pytest.mark.nightly
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(tmp_path: Path, name: str) -> None:
    check(tmp_path, NETWORKS[name](1))

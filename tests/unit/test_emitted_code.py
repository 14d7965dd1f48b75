"""The comparison of what two commits emit."""

from __future__ import annotations

import subprocess
import sys

from tests.emitted_code import differences


def test_differences_name_what_changed_came_and_went() -> None:
    before = {"a": "1", "b": "2", "c": "3"}
    assert differences(before, {"a": "1", "b": "4", "d": "3"}) == ["b", "c (gone)", "d (new)"]
    assert differences(before, before) == []


def test_the_installed_compiler_emits_every_kernel() -> None:
    command = [sys.executable, "-m", "tests.emitted_code", "--emit", "--models", "magika"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert '"magika, wasm"' in said
    assert '"magika, webgpu"' in said
    assert '"kernels": {}' not in said

"""The comparison of what two commits emit."""

from __future__ import annotations

import subprocess
import sys

import pytest

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


@pytest.mark.nightly
def test_a_commit_emits_what_it_emits() -> None:
    command = [sys.executable, "-m", "tests.emitted_code", "--against", "HEAD~1"]
    said = subprocess.run([*command, "--models", "magika"], capture_output=True, text=True)
    assert said.stderr == ""
    assert said.stdout.count("magika") == 2

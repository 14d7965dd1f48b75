"""Who may import whom: tools -> driver -> {frontends, lowering, codegen} -> dialects -> xdsl, without exception."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

ALLOWED = {
    "dialects": {"dialects"},
    "frontends": {"frontends", "dialects"},
    "lowering": {"lowering", "dialects"},
    "codegen": {"codegen", "dialects"},
    "driver": {"driver", "frontends", "lowering", "codegen", "dialects"},
    "tools": {"tools", "driver", "frontends", "lowering", "codegen", "dialects"},
}
"""For each folder, the folders that its files may import from."""

LEVELS = {
    "onnx_to_nn": set[str](),
    "interface": {"onnx_to_nn"},
    "nn": set[str](),
    "nn_to_linalg": set[str](),
    "linalg": {"nn_to_linalg"},
    "kernels": set[str](),
    "loops_common": set[str](),
    "loops_cpu": {"loops_common"},
    "loops_gpu": {"loops_common"},
    "target_wasm": set[str](),
    "target_wgsl": set[str](),
}
"""For each folder of `lowering`, the other ones that its files may import from; what several need lies beside them."""


def imported_names(path: Path) -> list[str]:
    """All that a file imports, however deep in the file."""
    names: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide where things come from"
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def imported_folders(path: Path) -> set[str]:
    """The folders of this project that a file imports from."""
    folders: set[str] = set()
    for name in imported_names(path):
        package, _, rest = name.partition(".")
        if package == "webdnn":
            part = rest.partition(".")[0]
            folders.add(part if part in ALLOWED else "driver")
        elif package in ALLOWED:
            folders.add(f"{package} as a top-level package")
    return folders


@pytest.mark.parametrize("folder", ALLOWED)
def test_imports(folder: str) -> None:
    wrong = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in imported_folders(path) - ALLOWED[folder]
    }
    assert not wrong


@pytest.mark.parametrize("folder", LEVELS)
def test_levels(folder: str) -> None:
    """A level knows those that share its work, and no other; a target knows no other one."""
    prefix = "webdnn.lowering."
    found = {
        (name.removeprefix(prefix).partition(".")[0], str(path.relative_to(ROOT)))
        for path in (ROOT / "lowering" / folder).rglob("*.py")
        for name in imported_names(path)
        if name.startswith(prefix)
    }
    wrong = {
        (at, level) for level, at in found if level in LEVELS.keys() - LEVELS[folder] - {folder}
    }
    assert not wrong


def test_levels_are_all_folders() -> None:
    assert {p.parent.name for p in (ROOT / "lowering").glob("*/__init__.py")} == set(LEVELS)


def test_every_folder_of_python_code_is_a_package() -> None:
    """pyproject.toml lists the packages by hand: none may be missing."""
    listed = set(
        line.strip().strip('",')
        for line in (ROOT / "pyproject.toml").read_text().splitlines()
        if line.strip().startswith('"webdnn') and line.strip().endswith(('",', '"'))
    )
    found: set[str] = set()
    for folder in ALLOWED:
        for init in (ROOT / folder).rglob("__init__.py"):
            parts = init.parent.relative_to(ROOT).parts
            found.add(".".join(("webdnn", *parts[folder == "driver" :])))
    assert found <= listed


def test_no_folder_shadows_the_distribution() -> None:
    """`import webdnn` in the root of the repository finds what is installed, whatever else is on the path before it."""
    assert not (ROOT / "webdnn").exists()
    found = subprocess.run(
        [sys.executable, "-c", "import webdnn.dialects, webdnn.tools.webdnn"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr

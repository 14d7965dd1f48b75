"""Every snippet of README and docs does what it says. (The TypeScript one runs in tests/e2e.)"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

SETUP_COMMANDS = ("./dev", "python -m benchmarks", "python -m tests")
"""Commands that tests cannot run inside tests; that `./dev` knows them is checked instead."""


def snippets(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A folder with the `model.onnx` that the pages speak of: y = relu(x), any number of rows of 4; with a classifier
    of pictures by their colour, a model that draws noise, and a decoder with a cache."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> '
        "relu (float[rows, 4] x) => (float[rows, 4] y) { y = Relu(x) }"
    )
    onnx.save(model, tmp_path / "model.onnx")
    classifier = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> '
        "colours (float[batch, 3, 32, 32] image) => (float[batch, 3] scores) "
        "{ mean = GlobalAveragePool(image) scores = Flatten(mean) }"
    )
    onnx.save(classifier, tmp_path / "classifier.onnx")
    sampler = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> '
        "sampler () => (float[2, 8] noise) { noise = RandomUniform <low = -1.0, shape = [2, 8]> () }"
    )
    onnx.save(sampler, tmp_path / "sampler.onnx")
    decoder = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> '
        "decoder (float[1, tokens, 4] x, float[1, past, 4] past_0) "
        "=> (float[1, tokens, 4] y, float[1, total, 4] present_0) "
        "{ present_0 = Concat <axis = 1> (past_0, x) t = Transpose <perm = [0, 2, 1]> (present_0) "
        "scores = MatMul(x, t) weights = Softmax(scores) y = MatMul(weights, present_0) }"
    )
    onnx.save(decoder, tmp_path / "decoder.onnx")
    (tmp_path / "labels.txt").write_text("red\ngreen\nblue\n")
    return tmp_path


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        command,
        cwd=folder,
        shell=isinstance(command, str),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )


@pytest.mark.parametrize("page", [p for p in PAGES if snippets(p, "python")], ids=lambda p: p.name)
def test_python(page: Path, workspace: Path) -> None:
    script = workspace / "snippets.py"
    script.write_text("\n".join(snippets(page, "python")))
    done = run([sys.executable, script.name], workspace)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", [p for p in PAGES if snippets(p, "sh")], ids=lambda p: p.name)
def test_shell(page: Path, workspace: Path) -> None:
    lines = [line.split("  #")[0].strip() for s in snippets(page, "sh") for line in s.splitlines()]
    for line in lines:
        if line.startswith("./dev "):
            assert f"\n  {line.split()[1]})" in (ROOT / "dev").read_text()
        elif line and not line.startswith(SETUP_COMMANDS):
            done = run(line, workspace)
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)", page.read_text())
    missing = [link for link in links if link and not (page.parent / link).exists()]
    assert not missing

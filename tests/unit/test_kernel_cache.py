"""The cache of compiled kernels: damaged entries, old ones, full disks, passes whose code changes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import pytest
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

import webdnn
from webdnn.kernel_cache import KernelCache

MODEL = onnx.parser.parse_model(
    """
    <ir_version: 10, opset_import: ["" : 21]>
    example (float[4] x) => (float[4] y, float[4] z) { y = Add(x, x) z = Exp(x) }
    """
)
X = np.arange(4, dtype=np.float32)


def compiled(folder: Path) -> webdnn.Package:
    return webdnn.compile(MODEL, target="wasm", cache=KernelCache(folder), jobs=1)


def entries(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_truncated_entries_are_computed_again(tmp_path: Path, kept: float) -> None:
    expected = compiled(tmp_path).files
    assert len(entries(tmp_path)) >= 2
    for path in entries(tmp_path):
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * kept)])
    assert compiled(tmp_path).files == expected


def test_changed_entries_are_computed_again(tmp_path: Path) -> None:
    expected = compiled(tmp_path).files
    contents = {path: path.read_bytes() for path in entries(tmp_path)}
    for place in (0.01, 0.3, 0.6, 0.95):
        for path, content in contents.items():
            changed = bytearray(content)
            changed[int(len(content) * place)] ^= 4
            path.write_bytes(bytes(changed))
        assert compiled(tmp_path).files == expected


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert np.array_equal(compiled(tmp_path / "file").run({"x": X})["y"], X + X)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = KernelCache(tmp_path)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache.put(cache.key("a"), b"kernel")
    assert entries(tmp_path) == []


def test_entries_of_old_compilers_go(tmp_path: Path) -> None:
    old, recent, others = tmp_path / ("0" * 16), tmp_path / ("1" * 16), tmp_path / "photos"
    for folder in (old, recent, others):
        folder.mkdir()
        (folder / "entry").write_bytes(b"")
    os.utime(old, (0, 0))
    os.utime(others, (0, 0))
    compiled(tmp_path)
    assert not old.exists()
    assert recent.exists()
    assert others.exists()


@dataclass(frozen=True)
class ProductsForSums(ModulePass):
    """What it does depends on `is_on`, which stands for its code: two versions of a pass look the same."""

    name = "products-for-sums"
    is_on: ClassVar[bool] = False

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        for add in [a for a in op.walk() if isinstance(a, arith.AddfOp)]:
            if self.is_on:
                Rewriter.replace_op(add, arith.MulfOp(add.lhs, add.rhs))


def test_what_a_pass_of_the_users_makes_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for is_on in (False, True):
        monkeypatch.setattr(ProductsForSums, "is_on", is_on)
        package = webdnn.compile(
            MODEL,
            target="wasm",
            cache=KernelCache(tmp_path),
            passes={"loops": [ProductsForSums()]},
            jobs=1,
        )
        assert np.array_equal(package.run({"x": X})["y"], X * X if is_on else X + X)

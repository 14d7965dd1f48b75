"""The cache of compiled kernels: damaged and wrong entries, old ones, full disks, passes whose code changes."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import onnx
import pytest
from xdsl.context import Context
from xdsl.dialects import arith
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.rewriter import Rewriter

import webdnn
from webdnn.codegen.wgsl.module import KernelInfo, Shader
from webdnn.dialects import kernel
from webdnn.dialects.sizes.expression import Symbol
from webdnn.kernel_cache import CacheEntry, KernelCache
from webdnn.lowering.target_wasm.launch_calls import KernelWork
from webdnn.packaging import shader, wasm_kernel
from webdnn.packaging.wasm_kernel import WasmKernel

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


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero")])
def test_entries_that_are_no_files_are_computed_again(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    expected = compiled(tmp_path).files
    for path in entries(tmp_path):
        path.unlink()
        make(path)
    assert compiled(tmp_path).files == expected


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


class Bomb:
    """Runs code when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.proof,))

    def __init__(self, proof: Path) -> None:
        self.proof = proof


def test_what_is_found_is_never_run(tmp_path: Path) -> None:
    expected = compiled(tmp_path / "cache").files
    proof = tmp_path / "was here"
    content = pickle.dumps(Bomb(proof))
    pickle.loads(content)
    assert proof.exists()
    proof.unlink()
    for path in entries(tmp_path / "cache"):
        path.write_bytes(sha256(content).digest() + content)
    assert compiled(tmp_path / "cache").files == expected
    assert not proof.exists()


WRONG_ENTRIES = [
    CacheEntry({}),
    CacheEntry({"objects": [0, 0], "stack": 0, "work": None}),
    CacheEntry({"objects": [0, 0], "stack": 0, "work": None}, (b"no object",)),
    CacheEntry({"objects": [0], "stack": 0, "work": None}, (b"\0asm",)),
    CacheEntry({"objects": [0, -1], "stack": 0, "work": None}, (b"\0asm",)),
    CacheEntry({"objects": [0, True], "stack": 0, "work": None}, (b"\0asm", b"\0asm")),
    CacheEntry({"objects": [[], {}], "stack": 0, "work": None}, (b"\0asm",)),
    CacheEntry({"objects": [0, 0], "stack": -1, "work": None}, (b"\0asm",)),
    CacheEntry({"objects": [0, 0], "stack": 0, "work": [1]}, (b"\0asm",)),
    CacheEntry({"objects": [0, 0], "stack": 0, "work": [1, "1"]}, (b"\0asm",)),
    CacheEntry({"schedule": {}, "panels": None}),
    CacheEntry({"schedule": {"strategy": "none such"}, "panels": None}),
    CacheEntry({"schedule": {"strategy": {}}, "panels": None}),
    CacheEntry({"schedule": {"strategy": "tile", "unroll": 2**80}, "panels": None}),
    CacheEntry({"schedule": {"strategy": "tile"}, "panels": [8, 8, 8, 8, 8]}),
    CacheEntry({"schedule": [], "panels": 3}),
    CacheEntry({"kernel": {"name": "add_0"}}, (b"",)),
    CacheEntry({"kernel": None}, (b"",)),
]


@pytest.mark.parametrize("wrong", WRONG_ENTRIES, ids=lambda e: f"{e.fields} {e.parts}")
def test_entries_of_another_kind_are_computed_again(tmp_path: Path, wrong: CacheEntry) -> None:
    expected = compiled(tmp_path).files
    for path in entries(tmp_path):
        path.write_bytes(wrong.to_bytes())
    assert compiled(tmp_path).files == expected


@pytest.mark.parametrize(
    "change",
    [
        {"bindings": ["read"]},
        {"bindings": ["write", "read"]},
        {"bindings": "read"},
        {"name": "other"},
        {"entry_point": 3},
        {"workgroups": [1, 1]},
        {"workgroups": [1, 1, -1]},
        {"workgroups": [1, 1, 1.5]},
        {"workgroup_size": [0, 1, 1]},
        {"features": [None]},
        None,
    ],
)
def test_shaders_of_another_kind_are_computed_again(
    tmp_path: Path, change: dict[str, Any] | None
) -> None:
    def compiled() -> Mapping[str, bytes | memoryview]:
        return webdnn.compile(MODEL, target="webgpu", cache=KernelCache(tmp_path), jobs=1).files

    expected = compiled()
    assert entries(tmp_path)
    for path in entries(tmp_path):
        entry = CacheEntry.from_bytes(path.read_bytes())
        assert entry is not None
        (source,) = entry.parts
        kernel = entry.fields["kernel"]
        wrong = (
            CacheEntry(entry.fields, (b"\xff" + source,))
            if change is None
            else CacheEntry({"kernel": {**kernel, **change}}, (source + b"// changed",))
        )
        path.write_bytes(wrong.to_bytes())
    assert compiled() == expected


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0\0",
        b"\xff\xff\xff\xff",
        b"\2\0\0\0{}",
        b"\1\0\0\0\xff",
        b'\x1c\0\0\0{"fields":{},"parts":[2,-1]}',
        (400_000).to_bytes(4, "little") + b"[" * 400_000,
    ],
    ids=lambda c: repr(c[:20]),
)
def test_files_of_another_form_hold_no_entry(content: bytes) -> None:
    assert CacheEntry.from_bytes(sha256(content).digest() + content) is None


def test_entries_come_back() -> None:
    entry = CacheEntry({"a": [1, None, "é"]}, (b"", b"\0\xff", b"x"))
    assert CacheEntry.from_bytes(entry.to_bytes()) == entry
    assert CacheEntry.from_bytes(entry.to_bytes() + b"x") is None


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert np.array_equal(compiled(tmp_path / "file").run({"x": X})["y"], X + X)


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = KernelCache(tmp_path)

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    cache.put(cache.key("a"), CacheEntry({}, (b"kernel",)))
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


def test_entries_keep_sizes_that_depend_on_symbols() -> None:
    n, m = Symbol("n0", 1, 512, likely=128), Symbol("n1", 32, 320, unit=32)
    work = KernelWork(n.size * 40 + m.size // 32, 1000, symbols=(n, m))
    kept = wasm_kernel.from_entry(_stored(wasm_kernel.to_entry(_wasm_kernel(work))))
    assert kept is not None and kept.work == work
    func = kernel.FuncOp("k", ([], []), symbols=(n, m))
    grid = (n.size // 4 + 1, m.size, 1)
    info = KernelInfo("k", "k", (), grid, (64, 1, 1), sizes=("n0", "n1"))
    entry = _stored(shader.to_entry(Shader("text", (info,))))
    found = shader.from_entry(entry, func)
    assert found is not None and found.kernels == (info,)
    other = kernel.FuncOp("k", ([], []), symbols=(n,))
    assert shader.from_entry(entry, other) is None


def _wasm_kernel(work: KernelWork) -> WasmKernel:
    return WasmKernel((b"\0asm",) * 2, 0, work)


def _stored(entry: CacheEntry) -> CacheEntry:
    """An entry as it is after it has been a file."""
    return CacheEntry(json.loads(json.dumps(entry.fields)), entry.parts)

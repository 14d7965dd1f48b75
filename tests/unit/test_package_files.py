"""What is in the folder of a package: names, links, and manifests that are damaged or meant to do harm."""

from __future__ import annotations

import copy
import json
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import pytest
import wasmtime
from xxhash import xxh32_hexdigest

import webdnn
from webdnn.dialects.errors import WebDNNError
from webdnn.kernel_profile import profile_package
from webdnn.manifest import MANIFEST, SCHEMA, is_file_name
from webdnn.package import Package

NAMES: dict[str, list[str]] = json.loads(
    (Path(__file__).parents[1] / "file_names.json").read_text(encoding="utf-8")
)
"""For this test and for that of the runtime."""
MODEL = onnx.parser.parse_model(
    """
    <ir_version: 10, opset_import: ["" : 21]>
    example (float[3, 4] x, int64 n) => (float[3, 5] y, int64 m)
    <float[4, 5] w = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20}>
    { y = MatMul(x, w) m = Neg(n) }
    """
)
INPUTS = {"x": np.ones((3, 4), np.float32), "n": np.array(5)}


@pytest.fixture(scope="module")
def package() -> Package:
    return webdnn.compile(MODEL, jobs=1)


@pytest.fixture
def folder(package: Package, tmp_path: Path) -> Path:
    return package.save(tmp_path / "inside" / "package")


def shards(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    return manifest["backends"]["wasm"]["weights"]["shards"]


def rewrite(folder: Path, manifest: Any) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest))


def refusal(folder: Path) -> str:
    with pytest.raises(WebDNNError) as caught:
        Package.load(folder)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [(name, wanted == "good") for wanted in ("good", "bad") for name in NAMES[wanted]],
)
def test_names_of_files(package: Package, folder: Path, name: str, wanted: bool) -> None:
    assert is_file_name(name) == wanted
    manifest = copy.deepcopy(package.manifest)
    (shard,) = shards(manifest)
    content = package.files[shard["file"]]
    shard["file"] = name
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(manifest) == wanted
    files = {**package.files, name: content}
    if wanted:
        Package(manifest, files).save(folder)
        assert Package.load(folder).files[name] == content
        return
    before = sorted(folder.parents[1].rglob("*"))
    rewrite(folder, manifest)
    refusal(folder)
    for write in (Package(manifest, files).folder, lambda: Package(manifest, files).save(folder)):
        with pytest.raises(WebDNNError, match="cannot have this name"):
            write()
    assert sorted(folder.parents[1].rglob("*")) == before


@pytest.mark.parametrize("name", ["../evil.txt", "/etc/hostname"])
def test_nothing_outside_is_read_or_written(package: Package, folder: Path, name: str) -> None:
    secret = folder.parent / "evil.txt"
    secret.write_text("secret")
    content = (folder / name).read_bytes()
    manifest = copy.deepcopy(package.manifest)
    shards(manifest)[:] = [{"file": name, "bytes": len(content), "xxh32": xxh32_hexdigest(content)}]
    manifest["backends"]["wasm"]["weights"]["bytes"] = len(content)
    rewrite(folder, manifest)
    assert f"model.json: backends.wasm.weights.shards[0].file: {name!r}" in refusal(folder)


@pytest.mark.parametrize("kind", ["a file", "its folder", "the manifest"])
def test_links_out_of_the_package(package: Package, folder: Path, kind: str) -> None:
    (shard,) = shards(package.manifest)
    path = folder / (MANIFEST if kind == "the manifest" else shard["file"])
    moved = path.parent if kind == "its folder" else path
    target = folder.parent / "elsewhere"
    moved.rename(target)
    moved.symlink_to(target, target_is_directory=target.is_dir())
    assert "a link leads out of the package" in refusal(folder)


def test_links_within_the_package_and_to_it(package: Package, folder: Path) -> None:
    (shard,) = shards(package.manifest)
    path = folder / shard["file"]
    path.rename(folder / "weights")
    path.symlink_to(folder / "weights")
    (folder.parent / "link").symlink_to(folder, target_is_directory=True)
    assert Package.load(folder.parent / "link").files == package.files


def test_what_is_no_file(package: Package, folder: Path) -> None:
    """A pipe would be waited for, and a device has no end."""
    (shard,) = shards(package.manifest)
    path = folder / shard["file"]
    for name in (path, folder / MANIFEST):
        name.unlink()
        os.mkfifo(name)
        assert "it is not a file" in refusal(folder)
        name.unlink()
        name.mkdir()
        assert "it is not a file" in refusal(folder)
        name.rmdir()
        name.symlink_to(name)
        refusal(folder)
        name.unlink()
        rewrite(folder, package.manifest)


def test_files_that_are_longer_or_shorter(package: Package, folder: Path) -> None:
    (shard,) = shards(package.manifest)
    content = bytes(package.files[shard["file"]])
    for wrong in (content[:-1], content + b"\0", content[:-1] + b"\xff"):
        (folder / shard["file"]).write_bytes(wrong)
        assert "damaged" in refusal(folder)


@pytest.mark.parametrize(
    "names",
    [
        ("a", "a"),
        ("a", "A"),
        ("a", "a/b"),
        ("a/b", "A"),
        ("model.json/a", "b"),
        ("MODEL.json", "b"),
    ],
)
def test_two_files_in_one_place(package: Package, folder: Path, names: tuple[str, str]) -> None:
    manifest = copy.deepcopy(package.manifest)
    for entry, name in zip(manifest["backends"]["wasm"]["modules"], names, strict=False):
        entry["file"] = name
    rewrite(folder, manifest)
    problem = "written to one place|is a folder too"
    assert re.search(problem, refusal(folder))
    if names != ("a", "a"):
        with pytest.raises(WebDNNError, match=problem):
            Package(manifest, dict.fromkeys(names, b"")).folder()


BAD_TEXTS = {
    "[]": "something else",
    "3": "something else",
    "[" * 200_000: "nested too deeply",
    '{"a":' * 200_000: "nested too deeply",
    "9" * 5_000: "digits",
    '{"format": NaN}': "not JSON: NaN",
    '{"format": 1, "format": "webdnn-package", "version": 4}': "is a required property",
    '"\\ud800"': "not Unicode",
    '{"format": "webdnn-package", "version": 1e400}': "not of version 4",
    '{"format": "webdnn-package", "version": [4]}': "not of version 4",
}


@pytest.mark.parametrize("text", BAD_TEXTS, ids=lambda text: text[:30])
def test_texts_that_are_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)
    message = refusal(tmp_path)
    assert "this is not a package" in message
    assert BAD_TEXTS[text] in message
    assert len(message) < 1000


def test_numbers_written_as_floats(package: Package, folder: Path) -> None:
    text = (folder / MANIFEST).read_text().replace('"pages": ', '"pages": 0.00000')
    pages = package.manifest["backends"]["wasm"]["memory"]["pages"]
    text = text.replace(f"0.00000{pages}", f"{pages}.0e0")
    (folder / MANIFEST).write_text(text)
    results = Package.load(folder).run(INPUTS)
    assert results["m"] == -5


def test_fields_of_later_versions_are_ignored(package: Package, folder: Path) -> None:
    manifest = copy.deepcopy(package.manifest)
    for owner in (manifest, manifest["inputs"][0], manifest["backends"]["wasm"], *shards(manifest)):
        owner["later"] = 1
    for later in (3, [], {}, {"weights": {"shards": [{"file": "../x"}]}}):
        manifest["backends"]["later"] = later
        rewrite(folder, manifest)
        loaded = Package.load(folder)
        assert list(loaded.backends) == ["wasm", "webgpu"]
        assert loaded.run(INPUTS)["m"] == -5


def places(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """The paths of all values in a value."""
    if path:
        yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


JUNK = (
    None,
    True,
    -1,
    0,
    1,
    3,
    0.5,
    2**31,
    2**53 - 1,
    2**53,
    2**64,
    1e300,
    "",
    "x",
    "\0",
    [],
    {},
    [[0]],
)


def check_spoilt(package: Package, folder: Path, choose: random.Random, count: int) -> None:
    """Change one value of the manifest. It is refused, or runs, or is refused by the engine; nothing else is raised."""
    all_places = list(places(package.manifest))
    for _ in range(count):
        *path, last = choose.choice(all_places)
        manifest = copy.deepcopy(package.manifest)
        owner: Any = manifest
        for key in path:
            owner = owner[key]
        owner[last] = choose.choice(JUNK)
        rewrite(folder, manifest)
        try:
            loaded = Package.load(folder)
            inputs = {
                t["name"]: np.zeros(t["shape"], np.dtype(t["dtype"])) for t in manifest["inputs"]
            }
        except (WebDNNError, MemoryError):
            continue
        for engine in ("wasmtime", "wgpu"):
            try:
                loaded.run(inputs, engine)
            except WebDNNError:
                continue


def test_any_value_of_a_manifest_may_be_wrong(package: Package, folder: Path) -> None:
    check_spoilt(package, folder, random.Random(1), 150)


@pytest.mark.nightly
def test_many_values_of_a_manifest_may_be_wrong(package: Package, folder: Path) -> None:
    check_spoilt(package, folder, random.Random(2), 5_000)


def test_a_module_that_fails(package: Package) -> None:
    """It lacks what it should export, or wants what nobody gives it."""
    manifest = copy.deepcopy(package.manifest)
    section = manifest["backends"]["wasm"]
    file = section["modules"][-1]["file"]
    section["modules"] = [section["modules"][-1]]
    empty = b"\0asm\1\0\0\0"
    wants = empty + b"\1\4\1\x60\0\0" + b"\2\7\1\1a\1b\0\0"
    for content, message in (
        (empty, "can run none"),
        (wants, "can run none"),
        (b"", "can run none"),
        (bytes(package.files[file])[:-50], "can run none"),
    ):
        with pytest.raises(WebDNNError, match=message):
            Package(manifest, {**package.files, file: content}).run(INPUTS, "wasmtime")


@pytest.mark.parametrize(
    ("run", "message"),
    [
        ('(func (export "run") unreachable)', "unreachable"),
        ("", "does not export the function run"),
    ],
)
def test_a_module_that_fails_in_a_run(package: Package, run: str, message: str) -> None:
    manifest = copy.deepcopy(package.manifest)
    section = manifest["backends"]["wasm"]
    section["modules"] = [section["modules"][-1]]
    file = section["modules"][0]["file"]
    pages = section["memory"]["pages"]
    module = wasmtime.wat2wasm(f'(module (import "env" "memory" (memory {pages})) {run})')
    with pytest.raises(WebDNNError, match=message):
        Package(manifest, {**package.files, file: bytes(module)}).run(INPUTS, "wasmtime")


def test_saving_through_a_link(package: Package, tmp_path: Path) -> None:
    """The link stays, whether it leads to a package, to an empty folder, or to nothing yet."""
    for name in ("nothing", "empty", "package"):
        real, link = tmp_path / "real" / name, tmp_path / f"link to {name}"
        link.symlink_to(Path("real") / name, target_is_directory=True)
        if name != "nothing":
            real.mkdir(parents=True, exist_ok=True)
        if name == "package":
            package.save(real)
            (real / "old").touch()
        assert package.save(link) == link
        assert link.is_symlink()
        assert not real.is_symlink()
        assert not (real / "old").exists()
        assert Package.load(link).files == package.files
    assert sorted(p.name for p in (tmp_path / "real").iterdir()) == ["empty", "nothing", "package"]


def test_links_that_must_not_be_written_through(package: Package, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious.txt").write_text("keep me")
    (tmp_path / "file").touch()
    for target, message in (
        ("full", "not a package"),
        ("file", "the output is a file"),
        ("link to circle", "in a circle"),
    ):
        link = tmp_path / f"link to {target.removeprefix('link to ')}"
        link.symlink_to(target)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(WebDNNError, match=message):
            package.save(link)
        assert sorted(tmp_path.rglob("*")) == before


def test_the_package_before_stays_where_the_next_fails(
    package: Package, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.rename

    def full(self: Path, target: Path) -> Path:
        if self.name == "package" and self.parent.name.startswith("."):
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(WebDNNError, match="No space left"):
        package.save(folder)
    assert Package.load(folder).files == package.files
    assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_profiles_of_kernels_that_nothing_is_said_of(package: Package) -> None:
    manifest = copy.deepcopy(package.manifest)
    del manifest["backends"]["wasm"]["kernels"]
    with pytest.raises(WebDNNError, match="does not say what each kernel does"):
        profile_package(Package(manifest, package.files), "wasmtime", 1)
    assert profile_package(package, "wasmtime", 1).kernels

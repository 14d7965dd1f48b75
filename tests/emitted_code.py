"""The code that two commits emit for the test models, compared kernel by kernel: the proof of a refactoring.

python -m tests.emitted_code --against HEAD~3    # the working tree against a commit; all models, both targets
python -m tests.emitted_code --against main --models light_squeezenet magika --texts /tmp/emitted

A kernel is compared as an object file (wasm) or as WGSL, before it is linked; the host program and the manifest as the
files of the package. Exit status 1 where anything differs. `--texts` also writes the code of all kernels, and their IR
on level `kernels`, into `before/` and `after/`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from xdsl.dialects.builtin import ModuleOp

import webdnn
from tests.models import all_models, model_case
from webdnn.codegen.wgsl.module import Shader
from webdnn.dialects import kernel
from webdnn.kernel_cache import KernelCache
from webdnn.kernel_compiler import compile_kernels, kernel_text

ROOT = Path(__file__).parents[1]
PARTS = ("dialects", "frontends", "lowering", "codegen", "tools")
DRIVERS = ("driver", "webdnn")
"""The folder of the package `webdnn` itself: now, and in commits before it was renamed."""


@dataclass
class Emitted:
    """Digests of what one model becomes on one target: of each kernel's code by its name, and of the package's files
    (weights left out)."""

    kernels: dict[str, str] = field(default_factory=dict[str, str])
    files: dict[str, str] = field(default_factory=dict[str, str])


def emitted(model: str, target: str, texts: Path | None) -> Emitted:
    """Compile a model of the tests.

    Args:
        texts: a folder for the code of each kernel and its IR on level `kernels`.
    """
    result = Emitted()
    case = model_case(model)
    cache = KernelCache()

    def take(stage: str, _: str | None, module: ModuleOp) -> None:
        if stage != "kernels":
            return
        kernels = [*kernel.kernels_of(module).values()]
        compiled = compile_kernels(kernels, target, cache=cache)
        for func, code in zip(kernels, compiled, strict=True):
            name = func.sym_name.data
            parts = [code.source.encode()] if isinstance(code, Shader) else list(code.objects)
            result.kernels[name] = _digest(*parts)
            if texts is not None:
                folder = texts / model / target
                folder.mkdir(parents=True, exist_ok=True)
                (folder / f"{name}.mlir").write_text(kernel_text(func))
                suffix = "wgsl" if isinstance(code, Shader) else "o"
                (folder / f"{name}.{suffix}").write_bytes(parts[0])

    package = webdnn.compile(case.path, target=target, shapes=case.shapes, hook=take, cache=cache)
    for name, content in package.files.items():
        if not name.endswith(".bin"):
            result.files[name] = _digest(content)
    result.files["model.json"] = _digest(json.dumps(package.manifest).encode())
    return result


def _digest(*parts: bytes | memoryview) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()[:16]


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """The names that stand for something else, or that only one of the two has."""
    return [
        name
        if name in before and name in after
        else f"{name} ({'gone' if name in before else 'new'})"
        for name in sorted({*before, *after})
        if before.get(name) != after.get(name)
    ]


@contextmanager
def _packages_of(commit: str) -> Generator[Path]:
    """A folder that holds the package `webdnn` as it was at a commit."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tree = folder / "tree"
        git = ["git", "-C", str(ROOT), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), commit], check=True)
        try:
            package = folder / "packages" / "webdnn"
            package.mkdir(parents=True)
            driver = next(tree / name for name in DRIVERS if (tree / name).is_dir())
            for entry in (*driver.iterdir(), *(tree / part for part in PARTS)):
                (package / entry.name).symlink_to(entry)
            yield package.parent
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)


def _measured(
    packages: Path | None, models: Sequence[str], targets: Sequence[str], texts: Path | None
) -> dict[str, dict[str, Any]]:
    """What the compiler in `packages` (None: the one that is installed) emits, found out in a process of its own."""
    path = [str(ROOT), *([str(packages)] if packages else [])]
    command = [sys.executable, str(Path(__file__)), "--models", *models, "--targets", *targets]
    if texts is not None:
        command += ["--texts", str(texts)]
    result = subprocess.run(
        [*command, "--emit"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(reversed(path))},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.emitted_code", description=__doc__)
    parser.add_argument("--against", metavar="COMMIT", default="HEAD")
    parser.add_argument("--models", nargs="+", choices=all_models(), default=all_models())
    parser.add_argument(
        "--targets", nargs="+", choices=["wasm", "webgpu"], default=["wasm", "webgpu"]
    )
    parser.add_argument("--texts", type=Path, metavar="FOLDER")
    parser.add_argument("--emit", action="store_true", help=argparse.SUPPRESS)
    return parser


def main() -> int:
    """The entry point; returns the exit status."""
    options = _parser().parse_args()
    models, targets, texts = options.models, options.targets, options.texts
    if options.emit:
        found = {f"{m}, {t}": asdict(emitted(m, t, texts)) for m in models for t in targets}
        json.dump(found, sys.stdout)
        return 0
    with _packages_of(options.against) as packages:
        before = _measured(packages, models, targets, texts and texts / "before")
    after = _measured(None, models, targets, texts and texts / "after")
    status = 0
    for case in before:
        lines = [
            f"  {kind} {name}"
            for kind in ("kernels", "files")
            for name in differences(before[case][kind], after[case][kind])
        ]
        count = len(after[case]["kernels"])
        print(f"{case}: {'differs' if lines else f'the same, {count} kernels'}")
        print(*lines, sep="\n", end="\n" if lines else "")
        status |= bool(lines)
    return status


if __name__ == "__main__":
    sys.exit(main())

"""Objects to one linked WebAssembly module, by `wasm-ld`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from webdnn.codegen.wasm.module_reader import data_end
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.wasm_memory import PAGE, check_pages


@cache
def linker() -> tuple[str, ...]:
    """The command of the linker: a `wasm-ld` on the path, else the one that the `ziglang` package carries.

    Raises:
        WebDNNError: there is neither.
    """
    if found := shutil.which("wasm-ld"):
        return (found,)
    spec = find_spec("ziglang")
    for folder in spec.submodule_search_locations or () if spec else ():
        # The program itself: to start it through Python takes twice as long.
        if zig := shutil.which("zig", path=folder):
            return (zig, "wasm-ld")
    raise WebDNNError("there is no wasm-ld", hint="pip install ziglang, or install LLVM's lld")


def link(
    objects: Sequence[bytes],
    *,
    exports: Sequence[str] = ("run", "run_range"),
    stack_size: int = PAGE,
    memory_pages: int | None = None,
    grown_pages: int | None = None,
    max_pages: int | None = None,
    data_limit: int | None = None,
    names: bool = True,
) -> bytes:
    """Link objects to a module that imports `env.memory` and nothing else. The same input gives the same bytes.

    The stack comes first in memory, so an overflow traps instead of overwriting data; constants come behind it.

    Args:
        objects: wasm32 object files.
        exports: the functions to export.
        stack_size: bytes of stack, a multiple of 16.
        memory_pages: the size of the memory, initial and maximum; by default what stack and data need.
        grown_pages: the maximum, where that is another size.
        max_pages: makes a module for threads, whose memory is shared and has at most so many pages. It exports
            `__stack_pointer`, for each instance needs a stack of its own.
        data_limit: the address that constants in memory must stay below.
        names: keep the names of functions, for profilers and stack traces.

    Raises:
        WebDNNError: the module would need more than 4 GiB, its constants have no room, or the linker fails.
    """
    if memory_pages is not None:
        check_pages(max_pages or grown_pages or memory_pages)
    with tempfile.TemporaryDirectory(prefix="webdnn-link-") as folder:
        paths: list[str] = []
        for index, data in enumerate(objects):
            path = Path(folder) / f"{index}.o"
            path.write_bytes(data)
            paths.append(path.name)
        command = [
            *linker(),
            "--no-entry",
            "--import-memory",
            "--stack-first",
            "-z",
            f"stack-size={stack_size}",
            "--gc-sections",
            "-O2",
            *([] if names else ["--strip-all"]),
            *(f"--export={name}" for name in exports),
            "-o",
            "module.wasm",
        ]
        if memory_pages is not None:
            command.append(f"--initial-memory={memory_pages * PAGE}")
            most = max_pages or grown_pages or memory_pages
            command.append(f"--max-memory={most * PAGE}")
        if max_pages is not None:
            command += ["--shared-memory", "--export=__stack_pointer"]
        # A response file: a thousand paths may be too long for a command line.
        (Path(folder) / "objects.rsp").write_text("\n".join(paths))
        done = subprocess.run(
            [*command, "@objects.rsp"], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise WebDNNError("wasm-ld failed", why=done.stderr.strip()[:2000])
        module = (Path(folder) / "module.wasm").read_bytes()
    # A module for threads has its data at the same place, but writes them when the first instance starts.
    if data_limit is not None and max_pages is None and (end := data_end(module)) > data_limit:
        raise WebDNNError(
            "the constants of the wasm module have no room before the weights",
            why=f"they end at {end}, and the weights begin at {data_limit}",
        )
    return module

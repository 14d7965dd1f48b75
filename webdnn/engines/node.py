"""Times a kernel in Node.js: its engine, V8, is the one of Chromium, and differs from wasmtime's in speed."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from xdsl.dialects.builtin import ModuleOp

from webdnn.dialects.errors import WebDNNError
from webdnn.engines.wasmtime import kernel_wasm, place, work_arguments

_SCRIPT = """
const fs = require("fs");
const job = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const memory = new WebAssembly.Memory({initial: job.pages});
new Uint8Array(memory.buffer).set(fs.readFileSync(job.data), job.base);
const compiled = new WebAssembly.Module(fs.readFileSync(job.wasm));
const kernel = new WebAssembly.Instance(compiled, {env: {memory}}).exports[job.name];
const once = () => { const t = performance.now(); kernel(...job.arguments); return performance.now() - t; };
let spent = 0;
while (spent < job.warm) spent += once();   // until the optimising compiler has taken over
const times = [];
for (spent = 0; spent < job.milliseconds || times.length < 3;) { const t = once(); times.push(t); spent += t; }
times.sort((a, b) => a - b);
console.log(JSON.stringify([times[0], times[times.length >> 1]]));
"""


@cache
def _flags(node: str, relaxed: bool) -> tuple[str, ...]:
    """Before version 22, relaxed SIMD must be asked for."""
    version = subprocess.run([node, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(version.removeprefix("v").split(".")[0])
    return ("--experimental-wasm-relaxed-simd",) if relaxed and major < 22 else ()


def time_kernel_in_node(
    module: ModuleOp,
    name: str,
    arrays: Sequence[npt.NDArray[Any]],
    *,
    relaxed: bool = False,
    seconds: float = 0.5,
    node: str = "node",
) -> tuple[float, float]:
    """The best and the median time of one run of a kernel of level `loops`, in seconds.

    Args:
        arrays: an array for each operand, outputs too.
        seconds: how long to go on timing; half of it is spent on warming up before.
        node: the program.
    """
    offsets, pages = place(arrays)
    base = min(offsets, default=0)
    data = np.zeros(sum(-(-max(a.nbytes, 1) // 64) * 64 for a in arrays), np.uint8)
    for offset, array in zip(offsets, arrays, strict=True):
        raw = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        data[offset - base : offset - base + raw.size] = raw
    with tempfile.TemporaryDirectory(prefix="webdnn-node-") as folder:
        path = Path(folder)
        (path / "kernel.wasm").write_bytes(kernel_wasm(module, name, relaxed=relaxed))
        (path / "data.bin").write_bytes(data.tobytes())
        (path / "time.cjs").write_text(_SCRIPT)
        job = {
            "name": name,
            "arguments": [*offsets, *work_arguments(module, name)],
            "base": base,
            "pages": pages,
            "wasm": str(path / "kernel.wasm"),
            "data": str(path / "data.bin"),
            "milliseconds": 1000 * seconds,
            "warm": 500 * seconds,
        }
        (path / "job.json").write_text(json.dumps(job))
        command = [node, *_flags(node, relaxed), str(path / "time.cjs"), str(path / "job.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise WebDNNError("Node.js could not run the kernel", why=done.stderr.strip()[:2000])
    best, median = json.loads(done.stdout)
    return best / 1000, median / 1000

"""Engines that run JavaScript: a job is timed in them by `javascript/timing.js`.

A job is a dictionary with a `kind`:

- `kernels`: candidates that compute the same, in turns (`webdnn.tuning.measure` makes it);
- `package`: each launch of a package (`webdnn.kernel_profile`);
- `peaks`: the limits of the engine (`webdnn.peaks`).

Times are milliseconds; a summary is `{best, median, worst, fast}`: the last one is the mean of the fastest quarter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

JAVASCRIPT = Path(__file__).parent / "javascript"

ScriptedEngineName = Literal["chromium", "node"]

Files = Mapping[str, bytes | memoryview]


class ScriptedEngine(Protocol):
    """An engine that runs jobs. As a context manager it starts once for all of them."""

    def __enter__(self) -> ScriptedEngine: ...

    def __exit__(self, *error: object) -> None: ...

    @property
    def name(self) -> ScriptedEngineName:
        """`chromium` or `node`."""
        ...

    def version(self) -> str:
        """The engine with its version, for people and as a key: `Chromium 156.0.7444.0`."""
        ...

    def run(
        self,
        job: Mapping[str, Any],
        files: Files,
        *,
        on_step: Callable[[], None] = lambda: None,
        timeout: float = 600,
    ) -> Any:
        """Run a job.

        Args:
            job: what to do.
            files: what it reads, by name.
            on_step: called after each round.
            timeout: seconds without news after which it is given up.

        Raises:
            WebDNNError: the engine is missing, or fails.
        """
        ...


def scripted_engine(name: ScriptedEngineName, *, eager: bool = False) -> ScriptedEngine:
    """The engine of a name.

    Args:
        eager: compile with the optimising compiler at once, so that code need not run to become fast.
    """
    if name == "node":
        from webdnn.engines.node import NodeEngine

        return NodeEngine(eager=eager)
    from webdnn.engines.chromium import ChromiumEngine

    return ChromiumEngine(eager=eager)


def write_job(folder: Path, job: Mapping[str, Any], files: Files) -> None:
    """Write what `node.mjs` reads."""
    (folder / "job.json").write_text(json.dumps(job))
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

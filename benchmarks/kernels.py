"""Where the time of a compiled model goes: per kernel, with GFLOP/s, GB/s and the share of the roofline.

What a kernel has to do is counted by the compiler (`webdnn.lowering.kernels.cost`) and stands in the manifest; here the
package is run by the runtime, on either back end. `webdnn bench --per-kernel` does the same for a package of one's own.
"""

import json
from typing import Any

import numpy as np
from rich.console import Console

from webdnn.kernel_profile import COLUMNS, KernelProfile, by_kernel, fastest_quarter, kernel_rows
from webdnn.peaks import Peaks

from .browser import drive
from .models import MODELS
from .peers import Setting, browser_job
from .results import ResultTable
from .webdnn_package import output_directory


def profile(name: str, setting: Setting, console: Console) -> KernelProfile:
    """Profile one model, compiled anew.

    Raises:
        RuntimeError: it does not compile, or does not run in the browser.
    """
    samples: list[dict[str, Any]] = []
    whole: list[float] = []
    browser = ""
    with console.status(f"{name}: profiling"):
        job, failures = browser_job(MODELS[name], ["webdnn"], setting)
        for event in drive({**job, "mode": "profile"}, setting.timeout):
            match event["event"]:
                case "profile":
                    samples.append(event["profile"])
                    whole.append(event["whole"])
                case "failed":
                    failures[event["runtime"]] = event["message"]
                case "browser":
                    browser = event["version"]
                case _:
                    pass
    if failures or not samples:
        raise RuntimeError(f"{name}: {failures.get('webdnn', 'no sample was taken')}")
    manifest = json.loads((output_directory(name, setting.backend) / "model.json").read_text())
    work = {k["name"]: k for k in manifest["backends"][setting.backend]["kernels"]}
    times = np.array([[launch["milliseconds"] for launch in s["launches"]] for s in samples])
    kernels = by_kernel(samples[0]["launches"], fastest_quarter(times).tolist(), work)
    engine = f"Chromium {browser}, {setting}, timed by {samples[0]['method']}"
    return KernelProfile(name, engine, float(fastest_quarter(np.array(whole))), kernels)


def table(result: KernelProfile, peaks: Peaks | None, top: int) -> ResultTable:
    """The slowest `top` kernels, the sum of all, and a whole run."""
    out = ResultTable(f"Kernels of {result.model}: {result.engine}", list(COLUMNS))
    out.rows += kernel_rows(result, peaks, top)
    if peaks is not None:
        out.notes.append(f"Peak: {peaks}.")
    return out

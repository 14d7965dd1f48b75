"""The `.tflite` form of a network, by TensorFlow's own converter in a process of its own.

TensorFlow is large, so it is no dependency: `pip` puts it into the cache directory at the first use, from where only
`tflite_converter.py` imports it.
"""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable
from inspect import getsource
from pathlib import Path

import numpy as np

from . import tflite_converter
from .browser import HERE
from .cache import cached_dir, digest
from .models.quantised import Arrays

VERSION = "2.21.0"


def _requirement() -> str:
    """The smallest distribution: without code for GPUs where there is one."""
    has_cpu_build = sys.platform == "linux" and platform.machine() == "x86_64"
    return f"{'tensorflow-cpu' if has_cpu_build else 'tensorflow'}=={VERSION}"


def _tensorflow() -> Path:
    """The folder that TensorFlow is installed in."""
    requirement = _requirement()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]

    def install(directory: Path) -> None:
        subprocess.run([*command, "--target", str(directory), requirement], check=True)

    return cached_dir("tensorflow", digest(requirement, sys.version), install)


def tflite_key() -> str:
    """What the converted file depends on beside the network."""
    return digest(getsource(tflite_converter), _requirement())


def write_tflite(
    program: Path, directory: Path, quantisation: str, samples: Iterable[Arrays] = ()
) -> None:
    """Write `model.tflite` of the program in the folder `program` (see `tensorflow_program`) into `directory`.

    Args:
        quantisation: `none`, `static` (8 bits; the ranges of activations are those that `samples` have) or `dynamic`
            (8 bits in weights; the ranges of activations are found at run time)
        samples: inputs by name, channels-first as in the ONNX file

    Raises:
        RuntimeError: the converter failed; what it said is quoted.
    """
    files: list[str] = []
    for number, sample in enumerate(samples):
        files.append(str(directory / f"sample-{number}.npz"))
        np.savez(files[-1], allow_pickle=False, **sample)
    job = {
        "program": str(program),
        "output": str(directory / "model.tflite"),
        "quantisation": quantisation,
        "samples": files,
    }
    environment = {**os.environ, "PYTHONPATH": str(_tensorflow()), "TF_CPP_MIN_LOG_LEVEL": "3"}
    result = subprocess.run(
        [sys.executable, str(HERE / "tflite_converter.py"), json.dumps(job)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    for file in files:
        Path(file).unlink()
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        # after an error of its own the converter prints the whole module
        said = [line for line in lines if "error:" in line] or lines[-8:]
        raise RuntimeError(f"TensorFlow's converter failed:\n{chr(10).join(said)}")

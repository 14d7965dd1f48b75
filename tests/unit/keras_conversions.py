"""A script that converts many models of Keras in one process: TensorFlow takes longer to start than to convert them.

python -m tests.unit.keras_conversions FOLDER: beside each `NAME.h5` and `NAME.keras` it leaves `NAME.h5.onnx` ..., or
`NAME.h5.txt` with the error. `objects.py` in the folder has what they only name.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

import webdnn
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.keras import convert
from webdnn.frontends.conversion.process import Job


def run_script(module: str, *arguments: str) -> None:
    """Run a script of the tests in a process of its own."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        capture_output=True, text=True, check=False, cwd=root,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def convert_all(folder: Path) -> None:
    """Convert what lies in a folder, in a process of its own."""
    run_script(__name__, str(folder))


def check_converted(model: Path, inputs: list[Array], expected: list[Array]) -> None:
    """Compile what a model was converted to, and compare its results with those of Keras, relative to the greatest."""
    error = model.with_name(f"{model.name}.txt")
    assert not error.exists(), error.read_text()
    package = webdnn.compile(
        model.with_name(f"{model.name}.onnx"),
        target="wasm",
        shapes=[array.shape for array in inputs],
        jobs=1,
    )
    given = {
        entry["name"]: array.astype(entry["dtype"])
        for entry, array in zip(package.manifest["inputs"], inputs, strict=True)
    }
    results = list(package.run(given).values())
    assert len(results) == len(expected)
    for result, wanted in zip(results, expected, strict=True):
        assert result.shape == wanted.shape
        if wanted.dtype.kind in "iub":
            np.testing.assert_array_equal(result, wanted)
        else:
            finite = np.abs(wanted[np.isfinite(wanted)])
            atol = 1e-5 * max(float(finite.max(initial=0)), 1e-6)
            np.testing.assert_allclose(result, wanted, rtol=0, atol=atol)


def _convert(folder: Path) -> None:
    custom = folder / "objects.py"
    for path in sorted((*folder.glob("*.h5"), *folder.glob("*.keras"))):
        objects = str(custom) if custom.exists() else None
        try:
            convert(Job(str(path), f"{path}.onnx", custom_objects=objects))
        except WebDNNError as error:
            Path(f"{path}.txt").write_text(str(error))


if __name__ == "__main__":
    _convert(Path(sys.argv[1]))

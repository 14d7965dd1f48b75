"""A script that makes a model of each layer of Keras, converts it, and says what Keras computes.

python -m tests.unit.keras_layers FOLDER [NAME ...]: for each case `NAME.onnx` and `NAME.npz` (`in0`, `out0` ...), or
`NAME.txt` with the error of the conversion.
python -m tests.unit.keras_layers classes: the layers of `keras.layers`, and those that a case has.

All is done in one process, for TensorFlow takes longer to start than to convert a layer.
"""

from __future__ import annotations

import inspect
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from tests.unit.keras_cases import case as case_module
from tests.unit.keras_cases import convolutions, elementwise, moves, preprocessing, sequences
from tests.unit.keras_cases.case import Case, keras
from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.conversion.keras import convert
from webdnn.frontends.conversion.process import Job

LEFT_OUT = {
    "Equalization": "passes its input on, and Keras makes no model of it",
    "HashedCrossing": "hashes strings",
    "Hashing": "hashes strings",
    "InputLayer": "of every model",
    "InputSpec": "is no layer",
    "JaxLayer": "holds a function of JAX",
    "FlaxLayer": "holds a function of JAX",
    "Layer": "computes nothing",
    "StringLookup": "of strings",
    "TextVectorization": "of strings",
    "TFSMLayer": "is a SavedModel, which is converted as such",
    "TorchModuleWrapper": "holds a module of PyTorch",
    "Wrapper": "computes nothing",
}
"""Classes of `keras.layers` that are not compared, and why."""

CASES: dict[str, Case] = {}
for _part in (
    elementwise.elementwise, convolutions.convolutions, convolutions.poolings, moves.moves, elementwise.normalisations,
    elementwise.dense, sequences.recurrent, sequences.attentions, preprocessing.preprocessing,
    preprocessing.random_preprocessing,
):  # fmt: skip
    CASES.update(_part())


def _inputs(case: Case) -> list[Any]:
    random = np.random.default_rng(len(case.shapes))
    if case.below is not None:
        return [random.integers(0, case.below, shape).astype(np.int32) for shape in case.shapes]
    return [(case.scale * random.normal(0, 1, shape)).astype(np.float32) for shape in case.shapes]


def _randomise(model: Any) -> None:
    random = np.random.default_rng(1)
    for weight in model.weights:
        if (
            weight.name in ("mean", "variance", "count", "vector_u", "sn_u")
            or "int" in weight.dtype
        ):
            continue
        values = random.normal(0, 0.4, weight.shape)
        positive = weight.name in ("moving_variance", "gamma", "scale")
        weight.assign(np.abs(values) + 0.5 if positive else values)


def make(name: str, folder: Path) -> None:
    """Make, save and convert the model of a case."""
    framework = keras()
    case = CASES[name]
    values = _inputs(case)
    framework.utils.set_random_seed(0)
    inputs = [
        framework.Input(batch_shape=value.shape, dtype=value.dtype.name, name=f"in{at}")
        for at, value in enumerate(values)
    ]
    model = framework.Model(inputs, case.make(framework.layers, *inputs))
    _randomise(model)
    results = framework.tree.flatten(
        model(values if len(values) > 1 else values[0], training=False)
    )
    for layer_ in model.layers:
        if getattr(layer_, "stateful", False):
            layer_.reset_state()
    arrays = {f"in{at}": value for at, value in enumerate(values)}
    arrays |= {f"out{at}": np.asarray(value) for at, value in enumerate(results)}
    np.savez(folder / f"{name}.npz", allow_pickle=False, **arrays)
    model.save(folder / f"{name}.keras")
    custom = str(Path(__file__).with_name("keras_objects.py"))
    try:
        convert(
            Job(str(folder / f"{name}.keras"), str(folder / f"{name}.onnx"), custom_objects=custom)
        )
    except WebDNNError as error:
        (folder / f"{name}.txt").write_text(str(error))


def classes() -> dict[str, Any]:
    """All classes of `keras.layers` but for operators, and what the cases use."""
    found = {
        name: value for name, value in vars(keras().layers).items() if inspect.isclass(value)
    }  # one class has several names
    files = sorted(Path(case_module.__file__).parent.glob("*.py"))
    text = "".join(file.read_text() for file in files)
    used = {
        value.__name__
        for name, value in found.items()
        if name in CASES or re.search(rf'"{name}[" _]|[. ]{name}[( ]', text)
    }
    return {"all": sorted({value.__name__ for value in found.values()}), "used": sorted(used)}


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if sys.argv[1] == "classes":
        print(json.dumps(classes()))
    else:
        target = Path(sys.argv[1])
        for label in sys.argv[2:] or CASES:
            try:
                make(label, target)
            except Exception as error:
                (target / f"{label}.txt").write_text(f"{type(error).__name__}: {error}")

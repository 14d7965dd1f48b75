"""Random programs of all types: integers, truth values and floats of any rank, and what they do to each other.

`random_models` grows maps of images with the operators that passes fuse. Here a step (`random_steps`, `random_layers`)
is any operator with any attributes. ONNX Runtime runs it alone on the values that are there, so shapes need no formula,
what it refuses is left out, and what it gives is expected of the whole program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
from onnx import ModelProto, TensorProto, ValueInfoProto
from onnx.helper import make_node, np_dtype_to_tensor_dtype

from tests.unit.onnx_models import model_of, tensor
from webdnn.dialects.dtypes import Array

FLOATS = (np.float32, np.float32, np.float32, np.float32, np.float16)
INTEGERS = (np.int64, np.int32, np.int16, np.int8, np.uint64, np.uint32, np.uint16, np.uint8)
LARGEST = 4_000
"""Elements of a value."""

ort.set_default_logger_severity(4)  # refusals are expected


def run_reference(model: ModelProto, inputs: dict[str, Array]) -> list[Array]:
    """What ONNX Runtime gives, node by node."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model.SerializeToString(), options)
    return [np.asarray(a) for a in session.run(None, inputs)]


class RandomProgram:
    """Grows a program; `values` are what its names stand for.

    `exact` are the names whose value does not depend on how sums are ordered or functions are approximated: only those
    are compared, rounded, sorted or made integers, because there the least difference is a large one. With `non_finite`
    there are NaNs, infinities and zeros below 0 among the floats.
    """

    def __init__(self, seed: int, *, non_finite: bool = False) -> None:
        self.rng = np.random.default_rng([seed, 7])
        self.non_finite = non_finite
        self.nodes: list[Any] = []
        self.weights: dict[str, Array] = {}
        self.inputs: dict[str, Array] = {}
        self.values: dict[str, Array] = {}
        self.exact: set[str] = set()
        for _ in range(self.among(1, 2, 3)):
            name = f"x{len(self.inputs)}"
            self.inputs[name] = self.values[name] = self.array(self.shape(), self.any_type())
            self.exact.add(name)

    # choices

    def among(self, *choices: Any) -> Any:
        """One of these."""
        return choices[int(self.rng.integers(len(choices)))]

    def chance(self, likely: float) -> bool:
        return bool(self.rng.random() < likely)

    def any_type(self) -> Any:
        return self.among(*FLOATS * 2, *INTEGERS, np.int64, np.int32, np.bool_)

    def shape(self) -> tuple[int, ...]:
        rank = self.among(0, 1, 2, 2, 3, 3, 4, 4, 4, 5)
        sizes = self.among((1, 2, 3), (1, 4, 5, 8), (2, 3, 7, 13), (3, 4, 16), (0, 1, 2, 3))
        return tuple(int(self.among(*sizes)) for _ in range(rank))

    def array(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """Small numbers: with many that are equal, and a few large ones."""
        if dtype == np.bool_:
            return np.asarray(self.rng.random(shape) < 0.5)
        if np.dtype(dtype).kind == "f":
            values = self.rng.standard_normal(shape)
            values = np.round(values * 4) / 4 if self.chance(0.3) else values
            if self.non_finite:
                special = self.rng.choice([np.nan, np.inf, -np.inf, -0.0], shape)
                values = np.where(self.rng.random(shape) < 0.1, special, values)
            return np.asarray(values, dtype)
        low = 0 if np.dtype(dtype).kind == "u" else -6
        values = self.rng.integers(low, 7, shape)
        if self.chance(0.2):
            limits = np.iinfo(dtype)
            extreme = self.among(limits.min, limits.max)
            values = np.where(self.rng.random(shape) < 0.1, extreme, values)
        return np.asarray(values).astype(dtype)

    def value(self, kinds: str = "fiub", rank: int = 0, exact: bool = False) -> str | None:
        """A value, mostly one of the last, of these kinds and at least this rank; None where there is none."""
        fits = [
            name
            for name, array in self.values.items()
            if array.dtype.kind in kinds
            and array.ndim >= rank
            and (not exact or name in self.exact)
        ]
        if not fits:
            return None
        return fits[max(0, len(fits) - 1 - int(self.rng.exponential(1.5)))]

    def weight(self, array: Array) -> str:
        """An initializer; one that is there already where it is the same."""
        for name, other in self.weights.items():
            if other.dtype == array.dtype and np.array_equal(other, array):
                return name
        name = f"w{len(self.weights)}"
        self.weights[name] = array
        return name

    def constant(self, values: Any, dtype: Any = np.int64) -> str:
        return self.weight(np.asarray(values, dtype))

    def axis(self, array: Array) -> int:
        return int(self.rng.integers(-array.ndim, array.ndim))

    def described(self, name: str) -> ValueInfoProto:
        array = self.values[name]
        return tensor(name, array.shape, np_dtype_to_tensor_dtype(array.dtype))

    # growing

    def add(
        self, kind: str, inputs: list[str], results: int = 1, exact: bool = True, **attributes: Any
    ) -> None:
        """Append a node, if ONNX Runtime accepts it and its results are of use."""
        names = [f"v{len(self.values)}_{i}" for i in range(results)]
        node = make_node(kind, inputs, names, name=f"{kind}_{names[0]}", **attributes)
        used = {name for name in inputs if name}
        weights = {n: self.weights[n] for n in used if n in self.weights}
        fed = {n: self.values[n] for n in used if n in self.values}
        operands = [self.described(n) for n in fed]
        outputs = [tensor(n, None, TensorProto.UNDEFINED) for n in names]
        for output in outputs:
            output.ClearField("type")
        model = model_of([node], operands, outputs, weights)
        try:
            arrays = run_reference(model, fed)
        except Exception:  # ONNX Runtime has many classes of refusals
            return
        for array in arrays:
            if array.size > LARGEST or array.ndim > 6 or array.dtype == np.float64:
                return
            if array.dtype.kind == "f" and not self._is_in_range(array):
                return
            if not array.size and kind.endswith(("Conv", "ConvTranspose", "Pool")):
                return  # a window that is larger than its operand is an error
        self.nodes.append(node)
        self.values.update(zip(names, arrays, strict=True))
        if exact and all(n in self.exact for n in fed):
            self.exact.update(names)

    def _is_in_range(self, array: Array) -> bool:
        finite = array[np.isfinite(array)]
        if finite.size < array.size and not self.non_finite:
            return False
        return bool(np.abs(finite).max(initial=0) < (1e4 if array.itemsize > 2 else 1e3))

    def model(self, kinds: dict[Step, int], steps: int) -> ModelProto:
        """The program of about `steps` nodes of these kinds, each taken as often as it says.

        Its results are the last value and some others.
        """
        choices = [kind for kind, times in kinds.items() for _ in range(times)]
        for _ in range(steps * 5):
            self.among(*choices)(self)
            if len(self.nodes) >= steps:
                break
        made = [name for name in self.values if name not in self.inputs]
        if not made:
            self.add("Identity", ["x0"])
            made = list(self.values)[-1:]
        results = {made[-1], *(self.among(*made) for _ in range(3))}
        if self.chance(0.2):  # an input, or a weight, or one value twice
            source = self.among("x0", made[-1], *self.weights)
            self.nodes.append(make_node("Identity", [source], ["same"], name="Identity_same"))
            self.values["same"] = {**self.weights, **self.values}[source]
            results.add("same")
        inputs = [self.described(n) for n in self.inputs]
        outputs = [self.described(n) for n in self.values if n in results]
        return model_of(self.nodes, inputs, outputs, self.weights)


Step = Callable[[RandomProgram], None]
"""Appends nodes of a kind, or none where there is nothing that they fit."""

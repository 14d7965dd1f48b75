"""The operator Attention in its forms, all as one model, beside ONNX Runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto
from onnx.helper import make_node

import webdnn
from tests.unit.onnx_models import model_of, tensor
from tests.unit.test_attention import launches
from webdnn.kernel_cache import KernelCache

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Form:
    """Queries, keys, heads of queries and of keys, sizes of a head and of a value, the shape of a mask."""

    queries: int = 10
    keys: int = 14
    heads: int = 4
    kv_heads: int = 4
    size: int = 7
    values: int = 5
    mask: tuple[int, ...] = ()
    is_bool: bool = False
    is_flat: bool = False
    batch: int = 2
    attributes: dict[str, Any] = field(default_factory=dict[str, Any])

    def arrays(self, seed: int) -> dict[str, Array]:
        rng = np.random.default_rng(seed)
        shapes = {
            "q": (self.batch, self.heads, self.queries, self.size),
            "k": (self.batch, self.kv_heads, self.keys, self.size),
            "v": (self.batch, self.kv_heads, self.keys, self.values),
        }
        found: dict[str, Array] = {
            n: rng.standard_normal(s).astype(np.float32) for n, s in shapes.items()
        }
        if self.is_flat:
            found = {
                n: np.ascontiguousarray(x.transpose(0, 2, 1, 3)).reshape(self.batch, x.shape[2], -1)
                for n, x in found.items()
            }
        if self.mask:
            bias = rng.standard_normal(self.mask).astype(np.float32)
            found["m"] = bias > -0.5 if self.is_bool else bias
        return found


FORMS = {
    "cross": Form(),
    "causal": Form(keys=10, attributes={"is_causal": 1}),
    "flat": Form(is_flat=True),
    "mask": Form(mask=(10, 14), is_bool=True),
    "bias": Form(mask=(2, 4, 10, 14)),
    "softcap": Form(attributes={"softcap": 2.0}),
    "scale": Form(attributes={"scale": 0.3}),
    "shared": Form(kv_heads=2),
    "one": Form(kv_heads=1, heads=3),
    "shared_flat": Form(kv_heads=2, is_flat=True),
    "shared_causal": Form(kv_heads=2, keys=10, attributes={"is_causal": 1}),
    "shared_mask": Form(kv_heads=2, mask=(2, 1, 10, 14), is_bool=True),
    "shared_keys": Form(kv_heads=2, mask=(2, 1, 1, 14)),
    "shared_bias": Form(kv_heads=2, mask=(1, 4, 10, 14)),
    "shared_one_query": Form(kv_heads=2, queries=1, mask=(2, 4, 1, 14)),
    "long": Form(kv_heads=2, keys=4500, batch=1, mask=(10, 4500)),
}


def _node(name: str, form: Form) -> Any:
    attributes = dict(form.attributes)
    if form.is_flat:
        attributes |= {"q_num_heads": form.heads, "kv_num_heads": form.kv_heads}
    inputs = [f"{name}_{n}" for n in ("qkvm" if form.mask else "qkv")]
    return make_node("Attention", inputs, [f"{name}_y"], **attributes)


def _arrays(forms: dict[str, Form]) -> dict[str, Array]:
    return {
        f"{name}_{n}": x
        for number, (name, form) in enumerate(forms.items())
        for n, x in form.arrays(number).items()
    }


def _model(forms: dict[str, Form], arrays: dict[str, Array]) -> ModelProto:
    inputs = [
        tensor(n, list(x.shape), TensorProto.BOOL if x.dtype == bool else TensorProto.FLOAT)
        for n, x in arrays.items()
    ]
    nodes = [_node(name, form) for name, form in forms.items()]
    outputs = [tensor(f"{name}_y", None) for name in forms]
    return model_of(nodes, inputs, outputs, opset=23)


@pytest.fixture(scope="module")
def expected() -> dict[str, Array]:
    """What ONNX Runtime says; it wants masks with a row for each query."""
    arrays = _arrays(FORMS)
    for name, form in FORMS.items():
        if form.mask:
            mask = arrays[f"{name}_m"]
            shape = (*mask.shape[:-2], form.queries, form.keys)
            arrays[f"{name}_m"] = np.ascontiguousarray(np.broadcast_to(mask, shape))
    session = onnxruntime.InferenceSession(_model(FORMS, arrays).SerializeToString())
    names = [f"{name}_y" for name in FORMS]
    results = session.run(names, arrays)
    return {name: np.asarray(result) for name, result in zip(names, results, strict=True)}


@pytest.mark.parametrize("engine", ["wasmtime", "wgpu"])
def test_forms(engine: Literal["wasmtime", "wgpu"], expected: dict[str, Array]) -> None:
    x = _arrays(FORMS)
    target = "wasm" if engine == "wasmtime" else "webgpu"
    package = webdnn.compile(_model(FORMS, x), target=target, cache=KernelCache(enabled=False))
    got = package.run(x, engine=engine)
    for name, want in expected.items():
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=2e-6, err_msg=name)


@pytest.mark.parametrize("name", ["cross", "causal", "bias", "shared", "shared_bias"])
def test_scores_stay_in_one_kernel(name: str) -> None:
    form = {name: FORMS[name]}
    model = _model(form, _arrays(form))
    assert sum("softmax" in kernel or "matmul" in kernel for kernel in launches(model)) == 1

"""The calls of layers in a model's graph: as Keras 1 and 2 write them, to those of Keras 3."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from webdnn.frontends.conversion.old_keras.source import Config

CONSTANT = "_CONSTANT_VALUE"
"""Stands in place of a layer's name where an argument is a number."""

RECURRENT = frozenset(
    {"Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "GRU", "LSTM", "RNN", "SimpleRNN"}
)
"""Layers that had their first states in one list with their input."""

Reference = Callable[[str, int, int], Config]
"""Makes what stands for a tensor: of a layer's name, the number of its call, and the number of its result."""


def convert_call(call: Any, class_name: str, reference: Reference) -> Config:
    """One element of `inbound_nodes` as arguments."""
    if isinstance(call, dict) and "args" in call:
        return dict(call)  # written by Keras 3
    if _is_tensor(call):
        call = [call]
    named: dict[str, Any] = {}

    def tensor(item: Any) -> Any:
        if not _is_tensor(item):
            if isinstance(item, dict):
                return {key: tensor(value) for key, value in item.items()}
            return [tensor(inner) for inner in item]
        if len(item) > 3:
            named.update(item[3] or {})
        return item[2] if item[0] == CONSTANT else reference(*item[:3])

    given = tensor(call)
    if isinstance(call, list) and len(call) == 1 and call[0][0] == CONSTANT:
        return _with_constant(given[0], named, reference)
    arguments = {key: _nested(value, reference) for key, value in named.items()}
    if isinstance(given, list) and len(given) == 1:
        return {"args": given, "kwargs": arguments}
    if class_name in RECURRENT and isinstance(given, list):
        first, *states = given
        return {"args": [first], "kwargs": {**arguments, "initial_state": states}}
    return {"args": [given], "kwargs": arguments}


def _with_constant(first: Any, named: dict[str, Any], reference: Reference) -> Config:
    """A call whose first argument is no tensor: Keras 3 takes tensors alone by position. See `TFOpLambda`."""
    name = next(key for key, value in named.items() if _is_tensor(value))
    others = {key: _nested(value, reference) for key, value in named.items() if key != name}
    tensor = _nested(named[name], reference)
    return {"args": [tensor], "kwargs": {**others, "before": first, "called": name}}


def _nested(value: Any, reference: Reference) -> Any:
    if _is_tensor(value):
        return value[2] if value[0] == CONSTANT else reference(*value[:3])
    if isinstance(value, list):
        return [_nested(item, reference) for item in value]
    if isinstance(value, dict):
        return {key: _nested(item, reference) for key, item in value.items()}
    return value


def _is_tensor(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and (isinstance(value[2], int) or value[0] == CONSTANT)
    )

"""LSTM and RNN.

Caffe's sequences say at each step whether they continue (`cont`, 1) or begin anew (0), which no recurrent operator of
ONNX takes. So the steps are spelled out, as Caffe does it; where `cont` is known and no sequence begins in the middle,
an LSTM is ONNX's. A layer that does not expose its state begins with zeros: what Caffe keeps from one run to the next
is not kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from webdnn.frontends.caffe.graph import Blob, Layer


@dataclass(frozen=True)
class _Recurrence:
    """What both layers have.

    Attributes:
        steps: the length T of the sequences.
        streams: how many sequences N run side by side.
        size: how many numbers D the state has.
        inputs: for each step, what the input gives to the gates: 1 x N x (gates * D).
        conts: for each step, whether a sequence goes on: 1 x N x 1.
        hidden: the matrix from the state to the gates: D x (gates * D).
        state: the exposed states at the beginning, each 1 x N x D; none where they are zeros.
        next_weight: the index of the blobs of weights that follow.
    """

    steps: int
    streams: int
    size: int
    inputs: list[Blob]
    conts: list[Blob]
    hidden: Blob
    state: list[Blob]
    next_weight: int


@dataclass(frozen=True)
class _Bottoms:
    """The bottoms of a recurrent layer by what they are."""

    x: Blob
    cont: Blob
    static: Blob | None
    state: list[Blob]


def _bottoms(layer: Layer, p: Any, states: int) -> _Bottoms:
    exposed = states if p.expose_hidden else 0
    layer.need_bottoms(2 + exposed, 3 + exposed)
    x, cont, *rest = layer.bottoms
    static = rest.pop(0) if len(rest) > exposed else None
    if not p.num_output:
        raise layer.error("it has no num_output")
    if len(x.shape) < 2 or cont.shape != x.shape[:2]:
        raise layer.error(
            "its inputs are not T x N x ... and T x N", why=f"{x.shape} and {cont.shape}"
        )
    wanted = (1, x.shape[1], p.num_output)
    if any(state.shape != wanted for state in rest):
        raise layer.error(
            f"a state at the beginning is not of shape {wanted}", why=f"{[s.shape for s in rest]}"
        )
    if len(layer.proto.top) != 1 + exposed:
        raise layer.error(f"it makes {len(layer.proto.top)} blobs, and must make {1 + exposed}")
    return _Bottoms(x, cont, static, rest)


def _linear(layer: Layer, x: Blob, leading: int, index: int, columns: int, bias: bool) -> Blob:
    """An inner product of all axes from `leading` on with trained numbers: rows x columns."""
    rows, depth = math.prod(x.shape[:leading]), math.prod(x.shape[leading:])
    return layer.op(
        "Gemm",
        layer.reshape(x, (rows, depth)),
        layer.constant(layer.weight(index, (columns, depth)), "weight"),
        *([layer.constant(layer.weight(index + 1, (columns,)), "bias")] if bias else []),
        shape=(rows, columns),
        transB=1,
    )


def _steps(layer: Layer, x: Blob) -> list[Blob]:
    """A blob apart along its first axis."""
    count = x.shape[0]
    if count == 1:
        return [x]
    return layer.ops("Split", [x, layer.ints(*[1] * count)], [(1, *x.shape[1:])] * count, axis=0)


def _recurrence(layer: Layer, p: Any, bottoms: _Bottoms, gates: int) -> _Recurrence:
    steps, streams = bottoms.cont.shape
    width = gates * p.num_output
    x = _linear(layer, bottoms.x, 2, 0, width, bias=True)
    x = layer.reshape(x, (steps, streams, width))
    following = 2
    if bottoms.static is not None:
        if bottoms.static.shape[:1] != (streams,):
            raise layer.error(f"its static input is not for {streams} streams")
        x = layer.same("Add", x, _linear(layer, bottoms.static, 1, 2, width, bias=False))
        following = 3
    hidden = layer.weight(following, (width, p.num_output)).T
    return _Recurrence(
        steps,
        streams,
        p.num_output,
        _steps(layer, x),
        _steps(layer, layer.reshape(bottoms.cont, (steps, streams, 1))),
        layer.constant(hidden, "hidden"),
        bottoms.state,
        following + 1,
    )


def _gates(layer: Layer, r: _Recurrence, step: int, hidden: Blob | None) -> Blob:
    """What goes into the gates in a step; the state counts where the sequence goes on."""
    x = r.inputs[step]
    if hidden is None:
        return x
    going_on = layer.same("Mul", hidden, r.conts[step])
    return layer.same("Add", layer.op("MatMul", going_on, r.hidden, shape=x.shape), x)


def _sequence(layer: Layer, states: list[Blob]) -> Blob:
    if len(states) == 1:
        return states[0]
    shape = (len(states), *states[0].shape[1:])
    return layer.op("Concat", *states, shape=shape, axis=0)


def _lstm(layer: Layer, p: Any) -> list[Blob]:
    bottoms = _bottoms(layer, p, 2)
    layer.need_weights(3 if bottoms.static is None else 4)
    cont = layer.graph.value_of(bottoms.cont)
    if cont is not None and bottoms.static is None and (cont[1:] == 1).all():
        begins = cont[:1]
        if (begins == 0).all() or (begins == 1).all():
            return _as_one(layer, p, bottoms, bool(begins.all()))
    r = _recurrence(layer, p, bottoms, 4)
    shape = (1, r.streams, r.size)
    h, c = r.state or (None, None)
    outputs: list[Blob] = []
    for step in range(r.steps):
        gates = layer.ops(
            "Split",
            [_gates(layer, r, step, h), layer.ints(*[r.size] * 4)],
            [shape] * 4,
            axis=2,
        )
        i, f, o = (layer.same("Sigmoid", gate) for gate in gates[:3])
        new = layer.same("Mul", i, layer.same("Tanh", gates[3]))
        if c is not None:
            kept = layer.same("Mul", layer.same("Mul", f, r.conts[step]), c)
            new = layer.same("Add", kept, new)
        c = new
        h = layer.same("Mul", o, layer.same("Tanh", c))
        outputs.append(h)
    assert h is not None
    assert c is not None
    return [_sequence(layer, outputs), h, c][: len(layer.proto.top)]


def _as_one(layer: Layer, p: Any, bottoms: _Bottoms, goes_on: bool) -> list[Blob]:
    """ONNX's LSTM, whose gates are in another order."""
    steps, streams = bottoms.cont.shape
    size = p.num_output
    depth = math.prod(bottoms.x.shape[2:])
    order = [0, 2, 1, 3]

    def ordered(index: int, *columns: int) -> Any:
        gates = layer.weight(index, (4 * size, *columns)).reshape(4, size, *columns)
        return gates[order].reshape(1, 4 * size, *columns)

    bias = np.concatenate([ordered(1), np.zeros((1, 4 * size), np.float32)], axis=1)
    state = bottoms.state if goes_on else []
    shape = (1, streams, size)
    y, h, c = layer.ops(
        "LSTM",
        [
            layer.reshape(bottoms.x, (steps, streams, depth)),
            layer.constant(ordered(0, depth), "weight"),
            layer.constant(ordered(2, size), "hidden"),
            layer.constant(bias, "bias"),
            *([None, *state] if state else []),
        ],
        [(steps, 1, streams, size), shape, shape],
        hidden_size=size,
    )
    return [layer.reshape(y, (steps, streams, size)), h, c][: len(layer.proto.top)]


def _rnn(layer: Layer, p: Any) -> list[Blob]:
    bottoms = _bottoms(layer, p, 1)
    layer.need_weights(5 if bottoms.static is None else 6)
    r = _recurrence(layer, p, bottoms, 1)
    h = r.state[0] if r.state else None
    states: list[Blob] = []
    for step in range(r.steps):
        h = layer.same("Tanh", _gates(layer, r, step, h))
        states.append(h)
    assert h is not None
    all_states = _sequence(layer, states)
    outputs = _linear(layer, all_states, 2, r.next_weight, r.size, bias=True)
    shape = (r.steps, r.streams, r.size)
    return [layer.reshape(layer.same("Tanh", outputs), shape), h][: len(layer.proto.top)]


HANDLERS = {"LSTM": ("recurrent_param", _lstm), "RNN": ("recurrent_param", _rnn)}

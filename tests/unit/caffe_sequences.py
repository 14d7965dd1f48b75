"""LSTM and RNN from their definitions."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.caffe_blobs import Array, Blobs, Table

LAYERS = Table()


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


@LAYERS.layer("LSTM")
def lstm(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.recurrent_param
    x, cont, *rest = bottoms
    size = p.num_output
    static = rest.pop(0) if len(rest) % 2 else None
    steps, streams = cont.shape
    x = x.reshape(steps, streams, -1)
    scale = 0.5
    w, b = blobs(4 * size, x.shape[2], low=-scale, high=scale), blobs(4 * size)
    more = np.zeros((streams, 4 * size))
    if static is not None:
        static = static.reshape(streams, -1)
        more = static @ blobs(4 * size, static.shape[1], low=-scale, high=scale).T
    u = blobs(4 * size, size, low=-scale, high=scale)
    h, c = [s[0] for s in rest] if rest else np.zeros((2, streams, size))
    outputs: list[Array] = []
    for t in range(steps):
        on = cont[t][:, None]
        i, f, o, g = np.split(x[t] @ w.T + b + (on * h) @ u.T + more, 4, 1)
        c = on * sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        outputs.append(h)
    return [np.stack(outputs), h[None], c[None]][: len(proto.top)]


@LAYERS.layer("RNN")
def rnn(proto: Any, bottoms: list[Array], blobs: Blobs) -> list[Array]:
    p = proto.recurrent_param
    x, cont, *rest = bottoms
    size = p.num_output
    steps, streams = cont.shape
    x = x.reshape(steps, streams, -1)
    w, b = blobs(size, x.shape[2]), blobs(size)
    static = rest.pop(0) if len(rest) > int(p.expose_hidden) else None
    more = np.zeros((streams, size)) if static is None else static @ blobs(size, static.shape[1]).T
    u, wo, bo = blobs(size, size), blobs(size, size), blobs(size)
    h = rest[0][0] if rest else np.zeros((streams, size))
    outputs: list[Array] = []
    for t in range(steps):
        h = np.tanh(x[t] @ w.T + b + (cont[t][:, None] * h) @ u.T + more)
        outputs.append(np.tanh(h @ wo.T + bo))
    return [np.stack(outputs), h[None]][: len(proto.top)]

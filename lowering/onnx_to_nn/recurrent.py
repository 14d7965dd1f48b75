"""RNN, GRU and LSTM, unrolled over time: the length of a sequence is known at compile time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from xdsl.dialects.builtin import i32
from xdsl.ir import SSAValue

from webdnn.dialects.nn import elementwise as ew
from webdnn.dialects.sizes.types import element_of, shape_of
from webdnn.lowering.onnx_to_nn.activation import (
    elu_of,
    hard_sigmoid_of,
    softplus_of,
    where_negative,
)
from webdnn.lowering.onnx_to_nn.builder import NNBuilder
from webdnn.lowering.onnx_to_nn.errors import Invalid, Unsupported
from webdnn.lowering.onnx_to_nn.node import Node
from webdnn.lowering.onnx_to_nn.registry import onnx_lowering

MOST_STEPS = 2048
"""Longer sequences are not unrolled."""

Activation = Callable[[SSAValue], SSAValue]
Step = Callable[[SSAValue, list[SSAValue], "Direction"], list[SSAValue]]
"""From the product of the input with its weights and the states to the new states; the first state is the output."""

_DEFAULTS: dict[str, tuple[float, float]] = {
    "leakyrelu": (0.01, 0.0),
    "thresholdedrelu": (1.0, 0.0),
    "hardsigmoid": (0.2, 0.5),
    "elu": (1.0, 0.0),
    "affine": (1.0, 0.0),
    "scaledtanh": (1.0, 1.0),
}


def activation(name: str, alpha: float, beta: float, b: NNBuilder) -> Activation:
    """An activation function by ONNX's name (in any case)."""
    simple: dict[str, type[ew.ElementwiseOp]] = {
        "relu": ew.ReluOp,
        "sigmoid": ew.SigmoidOp,
        "tanh": ew.TanhOp,
    }
    lower = name.lower()
    if lower in simple:
        return lambda x: b(simple[lower], x)
    match lower:
        case "affine":
            return lambda x: b(ew.AddOp, b(ew.MulOp, x, alpha), beta)
        case "leakyrelu":
            return lambda x: where_negative(x, b(ew.MulOp, x, alpha), b)
        case "thresholdedrelu":
            return lambda x: b(ew.SelectOp, b(ew.LessOp, x, alpha), 0.0, x)
        case "scaledtanh":
            return lambda x: b(ew.MulOp, b(ew.TanhOp, b(ew.MulOp, x, beta)), alpha)
        case "hardsigmoid":
            return lambda x: hard_sigmoid_of(x, alpha, beta, b)
        case "elu":
            return lambda x: elu_of(x, alpha, b)
        case "softsign":
            return lambda x: b(ew.DivOp, x, b(ew.AddOp, b(ew.AbsOp, x), 1.0))
        case "softplus":
            return lambda x: softplus_of(x, b)
        case _:
            raise Unsupported(f"its activation is '{name}'")


@dataclass(frozen=True)
class Direction:
    """The weights of one direction. `recurrent` is `[hidden, gates * hidden]`."""

    recurrent: SSAValue
    recurrent_bias: SSAValue | None
    peepholes: SSAValue | None
    activations: tuple[Activation, ...]
    hidden: int


def gates(x: SSAValue, count: int, b: NNBuilder) -> list[SSAValue]:
    """The last dimension cut into equal parts."""
    axis = len(shape_of(x)) - 1
    size = shape_of(x)[axis] // count
    return [b.slice_axis(x, axis, i * size, size) for i in range(count)]


class Recurrence:
    """Runs a cell over the sequence, in one or two directions."""

    def __init__(
        self, node: Node, b: NNBuilder, gate_count: int, defaults: Sequence[str], states: int
    ) -> None:
        self.node, self.b = node, b
        self.gate_count = gate_count
        self.states = states
        self.batch_first = bool(node.int("layout"))
        x = node[0]
        if node.rank() != 3:
            raise Invalid(f"its input has {node.rank()} dimensions, and a sequence has 3")
        self.x = b.transpose(x, [1, 0, 2]) if self.batch_first else x
        self.steps, self.batch, _ = shape_of(self.x)
        if self.steps > MOST_STEPS:
            raise Unsupported(
                f"its sequence of {self.steps} steps is too long to be unrolled",
                f"compile for at most {MOST_STEPS} steps",
            )
        self.hidden = shape_of(node[2])[-1]
        self.direction = node.str("direction", "forward")
        self.count = 2 if self.direction == "bidirectional" else 1
        names = [
            n.decode() if isinstance(n, bytes) else str(n)
            for n in node.attr("activations") or list(defaults) * self.count
        ]
        alphas = list(node.attr("activation_alpha") or [])
        betas = list(node.attr("activation_beta") or [])
        self.activations: list[Activation] = []
        for name in names:
            alpha, beta = _DEFAULTS.get(name.lower(), (0.0, 0.0))
            if name.lower() in _DEFAULTS:
                alpha = alphas.pop(0) if alphas else alpha
                beta = betas.pop(0) if betas and name.lower() in _WITH_BETA else beta
            self.activations.append(activation(name, alpha, beta, b))
        self.clip = node.attr("clip")
        lengths = node.optional(4)
        self.lengths = None if lengths is None else b.reshape(lengths, [self.batch, 1])

    def clipped(self, x: SSAValue) -> SSAValue:
        if not self.clip:
            return x
        return self.b(ew.MinOp, self.b(ew.MaxOp, x, -self.clip), self.clip)

    def part(self, index: int, direction: int) -> SSAValue | None:
        """Operand `index`, which has an entry for each direction, of one direction."""
        value = self.node.optional(index)
        if value is None:
            return None
        one = self.b.slice_axis(value, 0, direction, 1)
        return self.b.reshape(one, shape_of(value)[1:])

    def initial(self, index: int, direction: int) -> SSAValue:
        """The state before the first step: operand `index`, or zeros."""
        value = self.node.optional(index)
        if value is None:
            return self.b.filled(0.0, [self.batch, self.hidden], self.node.element())
        if self.batch_first:
            value = self.b.transpose(value, [1, 0, 2])
        one = self.b.slice_axis(value, 0, direction, 1)
        return self.b.reshape(one, [self.batch, self.hidden])

    def run(
        self, step: Step, state_operands: Sequence[int], peephole: int | None
    ) -> list[SSAValue]:
        """The results Y, Y_h (and Y_c) of the node."""
        outputs: list[SSAValue] = []
        finals: list[list[SSAValue]] = []
        for d in range(self.count):
            initial = [self.initial(i, d) for i in state_operands]
            y, final = self.run_direction(step, initial, d, peephole)
            outputs.append(y)
            finals.append(final)
        b = self.b
        y = b.concat([b.reshape(v, [self.steps, 1, self.batch, self.hidden]) for v in outputs], 1)
        results = [b.transpose(y, [2, 0, 1, 3]) if self.batch_first else y]
        for parts in zip(*finals, strict=True):
            last = b.concat([b.reshape(v, [1, self.batch, self.hidden]) for v in parts], 0)
            results.append(b.transpose(last, [1, 0, 2]) if self.batch_first else last)
        return results

    def run_direction(
        self, step: Step, states: list[SSAValue], d: int, peephole: int | None
    ) -> tuple[SSAValue, list[SSAValue]]:
        b = self.b
        weight, recurrent, bias = (self.part(i, d) for i in (1, 2, 3))
        assert weight is not None and recurrent is not None
        width = self.gate_count * self.hidden
        flat = b.reshape(self.x, [self.steps * self.batch, shape_of(self.x)[2]])
        product = b.matmul(flat, b.transpose(weight, [1, 0]))
        recurrent_bias = None
        if bias is not None:
            product = b(ew.AddOp, product, b.slice_axis(bias, 0, 0, width))
            recurrent_bias = b.slice_axis(bias, 0, width, width)
        product = b.reshape(product, [self.steps, self.batch, width])
        per_direction = len(self.activations) // self.count
        direction = Direction(
            b.transpose(recurrent, [1, 0]),
            recurrent_bias,
            None if peephole is None else self.part(peephole, d),
            tuple(self.activations[d * per_direction : (d + 1) * per_direction]),
            self.hidden,
        )
        is_reverse = self.direction == "reverse" or d == 1
        order = range(self.steps)
        outputs: dict[int, SSAValue] = {}
        for t in reversed(order) if is_reverse else order:
            now = b.reshape(b.slice_axis(product, 0, t, 1), [self.batch, width])
            new = step(now, states, direction)
            outputs[t] = new[0]
            if self.lengths is not None:
                lives = b(ew.LessOp, b.constant(t, i32), b.cast(self.lengths, i32))
                outputs[t] = b(ew.SelectOp, lives, new[0], 0.0)
                new = [b(ew.SelectOp, lives, n, s) for n, s in zip(new, states, strict=True)]
            states = new
        rows = [b.reshape(outputs[t], [1, self.batch, self.hidden]) for t in order]
        if not rows:
            return b.filled(0.0, [0, self.batch, self.hidden], element_of(self.x)), states
        return b.concat(rows, 0), states


_WITH_BETA = ("hardsigmoid", "affine", "scaledtanh")


@onnx_lowering("RNN", since=7)
def rnn(node: Node, b: NNBuilder) -> list[SSAValue]:
    run = Recurrence(node, b, 1, ["Tanh"], 1)

    def step(x: SSAValue, states: list[SSAValue], d: Direction) -> list[SSAValue]:
        total = b(ew.AddOp, x, b.matmul(states[0], d.recurrent))
        if d.recurrent_bias is not None:
            total = b(ew.AddOp, total, d.recurrent_bias)
        return [d.activations[0](run.clipped(total))]

    return run.run(step, [5], None)


@onnx_lowering("GRU", since=7)
def gru(node: Node, b: NNBuilder) -> list[SSAValue]:
    """Gates update, reset and hidden, in this order."""
    run = Recurrence(node, b, 3, ["Sigmoid", "Tanh"], 1)
    reset_after = bool(node.int("linear_before_reset"))

    def step(x: SSAValue, states: list[SSAValue], d: Direction) -> list[SSAValue]:
        (h,) = states
        f, g = d.activations[:2]
        size = d.hidden
        xz, xr, xh = gates(x, 3, b)
        recurrent_hidden = gates(d.recurrent, 3, b)[2]
        bias = None if d.recurrent_bias is None else gates(d.recurrent_bias, 3, b)

        def plus_bias(value: SSAValue, gate: int) -> SSAValue:
            return value if bias is None else b(ew.AddOp, value, bias[gate])

        if reset_after:
            hz, hr, hh = gates(b.matmul(h, d.recurrent), 3, b)
        else:
            hz, hr = gates(b.matmul(h, b.slice_axis(d.recurrent, 1, 0, 2 * size)), 2, b)
            hh = None
        update = f(run.clipped(plus_bias(b(ew.AddOp, xz, hz), 0)))
        reset = f(run.clipped(plus_bias(b(ew.AddOp, xr, hr), 1)))
        if hh is not None:
            inner = b(ew.MulOp, reset, plus_bias(hh, 2))
        else:
            inner = plus_bias(b.matmul(b(ew.MulOp, reset, h), recurrent_hidden), 2)
        new = g(run.clipped(b(ew.AddOp, xh, inner)))
        keep = b(ew.MulOp, update, h)
        return [b(ew.AddOp, b(ew.MulOp, b(ew.SubOp, 1.0, update), new), keep)]

    return run.run(step, [5], None)


@onnx_lowering("LSTM", since=7)
def lstm(node: Node, b: NNBuilder) -> list[SSAValue]:
    """Gates input, output, forget and cell, in this order."""
    run = Recurrence(node, b, 4, ["Sigmoid", "Tanh", "Tanh"], 2)
    coupled = bool(node.int("input_forget"))

    def step(x: SSAValue, states: list[SSAValue], d: Direction) -> list[SSAValue]:
        h, c = states
        f, g, last = d.activations[:3]
        total = b(ew.AddOp, x, b.matmul(h, d.recurrent))
        if d.recurrent_bias is not None:
            total = b(ew.AddOp, total, d.recurrent_bias)
        i, o, forget, cell = gates(total, 4, b)
        peep = None if d.peepholes is None else gates(d.peepholes, 3, b)

        def peeped(value: SSAValue, gate: int, state: SSAValue) -> SSAValue:
            return value if peep is None else b(ew.AddOp, value, b(ew.MulOp, peep[gate], state))

        i = f(run.clipped(peeped(i, 0, c)))
        forget = b(ew.SubOp, 1.0, i) if coupled else f(run.clipped(peeped(forget, 2, c)))
        new_c = b(ew.AddOp, b(ew.MulOp, forget, c), b(ew.MulOp, i, g(run.clipped(cell))))
        o = f(run.clipped(peeped(o, 1, new_c)))
        return [b(ew.MulOp, o, last(new_c)), new_c]

    return run.run(step, [5, 6], 7)

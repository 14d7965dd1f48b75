"""What each operator of the opsets 1 to 6 is in opset 7. Operators that are not here read the same in both.

Two rewrites are of newer opsets too, where onnx's converter to the newest one is wrong.

Every rewrite names the first opset that needs it no more. Where an old specification leaves open what the exporters
of its time agreed on, this follows them, and says so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from onnx import NodeProto, TensorProto

from webdnn.frontends.onnx.old_graph import Dims, Rewriting

Rewrite: TypeAlias = Callable[[Rewriting], None]

_REWRITES: dict[str, list[tuple[int, Rewrite]]] = {}
"""By operator: the opset that ends a rewrite, and the rewrite; the rewrite that ends first stands first."""

_CONSUMED_INPUTS_END = 6
"""The opset that took away `consumed_inputs`, which said what memory may be overwritten."""


def find_rewrite(node: NodeProto, opset: int) -> Rewrite | None:
    """What brings a node of this opset to opset 7, or None where it reads the same there."""
    if node.domain not in ("", "ai.onnx"):
        return None
    for until, rewrite in _REWRITES.get(node.op_type, ()):
        if opset < until:
            return rewrite
    if opset < _CONSUMED_INPUTS_END and any(a.name == "consumed_inputs" for a in node.attribute):
        return _keep
    return None


def _until(opset: int, *op_types: str) -> Callable[[Rewrite], Rewrite]:
    """Register a rewrite for all opsets below this one."""

    def register(rewrite: Rewrite) -> Rewrite:
        def without_consumed_inputs(r: Rewriting) -> None:
            r.drop("consumed_inputs")
            rewrite(r)

        for op_type in op_types:
            versions = _REWRITES.setdefault(op_type, [])
            versions.append((opset, without_consumed_inputs))
            versions.sort(key=lambda version: version[0])
        return rewrite

    return register


def _keep(r: Rewriting) -> None:
    r.drop("consumed_inputs")
    r.keep()


def _text(dims: Dims) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in dims)}]"


def _agree(a: Dims, b: Dims) -> bool:
    """Whether two shapes may be the same."""
    return len(a) == len(b) and all(x == y or None in (x, y) for x, y in zip(a, b, strict=True))


# Elementwise operators


@_until(7, "Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less")
def _limited_broadcasting(r: Rewriting) -> None:
    """The second operand lies at `axis` of the first one, at its last dimensions where there is no `axis`."""
    broadcast, axis = r.attribute("broadcast", 0), r.attribute("axis")
    r.drop("broadcast", "axis")
    a, b = r.node.input
    if not broadcast:
        _same_shapes(r, "it does not say broadcast=1")
        return
    dims_a, dims_b = r.scope.dims(a), r.scope.dims(b)
    if dims_b is not None and all(size == 1 for size in dims_b):
        if dims_a is not None and len(dims_b) > len(dims_a):
            # One element fits everything, but in numpy the result would have its rank.
            r.node.input[1] = r.add("Reshape", b, r.constant(np.array([], np.int64)))
        r.keep()
        return
    if axis in (None, -1) and (dims_a is None or dims_b is None):
        r.keep()
        return
    dims_a, dims_b = r.scope.known_dims(a), r.scope.known_dims(b)
    last = len(dims_a) - len(dims_b)
    # Caffe2 wrote -1 for "the last dimensions".
    start = last if axis in (None, -1) else axis + len(dims_a) * (axis < 0)
    against = dims_a[max(start, 0) : max(start, 0) + len(dims_b)]
    # That sizes of 1 in the middle are repeated was said by no opset, but means only one thing.
    if not 0 <= start <= last or not _agree(
        [1 if y == 1 else x for x, y in zip(against, dims_b, strict=True)], dims_b
    ):
        at = "its last dimensions" if axis in (None, -1) else f"axis {axis}"
        raise r.scope.invalid(
            f"its second operand has the shape {_text(dims_b)}, which does not lie at {at} of {_text(dims_a)}"
        )
    _pad_rank(r, 1, len(dims_b), last - start)
    r.keep()


def _pad_rank(r: Rewriting, index: int, rank: int, count: int) -> None:
    """Give input `index`, which has a rank, that many dimensions of size 1 more at its end."""
    if count:
        axes = list(range(rank, rank + count))
        r.node.input[index] = r.add("Unsqueeze", r.node.input[index], axes=axes)


@_until(8, "Max", "Min", "Sum", "Mean")
def _no_broadcasting(r: Rewriting) -> None:
    _same_shapes(r, "this opset does not broadcast them")


def _same_shapes(r: Rewriting, why: str) -> None:
    """Keep the node, whose operands have one shape."""
    shapes = [dims for name in r.node.input if (dims := r.scope.dims(name)) is not None]
    for other in shapes[1:]:
        if not _agree(shapes[0], other):
            raise r.scope.invalid(
                f"its operands have the shapes {_text(shapes[0])} and {_text(other)}, and {why}"
            )
    r.keep()


@_until(7, "PRelu")
def _prelu(r: Rewriting) -> None:
    """A slope of rank 1 is one number a channel, and channels are dimension 1."""
    dims = r.scope.dims(r.node.input[1])
    if dims is None or (len(dims) == 1 and dims != [1]):
        rank = len(r.scope.known_dims(r.node.input[0]))
        _pad_rank(r, 1, len(r.scope.known_dims(r.node.input[1])), max(rank - 2, 0))
    r.keep()


@_until(6, "Selu")
def _selu(r: Rewriting) -> None:
    """Version 1 has its default values with four digits."""
    for name, default in (("alpha", 1.6732), ("gamma", 1.0507)):
        r.set(name, r.attribute(name, default))
    r.keep()


@_until(11, "Clip")
def _clip(r: Rewriting) -> None:
    """A bound that is left out is the greatest finite number, not infinity; the converter to opset 11 forgets it."""
    limits = np.finfo(np.float32)
    for name, default in (("min", limits.min), ("max", limits.max)):
        r.set(name, r.attribute(name, float(default)))
    r.keep()


@_until(6, "Cast")
def _cast(r: Rewriting) -> None:
    """The type is an enum, not its name."""
    name = r.attribute("to", b"").decode("utf-8", "replace")
    types = dict(TensorProto.DataType.items())
    if name.upper() not in types:
        raise r.scope.invalid(f"to='{name}' is not the name of a type")
    r.set("to", types[name.upper()])
    r.keep()


# Shapes


@_until(5, "Reshape")
def _reshape(r: Rewriting) -> None:
    shape = np.array(r.attribute("shape", []), np.int64)
    r.drop("shape")
    r.node.input.append(r.constant(shape))
    r.keep()


@_until(4, "Concat")
def _concat(r: Rewriting) -> None:
    r.set("axis", r.attribute("axis", 1))
    r.keep()


@_until(2, "Pad")
def _pad(r: Rewriting) -> None:
    pads = r.attribute("paddings", [])
    r.drop("paddings")
    r.set("pads", pads)
    r.keep()


@_until(2, "Split")
def _split(r: Rewriting) -> None:
    """The sizes may be an input; there is no default for `axis`."""
    if len(r.node.input) > 1 and r.node.input[1]:
        sizes = r.scope.constant(r.node.input[1])
        if sizes is None:
            raise r.scope.invalid(
                "the sizes of its parts are not a constant", "make them the attribute split"
            )
        r.set("split", [int(size) for size in sizes.ravel()])
    del r.node.input[1:]
    if r.attribute("axis") is None:
        raise r.scope.invalid(
            "it does not say its axis, for which this version has no default", "add axis to it"
        )
    r.keep()


@_until(6, "Tile")
def _tile(r: Rewriting) -> None:
    """Version 1 repeats along one axis, both of which are tensors of the type of the data."""
    data, tiles, axis = r.node.input
    rank = len(r.scope.known_dims(data))
    known = r.scope.constant(axis)
    if known is None or known.size != 1:
        raise r.scope.invalid("its axis is not a constant of one element", "make it a constant")
    at = int(known.item())
    at += rank * (at < 0)
    if not 0 <= at < rank:
        raise r.scope.invalid(f"its axis is {at}, and its input has {rank} dimensions")
    number = r.add("Cast", tiles, to=TensorProto.INT64)
    parts = [r.add("Reshape", number, r.constant(np.array([1], np.int64)))]
    if at > 0:
        parts.insert(0, r.constant(np.ones(at, np.int64)))
    if at < rank - 1:
        parts.append(r.constant(np.ones(rank - 1 - at, np.int64)))
    repeats = r.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]
    r.add("Tile", data, repeats, output=r.node.output[0])


@_until(7, "Upsample")
def _upsample(r: Rewriting) -> None:
    """Version 1 is of pictures only, and calls its linear mode bilinear."""
    height, width = r.attribute("height_scale", 0.0), r.attribute("width_scale", 0.0)
    r.drop("height_scale", "width_scale")
    r.set("scales", [1.0, 1.0, height, width])
    if r.attribute("mode") == b"bilinear":
        r.set("mode", "linear")
    r.keep()


# Pools


@_until(2, "LpPool", "GlobalLpPool")
def _lp_pool(r: Rewriting) -> None:
    """`p` is a whole number."""
    p = r.attribute("p", 2.0)
    if p != int(p):
        raise r.scope.invalid(f"p={p} is not a whole number, which later versions need")
    r.set("p", int(p))
    if r.node.op_type == "LpPool" and not r.attribute("kernel_shape"):
        raise r.scope.invalid("it has no kernel_shape")
    r.keep()


# Layers


@_until(7, "Gemm")
def _gemm(r: Rewriting) -> None:
    """The last operand was broadcast where the node says so; its last dimensions are the same as in numpy."""
    broadcast = r.attribute("broadcast", 0)
    r.drop("broadcast")
    dims = r.scope.dims(r.node.input[2])
    if not broadcast and dims is not None and len(dims) != 2:
        raise r.scope.invalid(
            f"its operand C has the shape {_text(dims)}, and it does not say broadcast=1"
        )
    r.keep()


@_until(7, "Dropout")
def _dropout(r: Rewriting) -> None:
    """A model is compiled to be run, not trained; many exporters left `is_test` out."""
    if any(r.node.output[1:]) and not r.attribute("is_test", 0):
        raise r.scope.invalid(
            "it is for training (is_test=0): its mask is an output",
            "export the model for inference",
        )
    del r.node.output[1:]  # "If is_test is nonzero, this output is not filled."
    r.drop("is_test")
    r.keep()


@_until(9, "BatchNormalization")
def _batch_normalization(r: Rewriting) -> None:
    """One mean and variance for each channel, or with spatial=0 for each element of an example."""
    if any(r.node.output[1:]) and not r.attribute("is_test", 0):
        raise r.scope.invalid(
            "it is for training: it has more than one output", "export the model for inference"
        )
    del r.node.output[1:]
    spatial = r.attribute("spatial", 1)
    r.drop("is_test", "spatial")
    x, *parameters = r.node.input
    dims = r.scope.dims(x)
    if spatial or (dims is not None and len(dims) <= 2):
        r.keep()
        return
    for name, each in zip(("scale", "B", "mean", "var"), parameters, strict=True):
        shape = r.scope.dims(each)
        if dims is not None and shape is not None and not _agree(dims[1:], shape):
            raise r.scope.invalid(
                f"with spatial=0 its {name} has the shape of an example, {_text(dims[1:])}, not {_text(shape)}",
                "set spatial=1, if the exporter meant one number a channel (MXNet's did)",
            )
    scale, bias, mean, variance = parameters
    epsilon = r.constant(np.array(r.attribute("epsilon", 1e-5), r.scope.dtype(variance)))
    root = r.add("Sqrt", r.add("Add", variance, epsilon))
    factor = r.add("Div", scale, root)
    product = r.add("Mul", r.add("Sub", x, mean), factor)
    r.add("Add", product, bias, output=r.node.output[0])


@_until(7, "RNN", "GRU", "LSTM")
def _recurrent(r: Rewriting) -> None:
    """The sequence is an output where it has a name; `output_sequence` only allowed to leave it out."""
    r.drop("output_sequence")
    if r.attribute("direction") == b"foward":
        r.drop("direction")  # The default of GRU of version 1, as its schema spells it.
    r.keep()


__all__ = ["Rewrite", "find_rewrite"]

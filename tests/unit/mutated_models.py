"""Damaged ONNX models, the same ones for the same seed: bytes that were changed, and structure that was.

for mutant in mutants(300, seed=0): mutant.data is a file, which may still be a valid model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnx
from google.protobuf.message import EncodeError
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, TypeProto

from tests.conformance.cases import bound, node_cases
from tests.unit import onnx_models
from webdnn.frontends.onnx.graphs import all_graphs, all_nodes

MOST_BYTES = 6_000
"""Larger models are not damaged: most of their bytes are weights, or they take long to compile."""
INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    5,
    7,
    -2,
    100,
    2**31 - 1,
    2**31,
    -(2**31),
    2**32,
    10**9,
    2**62,
    2**63 - 1,
    -(2**63),
)
FLOATS = (0.0, -1.0, 0.5, 1e-38, 3e38, float("inf"), float("nan"))
STRINGS = (
    b"",
    b"VALID",
    b"SAME_UPPER",
    b"linear",
    b"nonsense",
    "é".encode(),
    b"\xff\xfe",
    b"a\0b",
    b"x" * 5000,
)
MARK = "\ue000\ue001"
"""A name that becomes bytes which are not UTF-8 after serialization: protobuf's setters take no such string."""

KINDS = (
    AttributeProto.UNDEFINED, AttributeProto.INT, AttributeProto.FLOAT, AttributeProto.STRING, AttributeProto.TENSOR,
    AttributeProto.GRAPH, AttributeProto.INTS, AttributeProto.FLOATS, AttributeProto.STRINGS, AttributeProto.TENSORS,
    AttributeProto.GRAPHS, AttributeProto.SPARSE_TENSOR, AttributeProto.TYPE_PROTO,
)  # fmt: skip

T = TypeVar("T")


@dataclass(frozen=True)
class Mutant:
    """A damaged model: a name that says what was damaged and how, and the file's bytes."""

    name: str
    data: bytes


@cache
def models() -> dict[str, bytes]:
    """Small valid models by name: ONNX's node tests with shapes as constants, its exports of PyTorch, and ours."""
    found: dict[str, bytes] = {}
    for name, case in node_cases().items():
        inputs, _ = case.data_sets[0]
        found[name] = bound(case.model, inputs)[0].SerializeToString()
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for kind in ("simple", "pytorch-operator", "pytorch-converted"):
        for path in sorted((data / kind).glob("*/model.onnx")):
            found[path.parent.name] = path.read_bytes()
    for make in (onnx_models.convolution, onnx_models.with_if, onnx_models.with_loop):
        found[make.__name__] = make().SerializeToString()
    return {name: content for name, content in found.items() if len(content) <= MOST_BYTES}


def mutants(count: int, seed: int) -> Iterator[Mutant]:
    """`count` damaged models; one in four by its bytes, the others by one to three changes of structure."""
    rng = random.Random(seed)
    names = list(models())
    for number in range(count):
        name = rng.choice(names)
        if number % 4 == 0:
            change = rng.choice(BYTE_CHANGES)
            data = change(models()[name], rng)
            yield Mutant(f"{number}: {name}, {change.__name__}", data)
            continue
        model = ModelProto.FromString(models()[name])
        done: list[str] = []
        for _ in range(rng.choice((1, 1, 2, 3))):
            change = rng.choice(STRUCTURE_CHANGES)
            change(model, rng)
            done.append(change.__name__)
        try:
            data = model.SerializeToString()
        except (EncodeError, ValueError):
            continue
        data = data.replace(MARK.encode(), b"\xff\xc0\x80ab\xfe")
        yield Mutant(f"{number}: {name}, {' and '.join(done)}", data)


# --- bytes ------------------------------------------------------------------------------------------------------


def truncate(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def flip_bits(data: bytes, rng: random.Random) -> bytes:
    copy = bytearray(data)
    for _ in range(rng.choice((1, 2, 8))):
        copy[rng.randrange(len(copy))] ^= 1 << rng.randrange(8)
    return bytes(copy)


def set_bytes(data: bytes, rng: random.Random) -> bytes:
    copy = bytearray(data)
    for _ in range(rng.choice((1, 3))):
        copy[rng.randrange(len(copy))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(copy)


def splice_varint(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    varint = rng.choice(
        (b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x80" * 10 + b"\x01", b"\x80\x80\x04")
    )
    return data[:at] + varint + data[at + rng.choice((0, 1)) :]


def cut_out(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    return data[:at] + data[at + rng.randrange(1, 40) :]


def repeat_range(data: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(data))
    end = at + rng.randrange(1, 80)
    return data[:end] + data[at:end] + data[end:]


BYTE_CHANGES: Sequence[Callable[[bytes, random.Random], bytes]] = (
    truncate, flip_bits, set_bytes, splice_varint, cut_out, repeat_range,
)  # fmt: skip

# --- structure --------------------------------------------------------------------------------------------------


def _pick(values: Sequence[T], rng: random.Random) -> T | None:
    return rng.choice(values) if len(values) else None


def _node(model: ModelProto, rng: random.Random) -> NodeProto | None:
    return _pick(list(all_nodes(model.graph)), rng)


def _graph(model: ModelProto, rng: random.Random) -> GraphProto:
    return rng.choice(list(all_graphs(model.graph)))


def _change_list(values: Any, options: Sequence[Any], rng: random.Random) -> None:
    """Replace, add, remove or repeat a number of a repeated field, or clear it."""
    how = rng.randrange(6)
    if how == 0 or not values:
        values.append(rng.choice(options))
    elif how == 1:
        del values[rng.randrange(len(values))]
    elif how == 2:
        del values[:]
    elif how == 3:
        values.extend([rng.choice(options)] * rng.choice((1, 7)))
    else:
        values[rng.randrange(len(values))] = rng.choice(options)


def change_attribute(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    attribute = None if node is None else _pick(node.attribute, rng)
    if attribute is None:
        return
    kind = attribute.type
    if kind == AttributeProto.INT:
        attribute.i = rng.choice(INTEGERS)
    elif kind == AttributeProto.FLOAT:
        attribute.f = rng.choice(FLOATS)
    elif kind == AttributeProto.STRING:
        attribute.s = rng.choice(STRINGS)
    elif kind == AttributeProto.INTS:
        _change_list(attribute.ints, INTEGERS, rng)
    elif kind == AttributeProto.FLOATS:
        _change_list(attribute.floats, FLOATS, rng)
    elif kind == AttributeProto.STRINGS:
        _change_list(attribute.strings, STRINGS, rng)
    elif kind == AttributeProto.TENSOR:
        _change_tensor(attribute.t, rng)


def add_attribute(model: ModelProto, rng: random.Random) -> None:
    """Give a node an attribute that its operator knows, or one that it does not know."""
    node = _node(model, rng)
    if node is None:
        return
    known: list[str] = []
    if onnx.defs.has(node.op_type, node.domain):
        known = list(onnx.defs.get_schema(node.op_type, node.domain).attributes)
    name = rng.choice([*known, "axis", "nonsense"])
    value: Any = rng.choice(
        [
            rng.choice(INTEGERS),
            rng.choice(FLOATS),
            rng.choice(STRINGS),
            [rng.choice(INTEGERS)] * rng.choice((1, 2, 4)),
        ]
    )
    node.attribute.append(onnx.helper.make_attribute(name, value))


def remove_attribute(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    if node is not None and node.attribute:
        del node.attribute[rng.randrange(len(node.attribute))]


def change_attribute_type(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    attribute = None if node is None else _pick(node.attribute, rng)
    if attribute is None:
        return
    if rng.randrange(2):
        attribute.type = rng.choice(KINDS)
    else:
        name = attribute.name
        attribute.Clear()
        value: Any = rng.choice([3, 1.5, b"text", [1, 2], [0.5], [b"a"], np.zeros(2, np.float32)])
        if isinstance(value, np.ndarray):
            value = onnx.numpy_helper.from_array(value)
        attribute.CopyFrom(onnx.helper.make_attribute(name, value))


def change_inputs(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    if node is None:
        return
    names = [v for n in all_nodes(model.graph) for v in [*n.input, *n.output]]
    how = rng.randrange(5)
    if how == 0 and node.input:
        del node.input[rng.randrange(len(node.input))]
    elif how == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = ""
    elif how == 2 and len(node.input) > 1:
        swapped = rng.sample(list(node.input), len(node.input))
        del node.input[:]
        node.input.extend(swapped)
    elif how == 3:
        node.input.append(rng.choice(names or [""]))
    elif node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice([*names, "nothing"])


def change_outputs(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    if node is None or not node.output:
        return
    how = rng.randrange(4)
    if how == 0:
        del node.output[rng.randrange(len(node.output))]
    elif how == 1:
        node.output[rng.randrange(len(node.output))] = ""
    elif how == 2:
        node.output.append(rng.choice([*node.output, "more"]))
    else:
        node.output[rng.randrange(len(node.output))] = rng.choice([*node.input, "other"])


def change_operator(model: ModelProto, rng: random.Random) -> None:
    node = _node(model, rng)
    if node is None:
        return
    if rng.randrange(4):
        node.op_type = rng.choice([s.name for s in onnx.defs.get_all_schemas() if not s.domain])
    else:
        node.domain = rng.choice(["ai.onnx", "ai.onnx.ml", "com.microsoft", "é"])


def _change_type(type: TypeProto, rng: random.Random) -> None:
    how = rng.randrange(8)
    if how == 0:
        type.Clear()
        return
    if how == 1:
        inner = TypeProto()
        inner.CopyFrom(type)
        rng.choice([type.sequence_type, type.optional_type]).elem_type.CopyFrom(inner)
        return
    if type.WhichOneof("value") != "tensor_type":
        return
    tensor = type.tensor_type
    if how == 2:
        tensor.elem_type = rng.choice([0, 24, 99, 2**31 - 1, -1])
    elif how == 3:
        tensor.elem_type = rng.choice(list(TensorProto.DataType.values()))
    elif how == 4:
        tensor.ClearField("shape")
    elif how == 5 and tensor.shape.dim:
        del tensor.shape.dim[rng.randrange(len(tensor.shape.dim))]
    elif how == 6:
        for _ in range(rng.choice((1, 1, 2, 12))):
            tensor.shape.dim.add().dim_value = rng.choice((1, 2, 3))
    elif tensor.shape.dim:
        dim = rng.choice(tensor.shape.dim)
        if rng.randrange(4):
            dim.dim_value = rng.choice(INTEGERS)
        else:
            dim.dim_param = rng.choice(["n", "", MARK])


def change_input_type(model: ModelProto, rng: random.Random) -> None:
    value = _pick(_graph(model, rng).input, rng)
    if value is not None:
        _change_type(value.type, rng)


def change_stated_type(model: ModelProto, rng: random.Random) -> None:
    graph = _graph(model, rng)
    value = _pick([*graph.output, *graph.value_info], rng)
    if value is not None:
        _change_type(value.type, rng)


def _change_tensor(tensor: TensorProto, rng: random.Random) -> None:
    how = rng.randrange(7)
    if how == 0:
        tensor.data_type = rng.choice([*TensorProto.DataType.values(), 99, -1])
    elif how == 1:
        _change_list(tensor.dims, INTEGERS, rng)
    elif how == 2 and tensor.raw_data:
        tensor.raw_data = tensor.raw_data[: rng.randrange(len(tensor.raw_data))]
    elif how == 3:
        tensor.raw_data += bytes(rng.choice((1, 4, 100)))
    elif how == 4:
        tensor.data_location = TensorProto.EXTERNAL
        location = rng.choice(["", ".", "..", "/etc/hostname", "a\0b", "x" * 5000, "/dev/zero"])
        tensor.external_data.add(key="location", value=location)
        tensor.external_data.add(key="offset", value=rng.choice(["0", "-1", "x", "9" * 30]))
    else:
        try:
            array = onnx.numpy_helper.to_array(tensor).copy()
        except Exception:  # It was damaged before.
            return
        if array.size and array.dtype.kind in "iuf":
            options = FLOATS if array.dtype.kind == "f" else INTEGERS
            with np.errstate(all="ignore"):
                value = np.asarray(rng.choice(options)).astype(array.dtype)
            if rng.randrange(2):
                array.reshape(-1)[rng.randrange(array.size)] = value
            else:
                array = np.full(rng.choice([array.shape, (1,), (5,), (2, 2), ()]), value)
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def change_initializer(model: ModelProto, rng: random.Random) -> None:
    tensors = [t for graph in all_graphs(model.graph) for t in graph.initializer]
    tensor = _pick(tensors, rng)
    if tensor is not None:
        _change_tensor(tensor, rng)


def input_becomes_initializer(model: ModelProto, rng: random.Random) -> None:
    """What is computed at run time is folded at compile time, with extreme values."""
    graph = model.graph
    value = _pick(graph.input, rng)
    if value is None or value.type.WhichOneof("value") != "tensor_type":
        return
    tensor = value.type.tensor_type
    shape = [d.dim_value for d in tensor.shape.dim]
    try:
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    except KeyError:
        return
    if (
        dtype.kind not in "iuf"
        or any(not 0 <= n < 100 for n in shape)
        or np.prod(shape, dtype=float) > 1000
    ):
        return
    with np.errstate(all="ignore"):
        number = np.asarray(rng.choice(FLOATS if dtype.kind == "f" else INTEGERS)).astype(dtype)
    graph.initializer.append(onnx.numpy_helper.from_array(np.full(shape, number), value.name))


def rename(model: ModelProto, rng: random.Random) -> None:
    name = rng.choice(["", MARK, "é", "a\0b", "x" * 3000, "__proto__", "a b", "../x"])
    graph = _graph(model, rng)
    value = _pick([*graph.input, *graph.output, *graph.initializer, *graph.node], rng)
    if value is None:
        return
    old, value.name = value.name, name
    if isinstance(value, NodeProto) or rng.randrange(2):
        return
    for node in all_nodes(model.graph):
        for names in (node.input, node.output):
            for index, each in enumerate(names):
                if each == old:
                    names[index] = name


def change_opset(model: ModelProto, rng: random.Random) -> None:
    how = rng.randrange(4)
    if how == 0:
        model.ir_version = rng.choice((0, 1, 2, 3, 4, 10, 99, 2**40))
    elif how == 1:
        model.opset_import.append(
            onnx.helper.make_opsetid(rng.choice(["", "x", "ai.onnx.ml"]), rng.choice((1, 99)))
        )
    elif model.opset_import:
        entry = rng.choice(model.opset_import)
        entry.version = rng.choice(
            (0, -1, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 18, 99, 2**40, 2**62)
        )


def change_nodes(model: ModelProto, rng: random.Random) -> None:
    graph = _graph(model, rng)
    if not graph.node:
        return
    how, index = rng.randrange(3), rng.randrange(len(graph.node))
    if how == 0:
        del graph.node[index]
    elif how == 1:
        graph.node.add().CopyFrom(graph.node[index])
    else:
        nodes = [NodeProto.FromString(n.SerializeToString()) for n in graph.node]
        del graph.node[:]
        graph.node.extend(nodes[::-1])


def change_interface(model: ModelProto, rng: random.Random) -> None:
    graph = _graph(model, rng)
    values = rng.choice([graph.input, graph.output])
    if not values:
        return
    how, index = rng.randrange(3), rng.randrange(len(values))
    if how == 0:
        del values[index]
    elif how == 1:
        values.add().CopyFrom(values[index])
    else:
        values[index].name = rng.choice(
            ["nothing", *(v.name for v in [*graph.input, *graph.output])]
        )


def add_functions(model: ModelProto, rng: random.Random) -> None:
    """Functions that double, or call themselves, or call what is not there, in place of a node."""
    node = _pick(model.graph.node, rng)
    if node is None:
        return
    levels = rng.choice((1, 3, 26))
    for level in range(levels):
        calls = [f"f{rng.choice((level, level + 1)) if level < levels - 1 else level + 1}"] * 2
        model.functions.append(
            onnx.helper.make_function(
                "local",
                f"f{level}",
                ["x"],
                ["y"],
                [
                    onnx.helper.make_node(calls[0], ["x"], ["t"], domain="local"),
                    onnx.helper.make_node(calls[1], ["t"], ["y"], domain="local"),
                ],
                [onnx.helper.make_opsetid("local", 1), onnx.helper.make_opsetid("", 17)],
            )
        )
    last = onnx.helper.make_node("Neg", ["x"], ["y"])
    imports = [onnx.helper.make_opsetid("", 17)]
    model.functions.append(
        onnx.helper.make_function("local", f"f{levels}", ["x"], ["y"], [last], imports)
    )
    model.opset_import.append(onnx.helper.make_opsetid("local", 1))
    node.op_type, node.domain = "f0", "local"
    del node.attribute[:]


STRUCTURE_CHANGES: Sequence[Callable[[ModelProto, random.Random], None]] = (
    *(change_attribute,) * 6,
    *(add_attribute,) * 3,
    remove_attribute,
    *(change_attribute_type,) * 2,
    *(change_inputs,) * 3,
    change_outputs,
    change_operator,
    *(change_input_type,) * 4,
    change_stated_type,
    *(change_initializer,) * 4,
    *(input_becomes_initializer,) * 2,
    rename,
    *(change_opset,) * 2,
    change_nodes,
    change_interface,
    add_functions,
)  # fmt: skip
"""What is repeated finds more."""

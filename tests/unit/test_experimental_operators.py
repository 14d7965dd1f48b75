"""DynamicSlice and GRUUnit, which ONNX had as experiments until opset 9: the one against numpy and ONNX Runtime,
which still has it, the other against what Caffe2 computes."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import webdnn
from tests.tolerances import assert_close
from tests.unit.onnx_import import run_session
from webdnn.dialects.dtypes import Array

RNG = np.random.default_rng(8)


def parse(graph: str, opset: int) -> ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 4, opset_import: ["" : {opset}]> test {graph}')


FAR = np.iinfo(np.int64).max
SLICES: dict[str, tuple[list[int], list[int], list[int] | None, tuple[slice, ...]]] = {
    "some": ([1], [3], None, (slice(1, 3),)),
    "two axes": ([1, 2], [3, 5], [0, 2], (slice(1, 3), slice(None), slice(2, 5))),
    "from the end": ([-2, -3], [-1, FAR], [0, 1], (slice(-2, -1), slice(-3, None))),
    "beyond both ends": ([-100, -FAR], [100, FAR], [1, 2], (slice(None),)),
    "nothing": ([2], [2], [1], (slice(None), slice(2, 2))),
    "backwards": ([3], [1], [0], (slice(3, 1),)),
    "no axis": ([], [], [], ()),
}


@pytest.mark.parametrize("opset", [1, 7, 9])
@pytest.mark.parametrize("name", SLICES)
def test_slices_between_constants(name: str, opset: int) -> None:
    starts, ends, axes, wanted = SLICES[name]
    bounds = {"starts": starts, "ends": ends, **({} if axes is None else {"axes": axes})}
    constants = ", ".join(
        f"int64[{len(values)}] {name} = {{{', '.join(map(str, values))}}}"
        for name, values in bounds.items()
    )
    model = parse(
        f"(float[4,5,6] x) => (float[a,b,c] y) <{constants}> {{ y = DynamicSlice (x, {', '.join(bounds)}) }}",
        opset,
    )
    x = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    result = webdnn.compile(model, target="wasm", jobs=1).run({"x": x})["y"]
    np.testing.assert_array_equal(result, x[wanted])
    if opset == 9:
        np.testing.assert_array_equal(result, run_session(model, {"x": x})[0])


COMPUTED = """(float[4,n,6] x, float[2,m] other) => (float[a,b,c] y)
    <int64[1] one = {{1}}, int64[1] two = {{2}}, int64[1] far = {{9223372036854775807}}, int64[2] axes = {{0, 1}}> {{
        shape = Shape (other) size = Gather (shape, one) minus = Neg (two)
        starts = Concat <axis = 0> (one, {start}) ends = Concat <axis = 0> ({end}, {end})
        y = DynamicSlice (x, starts, ends, axes) }}"""


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize(
    ("start", "end", "wanted"),
    [
        ("minus", "size", (slice(1, 3), slice(-2, 3))),
        ("two", "far", (slice(1, None), slice(2, None))),
        ("size", "two", (slice(1, 2), slice(3, 2))),
    ],
)
def test_slices_between_sizes(target: str, start: str, end: str, wanted: tuple[slice, ...]) -> None:
    """As PyTorch 1.0 wrote them: of another tensor's size, in opset 9."""
    model = parse(COMPUTED.format(start=start, end=end), 9)
    x = RNG.normal(size=(4, 5, 6)).astype(np.float32)
    other = np.zeros((2, 3), np.float32)
    shapes = {"x": x.shape, "other": other.shape}
    package = webdnn.compile(model, target=target, jobs=1, shapes=shapes)
    result = package.run({"x": x, "other": other})["y"]
    np.testing.assert_array_equal(result, x[wanted])
    np.testing.assert_array_equal(result, run_session(model, {"x": x, "other": other})[0])


def test_slices_in_a_branch() -> None:
    """Whose bounds are constants of the graph around it."""
    model = parse(
        """(float[4] x, bool c) => (float[k] y) <int64[1] a = {1}, int64[1] b = {3}> {
            y = If (c) <then_branch = t () => (float[k] p) { p = DynamicSlice (x, a, b) },
                        else_branch = e () => (float[k] q) { q = DynamicSlice (x, a, b) }> }""",
        8,
    )
    x = np.arange(4, dtype=np.float32)
    package = webdnn.compile(model, target="wasm", jobs=1, values={"c": True})
    np.testing.assert_array_equal(package.run({"x": x})["y"], x[1:3])


WRONG_SLICES = {
    "int64[1] a = {1}, int64[1] b = {2}> { s = Shape (x) [N] y = DynamicSlice (x, a, b, s) }": "its axes are computed",
    "int64[2] a = {1, 2}, int64[1] b = {2}> { [N] y = DynamicSlice (x, a, b) }": "not as many starts and ends",
    "int64[1] a = {0}> { s = Shape (x) [N] y = DynamicSlice (x, s, s) }": "has no axes",
    "int64[1] a = {0}> { s = Shape (x) [N] y = DynamicSlice (x, a, s) }": "export with opset 9",
}


@pytest.mark.parametrize("graph", WRONG_SLICES)
def test_slices_that_are_not_known(graph: str) -> None:
    model = parse(f"(float[4] x) => (float[k] y) <{graph}", 8)
    with pytest.raises(webdnn.WebDNNError, match=f"(?s)node 'N'.*{WRONG_SLICES[graph]}"):
        webdnn.compile(model)


def gru_unit(hidden: Array, gates: Array, lengths: Array | None, t: int, is_dropped: bool) -> Array:
    """One step, sequence by sequence."""
    result = np.empty_like(hidden)
    for n in range(hidden.shape[-2]):
        _, update, output = np.split(gates[..., n, :], 3, axis=-1)
        if lengths is not None and t >= lengths[n]:
            result[..., n, :] = 0 if is_dropped else hidden[..., n, :]
        else:
            old = 1 / (1 + np.exp(-update))
            result[..., n, :] = hidden[..., n, :] * old + np.tanh(output) * (1 - old)
    return result


GRUS: dict[str, tuple[tuple[int, ...], str, bool, bool]] = {
    "sequences that end": ((1, 5, 7), "", True, False),
    "states that are dropped": ((1, 5, 7), "<drop_states = 1>", True, True),
    "two dimensions": ((5, 7), "", True, False),
    "one number": ((1, 1, 1), "", True, False),
    "no sequence": ((1, 0, 7), "", True, False),
    "no lengths": ((1, 5, 7), "<sequence_lengths = 0>", False, False),
}


@pytest.mark.parametrize("target", ["wasm", "webgpu"])
@pytest.mark.parametrize("opset", [7, 9])
@pytest.mark.parametrize("name", GRUS)
def test_gru_unit(name: str, opset: int, target: str) -> None:
    shape, attributes, has_lengths, is_dropped = GRUS[name]
    text = ",".join(map(str, shape))
    gates_text = ",".join(map(str, (*shape[:-1], 3 * shape[-1])))
    lengths_text, lengths_name = (f", int32[{shape[-2]}] l", ", l") if has_lengths else ("", "")
    model = parse(
        f"(float[{text}] h, float[{gates_text}] g{lengths_text}) => (float[{text}] y) <int32[1] t = {{2}}>"
        f" {{ y = GRUUnit {attributes} (h, g{lengths_name}, t) }}",
        opset,
    )
    hidden = RNG.normal(size=shape).astype(np.float32)
    gates = RNG.normal(size=(*shape[:-1], 3 * shape[-1])).astype(np.float32) * 4
    lengths = np.arange(1, shape[-2] + 1, dtype=np.int32)  # 1 and 2 have ended, 3 has not
    feeds = {"h": hidden, "g": gates, **({"l": lengths} if has_lengths else {})}
    result = webdnn.compile(model, target=target, jobs=1).run(feeds)["y"]
    expected = gru_unit(hidden, gates, lengths if has_lengths else None, 2, is_dropped)
    assert_close(result, expected, name, "y")


def test_what_a_sequence_that_has_ended_gets_does_not_matter() -> None:
    model = parse(
        "(float[1,2,1] h, float[1,2,3] g, float[2] l, float[1] t) => (float[1,2,1] y) { y = GRUUnit (h, g, l, t) }",
        9,
    )
    feeds = {
        "h": np.array([[[0.5], [np.inf]]], np.float32),
        "g": np.array([[[0, 0, np.nan], [np.nan] * 3]], np.float32),
        "l": np.array([2, 1], np.float32),
        "t": np.array([1], np.float32),
    }
    result = webdnn.compile(model, target="wasm", jobs=1).run(feeds)["y"]
    np.testing.assert_array_equal(result, [[[np.nan], [np.inf]]])


@pytest.mark.parametrize(
    ("node", "opset", "why"),
    [
        ("GRUUnit (x, x)", 9, "it needs hidden_prev"),
        ("GRUUnit (x, x, x, x)", 5, "opset 7 or newer"),
    ],
)
def test_no_gru_units(node: str, opset: int, why: str) -> None:
    model = parse(f"(float[1,1,3] x) => (float[1,1,3] y) {{ [N] y = {node} }}", opset)
    with pytest.raises(webdnn.WebDNNError, match=f"(?s)node 'N'.*{why}"):
        webdnn.compile(model)

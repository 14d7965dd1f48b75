"""What is alive while concatenations become wholes is what is alive in the program that comes of it."""

from __future__ import annotations

import random

import onnx
import pytest

from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.kernels import place_parts
from webdnn.lowering.kernels.arena import lower_bound
from webdnn.lowering.kernels.lifetimes import tensor_lifetimes
from webdnn.lowering.kernels.live_bytes import LiveBytes
from webdnn.lowering.kernels.outline import OutlineKernels
from webdnn.lowering.kernels.place_parts import PlaceParts
from webdnn.lowering.target import memory_of
from webdnn.lowering.weights_function import entry_function
from webdnn.passes import apply_pass, context
from webdnn.stages import run_stages


def random_program(seed: int) -> onnx.ModelProto:
    """Concatenations of sines and of earlier concatenations, each of which is read once more at some time."""
    draw = random.Random(seed)
    rows = {"x": 2}
    lines: list[str] = []
    for number in range(draw.randrange(3, 10)):
        parts: list[str] = []
        for _ in range(draw.randrange(2, 4)):
            part = draw.choice([name for name in rows if rows[name] < 40])
            if draw.random() < 0.7 or part == "x":
                name = f"s{len(lines)}"
                lines.append(f"{name} = Sin({part})")
                rows[name] = rows[part]
                part = name
            parts.append(part)
        lines.append(f"c{number} = Concat<axis = 0>({', '.join(parts)})")
        rows[f"c{number}"] = sum(rows[part] for part in parts)
    last = lines[-1].split()[0]
    text = f"""<ir_version: 10, opset_import: ["" : 21]>
    example (float[2, 8] x) => (float[{rows[last]}, 8] y) {{
      {" ".join(lines)}
      y = Neg({last}) }}"""
    return onnx.parser.parse_model(text)


@pytest.mark.parametrize("seed", range(12))
def test_counted_is_what_there_is(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[LiveBytes] = []

    class Kept(LiveBytes):
        def __init__(self, *args: object) -> None:
            super().__init__(*args)  # pyright: ignore[reportArgumentType]
            counts.append(self)

    imported = load(random_program(seed))
    attach_weights(imported.module, imported.weights)
    with monkeypatch.context() as patches:
        patches.setattr(place_parts, "LiveBytes", Kept)
        run_stages(imported.module, "onnx", "linalg", "wasm")
        for step in (OutlineKernels(), PlaceParts()):
            apply_pass(step, context(), imported.module)
    block = entry_function(imported.module).body.block
    lifetimes = tensor_lifetimes(block)
    memory = memory_of("wasm")
    expected = lower_bound(lifetimes, [memory.tensor_bytes(t.type) for t in lifetimes])
    assert [c.most() for c in counts] == [expected]

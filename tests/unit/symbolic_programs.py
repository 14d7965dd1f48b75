"""Programs of level `nn` whose sizes are symbols, for tests of the levels below."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.parser import Parser

from webdnn.dialects.dtypes import Array, numpy_dtype
from webdnn.dialects.onnx import INPUT_NAMES, OUTPUT_NAMES, strings_of
from webdnn.dialects.plan import ENTRY
from webdnn.dialects.sizes.substitution import evaluate
from webdnn.dialects.sizes.types import shape_of
from webdnn.dialects.weight_store import WeightStore, attach_weights
from webdnn.lowering.weights_function import find_function
from webdnn.passes import context

S = "s[1 to 512 likely 96]"
P = "p[0 to 256 likely 64]"
B = "b[1 to 8 likely 1]"
H = "h[2 to 64 by 2 likely 32]"
W = "w[1 to 64 likely 48]"
ALIASES = {"S": S, "P": P, "B": B, "H": H, "W": W}


@dataclass(frozen=True)
class SymbolicProgram:
    """A program as text, in which `T(1, S, 64)` is a tensor type and names of `ALIASES` are symbols.

    Attributes:
        name: what tests call it.
        arguments: the types of the inputs, by their names.
        body: ops of level `nn`; the last value is `%y`.
        result: the type of the output.
        sizes: values of the symbols that it is run with.
        weights: shapes of weights.
    """

    name: str
    arguments: Mapping[str, str]
    body: str
    result: str
    sizes: Sequence[Mapping[str, int]]
    weights: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])

    def module(self) -> ModuleOp:
        """The program, with its weights attached."""
        arguments = ", ".join(f"%{n}: {t}" for n, t in self.arguments.items())
        names = ", ".join(f'"{n}"' for n in self.arguments)
        handles = "".join(
            f'%{n} = nn.weight "{n}" : tensor<{"x".join(map(str, s))}xf32>\n'
            for n, s in self.weights.items()
        )
        text = f"""
        func.func @main({arguments}) -> {self.result} attributes {{
          {INPUT_NAMES} = [{names}], {OUTPUT_NAMES} = ["y"],
          onnx.input_dtypes = [{", ".join('"float32"' for _ in self.arguments)}],
          onnx.output_dtypes = ["float32"]
        }} {{
          {handles}{self.body}
          func.return %y : {self.result}
        }}"""
        for name, symbol in ALIASES.items():
            text = text.replace(f"@{name}", symbol)
        module = Parser(context(), _with_types(text)).parse_module()
        module.verify()
        attach_weights(module, WeightStore(dict(self.arrays())))
        return module

    def arrays(self) -> dict[str, Array]:
        """The weights."""
        random = np.random.default_rng(1)
        return {
            n: random.standard_normal(tuple(s)).astype(np.float32) / np.float32(s[0] ** 0.5)
            for n, s in self.weights.items()
        }

    def inputs(self, values: Mapping[str, int]) -> dict[str, Array]:
        """Random inputs of the sizes that the symbols have."""
        main = find_function(self.module(), ENTRY)
        assert main is not None
        random = np.random.default_rng(2)
        inputs: dict[str, Array] = {}
        for name, value in zip(strings_of(main, INPUT_NAMES), main.body.block.args, strict=True):
            shape = [evaluate(size, values) for size in shape_of(value)]
            dtype = numpy_dtype(value.type)
            numbers = (
                random.standard_normal(shape)
                if dtype.kind == "f"
                else random.integers(0, 16, shape)
            )
            inputs[name] = numbers.astype(dtype)
        return inputs


def _with_types(text: str) -> str:
    """The text with types `T(1, S, 64)` or `T(1, S, 64; i64)` and lists `I(1, 2)` and `F(0.5)` written out."""
    for letter, element in (("I", "i64"), ("F", "f64")):
        text = re.sub(
            rf"\b{letter}\(([^)]*)\)",
            lambda m, e=element: f"[{', '.join(f'{n} : {e}' for n in m[1].split(', '))}]",
            text,
        )
    result = ""
    while (at := text.find("T(")) >= 0:
        depth, end = 0, at + 1
        while True:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            if depth == 0:
                break
            end += 1
        inside, _, element = text[at + 2 : end].partition(";")
        sizes = [size.strip() for size in inside.split(",") if size.strip()]
        result += text[:at] + _type(sizes, element.strip() or "f32")
        text = text[end + 1 :]
    return result + text


def _type(sizes: Sequence[str], element: str) -> str:
    written = [
        "".join(ALIASES.get(str(word), str(word)) for word in re.findall(r"\w+|\W", size))
        for size in sizes
    ]
    dims = "".join(f"{size}x" if size.isdigit() else "?x" for size in written)
    if all(size.isdigit() for size in written):
        return f"tensor<{dims}{element}>"
    return f"tensor<{dims}{element}, #nn.sizes<{', '.join(written)}>>"


SEQUENCES = ({"s": 1}, {"s": 7}, {"s": 96}, {"s": 512})
PICTURES = ({"h": 2, "w": 1}, {"h": 6, "w": 13}, {"h": 32, "w": 48}, {"h": 64, "w": 64})
PASTS = ({"s": 1, "p": 0}, {"s": 1, "p": 17}, {"s": 5, "p": 64}, {"s": 33, "p": 256})
BATCHES = ({"b": 1, "s": 1}, {"b": 3, "s": 10}, {"b": 8, "s": 65})

PROGRAMS = (
    SymbolicProgram(
        "matmul_bias_relu",
        {"x": "T(1, S, 64)"},
        """
        %m = nn.matmul %x, %w : T(1, S, 64), tensor<64x40xf32> -> T(1, S, 40)
        %a = nn.add %m, %c : T(1, S, 40), tensor<40xf32> -> T(1, S, 40)
        %y = nn.relu %a : T(1, S, 40) -> T(1, S, 40)""",
        "T(1, S, 40)",
        SEQUENCES,
        {"w": (64, 40), "c": (40,)},
    ),
    SymbolicProgram(
        "two_products_share_a_kernel",
        {"x": "T(S, 32)", "z": "T(W, 32)"},
        """
        %a = nn.matmul %x, %w : T(S, 32), tensor<32x32xf32> -> T(S, 32)
        %b = nn.matmul %z, %w : T(W, 32), tensor<32x32xf32> -> T(W, 32)
        %y = nn.concat 0 : i64, %a, %b : T(S, 32), T(W, 32) -> T(S + W, 32)""",
        "T(S + W, 32)",
        ({"s": 1, "w": 1}, {"s": 7, "w": 30}, {"s": 512, "w": 64}),
        {"w": (32, 32)},
    ),
    SymbolicProgram(
        "softmax",
        {"x": "T(2, S, S)"},
        "%y = nn.softmax %x axis 2 : i64 log 0 : i64 : T(2, S, S) -> T(2, S, S)",
        "T(2, S, S)",
        ({"s": 1}, {"s": 7}, {"s": 96}, {"s": 131}),
    ),
    SymbolicProgram(
        "attention",
        {
            "q": "T(4, S, 16)",
            "k": "T(4, P + S, 16)",
            "v": "T(4, P + S, 16)",
            "m": "T(S, P + S)",
            "past": "T(P)",
        },
        """
        %t = nn.transpose %k I(0, 2, 1) : T(4, P + S, 16) -> T(4, 16, P + S)
        %a = nn.matmul %q, %t : T(4, S, 16), T(4, 16, P + S) -> T(4, S, P + S)
        %b = nn.add %a, %m : T(4, S, P + S), T(S, P + S) -> T(4, S, P + S)
        %c = nn.softmax %b axis 2 : i64 log 0 : i64 : T(4, S, P + S) -> T(4, S, P + S)
        %y = nn.matmul %c, %v : T(4, S, P + S), T(4, P + S, 16) -> T(4, S, 16)""",
        "T(4, S, 16)",
        PASTS,
    ),
    SymbolicProgram(
        "heads",
        {"x": "T(B, S, 96)"},
        """
        %r = nn.reshape %x : T(B, S, 96) -> T(B, S, 6, 16)
        %t = nn.transpose %r I(0, 2, 1, 3) : T(B, S, 6, 16) -> T(B, 6, S, 16)
        %e = nn.exp %t : T(B, 6, S, 16) -> T(B, 6, S, 16)
        %y = nn.reshape %e : T(B, 6, S, 16) -> T(B * 6, S, 16)""",
        "T(B * 6, S, 16)",
        BATCHES,
    ),
    SymbolicProgram(
        "normalize",
        {"x": "T(B, S, 48)"},
        "%y = nn.normalize %x axes I(2) epsilon 1.0e-05 : f64 centered 1 : i64 : T(B, S, 48) -> T(B, S, 48)",
        "T(B, S, 48)",
        BATCHES,
    ),
    SymbolicProgram(
        "normalize_over_a_symbol",
        {"x": "T(3, S)"},
        "%y = nn.normalize %x axes I(1) epsilon 1.0e-05 : f64 centered 1 : i64 : T(3, S) -> T(3, S)",
        "T(3, S)",
        SEQUENCES,
    ),
    SymbolicProgram(
        "mean",
        {"x": "T(B, S, 24)"},
        '%y = nn.reduce "sum" %x axes I(1) keep 0 : i64 : T(B, S, 24) -> T(B, 24)',
        "T(B, 24)",
        BATCHES,
    ),
    SymbolicProgram(
        "convolution",
        {"x": "T(1, H, W, 3)"},
        """
        %p = nn.pad %x low I(0, 1, 1, 0) high I(0, 1, 1, 0) interior I(0, 0, 0, 0)
            "constant" 0.0 : f64 : T(1, H, W, 3) -> T(1, H + 2, W + 2, 3)
        %c = nn.conv %p, %w strides I(1, 1) dilations I(1, 1) groups 1 : i64
            : T(1, H + 2, W + 2, 3), tensor<3x3x3x16xf32> -> T(1, H, W, 16)
        %a = nn.add %c, %b : T(1, H, W, 16), tensor<16xf32> -> T(1, H, W, 16)
        %y = nn.relu %a : T(1, H, W, 16) -> T(1, H, W, 16)""",
        "T(1, H, W, 16)",
        PICTURES,
        {"w": (3, 3, 3, 16), "b": (16,)},
    ),
    SymbolicProgram(
        "strided_convolution",
        {"x": "T(1, H, W, 8)"},
        """
        %p = nn.pad %x low I(0, 1, 1, 0) high I(0, 1, 1, 0) interior I(0, 0, 0, 0)
            "constant" 0.0 : f64 : T(1, H, W, 8) -> T(1, H + 2, W + 2, 8)
        %y = nn.conv %p, %w strides I(2, 2) dilations I(1, 1) groups 1 : i64
            : T(1, H + 2, W + 2, 8), tensor<3x3x8x24xf32>
            -> T(1, (H - 1) floordiv 2 + 1, (W - 1) floordiv 2 + 1, 24)""",
        "T(1, (H - 1) floordiv 2 + 1, (W - 1) floordiv 2 + 1, 24)",
        PICTURES,
        {"w": (3, 3, 8, 24)},
    ),
    SymbolicProgram(
        "pool",
        {"x": "T(1, H, W, 8)"},
        """
        %y = nn.reduce_window "max" %x window I(1, 2, 1, 1) strides I(1, 2, 1, 1) dilations I(1, 1, 1, 1)
            : T(1, H, W, 8) -> T(1, H floordiv 2, W, 8)""",
        "T(1, H floordiv 2, W, 8)",
        PICTURES,
    ),
    SymbolicProgram(
        "concat_along_a_symbol",
        {"x": "T(2, P, 12)", "z": "T(2, S, 12)"},
        "%y = nn.concat 1 : i64, %x, %z : T(2, P, 12), T(2, S, 12) -> T(2, P + S, 12)",
        "T(2, P + S, 12)",
        PASTS,
    ),
    SymbolicProgram(
        "slice_at_a_symbol",
        {"x": "T(2, P + S, 12)", "past": "T(P)", "new": "T(S)"},
        "%y = nn.slice %x starts #nn.sizes<0, @P, 0> steps I(1, 1, 1)\n : T(2, P + S, 12) -> T(2, S, 12)",
        "T(2, S, 12)",
        PASTS,
    ),
    SymbolicProgram(
        "gather",
        {"x": "T(30, 20)", "i": "T(S; i64)"},
        "%y = nn.gather %x, %i axis 0 : i64 : tensor<30x20xf32>, T(S; i64) -> T(S, 20)",
        "T(S, 20)",
        SEQUENCES,
    ),
    SymbolicProgram(
        "upsample",
        {"x": "T(1, H, W, 4)"},
        """
        %y = nn.resize %x "linear" "floor" scale F(1.0, 0.5, 0.5, 1.0)
            offset_in F(0.0, 0.5, 0.5, 0.0) offset_out F(0.0, -0.5, -0.5, 0.0)
            : T(1, H, W, 4) -> T(1, H * 2, W * 2, 4)""",
        "T(1, H * 2, W * 2, 4)",
        PICTURES,
    ),
    SymbolicProgram(
        "sizes_as_values",
        {"x": "T(B, S)"},
        """
        %n = nn.sizes <@S * 2 + 1> : tensor<1xi64>
        %f = nn.cast %n : tensor<1xi64> -> tensor<1xf32>
        %y = nn.mul %x, %f : T(B, S), tensor<1xf32> -> T(B, S)""",
        "T(B, S)",
        BATCHES,
    ),
)

"""The BERT encoder: Devlin et al., "BERT", 2018 (arXiv:1810.04805), after Vaswani et al., 2017 (arXiv:1706.03762).

The graph has the form in which PyTorch exports such models: MatMul and Add for dense layers, heads split by Reshape and
Transpose, an attention mask that is added, GELU by Erf, LayerNormalization as an operator or, as before opset 17,
decomposed. Token ids are int32 and not int64, so that the same file runs on WebGPU, which has no 64-bit integers.
"""

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from .builder import GraphBuilder

VOCABULARY = 30522  # of the uncased WordPiece vocabulary
TOKEN_TYPES = 2


@dataclass(frozen=True)
class Config:
    """Sizes of an encoder; `sequence` is the number of tokens of its input."""

    name: str
    layers: int
    hidden: int
    heads: int
    intermediate: int
    sequence: int = 128
    decomposed_norm: bool = False


class _Encoder:
    def __init__(self, config: Config) -> None:
        self.c = config
        self.g = GraphBuilder(config.name, opset=14 if config.decomposed_norm else 17)
        g = self.g
        head = config.hidden // config.heads
        self.split = g.constant("split", np.array([1, config.sequence, config.heads, head]))
        self.merge = g.constant("merge", np.array([1, config.sequence, config.hidden]))
        self.one = g.scalar("one", 1.0)
        self.half = g.scalar("half", 0.5)
        self.sqrt_two = g.scalar("sqrt_two", 2.0**0.5)
        self.sqrt_head = g.scalar("sqrt_head", head**0.5)
        self.masked = g.scalar("masked", -10000.0)
        if config.decomposed_norm:
            self.two = g.scalar("two", 2.0)
            self.epsilon = g.scalar("epsilon", 1e-12)

    def layer_norm(self, x: str, name: str) -> str:
        g, shape = self.g, (self.c.hidden,)
        gamma = g.constant(f"{name}.gamma", g.weights.uniform(f"{name}.gamma", shape, 0.8, 1.2))
        beta = g.constant(f"{name}.beta", g.weights.normal(f"{name}.beta", shape, 0.1))
        if not self.c.decomposed_norm:
            return g.node("LayerNormalization", [x, gamma, beta], name, axis=-1, epsilon=1e-12)
        mean = g.node("ReduceMean", [x], f"{name}/mean", axes=[-1])
        centred = g.node("Sub", [x, mean], f"{name}/sub")
        square = g.node("Pow", [centred, self.two], f"{name}/pow")
        variance = g.node("ReduceMean", [square], f"{name}/variance", axes=[-1])
        variance = g.node("Add", [variance, self.epsilon], f"{name}/epsilon")
        deviation = g.node("Sqrt", [variance], f"{name}/sqrt")
        normal = g.node("Div", [centred, deviation], f"{name}/div")
        return g.node("Add", [g.node("Mul", [normal, gamma], f"{name}/mul"), beta], name)

    def gelu(self, x: str, name: str) -> str:
        """0.5 x (1 + erf(x / sqrt 2))"""
        g = self.g
        erf = g.node("Erf", [g.node("Div", [x, self.sqrt_two], f"{name}/div")], f"{name}/erf")
        y = g.node("Mul", [x, g.node("Add", [erf, self.one], f"{name}/add")], f"{name}/mul")
        return g.node("Mul", [y, self.half], name)

    def heads(self, x: str, name: str, perm: list[int]) -> str:
        """A projection of [1, sequence, hidden], its heads brought to the front by `perm`."""
        y = self.g.linear(x, self.c.hidden, self.c.hidden, name)
        y = self.g.node("Reshape", [y, self.split], f"{name}/split")
        return self.g.node("Transpose", [y], f"{name}/heads", perm=perm)

    def attention(self, x: str, mask: str, name: str) -> str:
        g, hidden = self.g, self.c.hidden
        query = self.heads(x, f"{name}/self/query", [0, 2, 1, 3])
        key = self.heads(x, f"{name}/self/key", [0, 2, 3, 1])
        value = self.heads(x, f"{name}/self/value", [0, 2, 1, 3])
        scores = g.node("MatMul", [query, key], f"{name}/self/scores")
        scores = g.node("Div", [scores, self.sqrt_head], f"{name}/self/scaled")
        scores = g.node("Add", [scores, mask], f"{name}/self/masked")
        probabilities = g.node("Softmax", [scores], f"{name}/self/softmax", axis=-1)
        context = g.node("MatMul", [probabilities, value], f"{name}/self/context")
        context = g.node("Transpose", [context], f"{name}/self/rows", perm=[0, 2, 1, 3])
        context = g.node("Reshape", [context, self.merge], f"{name}/self/merge")
        out = g.linear(context, hidden, hidden, f"{name}/output/dense")
        return self.layer_norm(
            g.node("Add", [out, x], f"{name}/output/add"), f"{name}/output/LayerNorm"
        )

    def layer(self, x: str, mask: str, name: str) -> str:
        g, hidden, wide = self.g, self.c.hidden, self.c.intermediate
        x = self.attention(x, mask, f"{name}/attention")
        y = g.linear(x, hidden, wide, f"{name}/intermediate/dense")
        y = self.gelu(y, f"{name}/intermediate/gelu")
        y = g.linear(y, wide, hidden, f"{name}/output/dense")
        return self.layer_norm(
            g.node("Add", [y, x], f"{name}/output/add"), f"{name}/output/LayerNorm"
        )

    def embeddings(self, ids: str, types: str) -> str:
        g, hidden = self.g, self.c.hidden

        def table(name: str, rows: int) -> str:
            return g.constant(name, g.weights.normal(name, (rows, hidden), 1.0))

        words = g.node("Gather", [table("embeddings/word", VOCABULARY), ids], "embeddings/words")
        kinds = g.node(
            "Gather", [table("embeddings/token_type", TOKEN_TYPES), types], "embeddings/kinds"
        )
        positions = g.weights.normal("embeddings/position", (1, self.c.sequence, hidden), 0.5)
        x = g.node("Add", [words, kinds], "embeddings/add")
        x = g.node(
            "Add", [x, g.constant("embeddings/position", positions)], "embeddings/add_position"
        )
        return self.layer_norm(x, "embeddings/LayerNorm")

    def additive_mask(self, mask: str) -> str:
        """1 where a token is to be seen and 0 where not -> 0 and -10000, [1, 1, 1, sequence]."""
        g = self.g
        axes = g.constant("mask/axes", np.array([1, 2]))
        x = g.node("Unsqueeze", [mask, axes], "mask/unsqueeze")
        x = g.node("Cast", [x], "mask/cast", to=TensorProto.FLOAT)
        x = g.node("Sub", [self.one, x], "mask/sub")
        return g.node("Mul", [x, self.masked], "mask/mul")


def build_encoder(config: Config) -> onnx.ModelProto:
    """Token ids, mask and types, each int32 [1, sequence] -> the last hidden state, [1, sequence, hidden]."""
    net = _Encoder(config)
    g = net.g
    shape = [1, config.sequence]
    ids = g.input("input_ids", shape, TensorProto.INT32)
    mask = net.additive_mask(g.input("attention_mask", shape, TensorProto.INT32))
    types = g.input("token_type_ids", shape, TensorProto.INT32)
    x = net.embeddings(ids, types)
    for number in range(config.layers):
        x = net.layer(x, mask, f"encoder/layer.{number}")
    g.node("Identity", [x], "last_hidden_state")
    g.output("last_hidden_state", [1, config.sequence, config.hidden])
    return g.model()

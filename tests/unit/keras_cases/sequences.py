"""Recurrent layers and attentions."""

from __future__ import annotations

from collections.abc import Iterator

from tests.unit.keras_cases.case import Case, keras, layer, model


def recurrent() -> Iterator[tuple[str, Case]]:
    steps = (2, 6, 3)
    for name in ("SimpleRNN", "GRU", "LSTM"):
        yield name, layer(name, steps, units=4)
        yield (
            f"{name}_sequences",
            layer(name, steps, units=4, return_sequences=True, go_backwards=True),
        )
        yield f"{name}_state", layer(name, steps, units=4, return_sequences=True, return_state=True)
        yield f"{name}_unrolled", layer(name, steps, units=4, unroll=True)
        yield (
            f"{name}_bidirectional",
            model(
                lambda L, x, name=name: L.Bidirectional(getattr(L, name)(4, return_sequences=True))(
                    x
                ),
                steps,
            ),
        )
        yield (
            f"{name}_masked",
            model(
                lambda L, x, name=name: getattr(L, name)(4, return_sequences=True)(
                    L.Embedding(5, 3, mask_zero=True)(x)
                ),
                (3, 7),
                below=3,
            ),
        )
        yield (
            f"{name}_from_state",
            model(
                lambda L, x, h, name=name: getattr(L, name)(4)(
                    x, initial_state=[h, h] if name == "LSTM" else h
                ),
                steps,
                (2, 4),
            ),
        )
    yield "GRU_reset_before", layer("GRU", steps, units=4, reset_after=False, return_sequences=True)
    yield (
        "LSTM_relu",
        layer(
            "LSTM",
            steps,
            units=4,
            activation="relu",
            recurrent_activation="hard_sigmoid",
            use_bias=False,
        ),
    )
    yield "LSTM_stateful", model(lambda L, x: L.LSTM(4, stateful=True)(x), steps)
    yield (
        "Bidirectional_sum",
        model(
            lambda L, x: L.Bidirectional(L.LSTM(4, return_state=True), merge_mode="sum")(x), steps
        ),
    )
    yield (
        "Bidirectional_masked",
        model(
            lambda L, x: L.Bidirectional(L.GRU(4))(L.Embedding(5, 3, mask_zero=True)(x)),
            (3, 7),
            below=3,
        ),
    )
    yield (
        "RNN",
        model(lambda L, x: L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_sequences=True)(x), steps),
    )
    yield (
        "RNN_of_stacked",
        model(
            lambda L, x: L.RNN(
                L.StackedRNNCells([L.SimpleRNNCell(4), L.SimpleRNNCell(3)]), return_state=True
            )(x),
            steps,
        ),
    )
    yield (
        "ConvLSTM1D",
        layer("ConvLSTM1D", (2, 3, 7, 2), filters=3, kernel_size=2, return_sequences=True),
    )
    yield (
        "ConvLSTM2D",
        layer("ConvLSTM2D", (1, 3, 5, 6, 2), filters=3, kernel_size=2, padding="same"),
    )
    yield "ConvLSTM3D", layer("ConvLSTM3D", (1, 2, 4, 5, 3, 2), filters=2, kernel_size=2)


def attentions() -> Iterator[tuple[str, Case]]:
    query, value = (2, 4, 6), (2, 5, 6)
    yield "Attention", layer("Attention", query, value, use_scale=True)
    yield "Attention_concat", layer("Attention", query, value, score_mode="concat")
    yield (
        "Attention_causal",
        model(lambda L, q, v: L.Attention()([q, v], use_causal_mask=True), query, value),
    )
    yield "AdditiveAttention", layer("AdditiveAttention", query, value)
    yield (
        "MultiHeadAttention",
        model(lambda L, q, v: L.MultiHeadAttention(2, 3)(q, v), query, value),
    )
    yield "MultiHeadAttention_masked", model(
        lambda L, q, v, m: L.MultiHeadAttention(2, 3, output_shape=4)(q, v, attention_mask=keras().ops.greater(m, 0)),
        query, value, (2, 4, 5),
    )  # fmt: skip
    yield (
        "MultiHeadAttention_causal",
        model(
            lambda L, q: L.MultiHeadAttention(2, 3)(
                q, q, use_causal_mask=True, return_attention_scores=True
            ),
            query,
        ),
    )
    yield (
        "MultiHeadAttention_padded",
        model(
            lambda L, x: (lambda e: L.MultiHeadAttention(2, 3)(e, e))(
                L.Embedding(5, 6, mask_zero=True)(x)
            ),
            (3, 7),
            below=3,
        ),
    )
    yield (
        "MultiHeadAttention_axes",
        model(lambda L, q: L.MultiHeadAttention(2, 3, attention_axes=(1, 2))(q, q), (2, 3, 4, 6)),
    )
    yield (
        "GroupQueryAttention",
        model(lambda L, q, v: L.GroupQueryAttention(3, 4, 2)(q, v), query, value),
    )

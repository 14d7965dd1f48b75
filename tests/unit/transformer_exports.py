"""Small transformers of random weights, built by `transformers` and exported by torch with dynamic axes.

`transformers` is none of the project's requirements: who calls this has found it installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

VOCABULARY = 101
LAYERS, HEADS, WIDTH = 2, 4, 32
KEY_HEADS = {"gpt2": HEADS, "llama": 2}
"""Decoders, and how many heads of keys and values each has."""

Axes = Mapping[int, str]


class _Called(torch.nn.Module):
    """A model as a function of tensors alone calls it."""

    def __init__(self, model: Any, call: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.call = call

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.call(self.model, *tensors)


def _export(
    path: Path,
    model: Any,
    call: Callable[..., Any],
    inputs: Sequence[tuple[str, torch.Tensor, Axes]],
    outputs: Mapping[str, Axes],
) -> None:
    axes = {name: dict(axes) for name, _, axes in inputs}
    axes.update((name, dict(own)) for name, own in outputs.items())
    with torch.no_grad():
        torch.onnx.export(
            _Called(model.eval(), call).eval(),
            tuple(tensor for _, tensor, _ in inputs),
            path,
            input_names=[name for name, _, _ in inputs],
            output_names=[*outputs],
            dynamic_axes={name: own for name, own in axes.items() if own},
            dynamo=False,
            opset_version=18,
        )


def _tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, shape)


def _ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.int64)


def past_names(prefix: str) -> list[str]:
    """The names of the keys and values of all layers: `past_key_values.0.key`, ..."""
    return [f"{prefix}.{layer}.{part}" for layer in range(LAYERS) for part in ("key", "value")]


def _decoder(path: Path, library: Any, model: Any) -> None:
    heads = KEY_HEADS[path.stem]
    for parameter in model.parameters():  # so that no two tokens are about equally likely
        if parameter.dim() > 1:
            parameter.data.mul_(4)

    def call(model: Any, ids: torch.Tensor, mask: torch.Tensor, *past: torch.Tensor) -> Any:
        cache = library.DynamicCache()
        for layer in range(LAYERS):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        result = model(input_ids=ids, attention_mask=mask, past_key_values=cache, use_cache=True)
        kept = result.past_key_values.layers
        return (result.logits, *(part for layer in kept for part in (layer.keys, layer.values)))

    text, total = {0: "batch", 1: "seq"}, {0: "batch", 2: "past + seq"}
    inputs = [
        ("input_ids", _tokens(2, 3), text),
        ("attention_mask", _ones(2, 8), {0: "batch", 1: "past + seq"}),
    ]
    for name in past_names("past_key_values"):
        inputs.append((name, torch.randn(2, heads, 5, WIDTH // HEADS), {0: "batch", 2: "past"}))
    _export(
        path, model, call, inputs, {"logits": text, **dict.fromkeys(past_names("present"), total)}
    )


def _gpt2(path: Path, library: Any) -> None:
    config = library.GPT2Config(
        vocab_size=VOCABULARY, n_positions=128, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS
    )
    _decoder(path, library, library.GPT2LMHeadModel(config))


def _llama(path: Path, library: Any) -> None:
    config = library.LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=64, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=KEY_HEADS["llama"], max_position_embeddings=128,
    )  # fmt: skip
    _decoder(path, library, library.LlamaForCausalLM(config))


def _bert(path: Path, library: Any) -> None:
    config = library.BertConfig(
        vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    text = {0: "batch", 1: "seq"}

    def call(model: Any, ids: torch.Tensor, mask: torch.Tensor, types: torch.Tensor) -> Any:
        result = model(input_ids=ids, attention_mask=mask, token_type_ids=types)
        return result.last_hidden_state, result.pooler_output

    inputs = [
        ("input_ids", _tokens(2, 7), text),
        ("attention_mask", _ones(2, 7), text),
        ("token_type_ids", 0 * _ones(2, 7), text),
    ]
    outputs = {"last_hidden_state": text, "pooler_output": {0: "batch"}}
    _export(path, library.BertModel(config), call, inputs, outputs)


def _t5_encoder(path: Path, library: Any) -> None:
    config = library.T5Config(
        vocab_size=VOCABULARY, d_model=WIDTH, d_kv=8, d_ff=64, num_layers=LAYERS, num_heads=HEADS
    )
    text = {0: "batch", 1: "seq"}
    _export(
        path,
        library.T5EncoderModel(config),
        lambda model, ids, mask: model(input_ids=ids, attention_mask=mask).last_hidden_state,
        [("input_ids", _tokens(2, 7), text), ("attention_mask", _ones(2, 7), text)],
        {"last_hidden_state": text},
    )


def _whisper_encoder(path: Path, library: Any) -> None:
    config = library.WhisperConfig(
        vocab_size=VOCABULARY, d_model=WIDTH, encoder_layers=LAYERS, decoder_layers=LAYERS,
        encoder_attention_heads=HEADS, decoder_attention_heads=HEADS, encoder_ffn_dim=64, decoder_ffn_dim=64,
        num_mel_bins=16, max_source_positions=40, max_target_positions=40, pad_token_id=0, bos_token_id=1,
        eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    _export(
        path,
        library.WhisperModel(config).get_encoder(),
        lambda model, sound: model(sound).last_hidden_state,
        [("input_features", torch.randn(2, 16, 80), {0: "batch"})],
        {"last_hidden_state": {0: "batch"}},
    )


_PIXELS = {0: "batch", 2: "h", 3: "w"}


def _vit(path: Path, library: Any) -> None:
    config = library.ViTConfig(
        hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=64,
        image_size=32, patch_size=8,
    )  # fmt: skip
    _export(
        path,
        library.ViTModel(config),
        lambda model, image: model(image, interpolate_pos_encoding=True).last_hidden_state,
        [("pixel_values", torch.randn(2, 3, 48, 40), _PIXELS)],
        {"last_hidden_state": {0: "batch", 1: "patches"}},
    )


def _detr(path: Path, library: Any) -> None:
    backbone = library.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16, 16, 32], depths=[1, 1, 1, 1], layer_type="basic",
        out_features=["stage4"],
    )  # fmt: skip
    config = library.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=backbone,
        d_model=WIDTH, encoder_layers=1, decoder_layers=1, encoder_attention_heads=HEADS,
        decoder_attention_heads=HEADS, encoder_ffn_dim=64, decoder_ffn_dim=64, num_queries=7, num_labels=5,
    )  # fmt: skip
    model = library.DetrForObjectDetection(config)
    # Boxes of random weights are all but equal: their range would be a few units in the last place.
    model.bbox_predictor.layers[-1].weight.data.mul_(100)

    def call(model: Any, image: torch.Tensor, mask: torch.Tensor) -> Any:
        result = model(pixel_values=image, pixel_mask=mask)
        return result.logits, result.pred_boxes

    inputs = [
        ("pixel_values", torch.randn(2, 3, 96, 64), _PIXELS),
        ("pixel_mask", _ones(2, 96, 64), {0: "batch", 1: "h", 2: "w"}),
    ]
    _export(path, model, call, inputs, {"logits": {0: "batch"}, "pred_boxes": {0: "batch"}})


_MAKERS: Mapping[str, Callable[[Path, Any], None]] = {
    "gpt2": _gpt2,
    "llama": _llama,
    "bert": _bert,
    "t5_encoder": _t5_encoder,
    "whisper_encoder": _whisper_encoder,
    "vit": _vit,
    "detr": _detr,
}


def export(name: str, folder: Path) -> Path:
    """Write `name.onnx` into a folder: one of `gpt2`, `llama` (`past_key_values` in, `present` out), `bert`,
    `t5_encoder`, `whisper_encoder`, `vit` and `detr`; the same weights each time."""
    torch.manual_seed(0)
    path = folder / f"{name}.onnx"
    _MAKERS[name](path, import_module("transformers"))
    return path

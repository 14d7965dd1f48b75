"""What Keras calls of TensorFlow that tf2onnx does not know, in terms of what it knows, while a model is traced."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np


@contextmanager
def plain_operators() -> Generator[None]:
    """Trace models inside."""
    tf: Any = importlib.import_module("tensorflow")
    tf_utils: Any = importlib.import_module("keras.src.utils.tf_utils")
    with ExitStack() as replaced:
        for place, name, make in (
            (tf, "function", _function),
            (tf.image, "resize", _resize),
            (tf.signal, "stft", _stft),
            (tf.math, "real", lambda tf, original: _part("real", original)),
            (tf.math, "imag", lambda tf, original: _part("imag", original)),
            (tf_utils, "tf_encode_categorical_inputs", _encode),
        ):
            replaced.enter_context(_replaced(place, name, make(tf, getattr(place, name))))
        yield


@contextmanager
def _replaced(place: Any, name: str, value: Any) -> Generator[None]:
    original = getattr(place, name)
    setattr(place, name, value)
    try:
        yield
    finally:
        setattr(place, name, original)


def _function(tf: Any, original: Any) -> Any:
    """A function is what it does: those that XLA compiles (convolutions in groups) cannot be looked into."""

    def function(func: Any = None, **options: Any) -> Any:
        return (lambda given: given) if func is None else func

    return function


def _resize(tf: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    """Resizing of all kinds is linear along each axis: a product with what the unit matrix is resized to."""

    def matrix(old: int, new: int, method: str, antialias: bool) -> Any:
        with tf.init_scope():
            unit = tf.eye(old)[None, :, :, None]
            return original(unit, (new, old), method=method, antialias=antialias)[
                0, :, :, 0
            ].numpy()

    def resize(images: Any, size: Any, method: Any = "bilinear", **options: Any) -> Any:
        antialias = options.get("antialias", False)
        old = images.shape[-3:-1]
        known = None not in old and all(isinstance(new, int | np.integer) for new in size)
        if not known or (method in ("nearest", "bilinear") and not antialias):
            return original(images, size, method=method, **options)
        rows, columns = (
            matrix(before, int(after), method, antialias)
            for before, after in zip(old, size, strict=True)
        )
        images = tf.cast(images, tf.float32)
        return tf.einsum("ih,...hwc,jw->...ijc", rows, images, columns)

    return resize


@dataclass(frozen=True)
class _Complex:
    """A complex tensor as two."""

    real: Any
    imag: Any


def _part(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def part(value: Any, **options: Any) -> Any:
        if isinstance(value, _Complex):
            return getattr(value, name)
        return original(value, **options)

    return part


def _stft(tf: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    """The spectrum of each frame as products with a table of cosines and one of sines."""

    def stft(
        signals: Any, frame_length: int, frame_step: int, fft_length: int, window_fn: Any
    ) -> Any:
        frames = tf.signal.frame(signals, frame_length, frame_step)
        if window_fn is not None:
            frames = frames * window_fn(frame_length, frames.dtype)
        turns = np.outer(np.arange(frame_length), np.arange(fft_length // 2 + 1)) % fft_length
        angles = turns * (-2 * np.pi / fft_length)
        tables = (np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32))
        return _Complex(*(tf.matmul(frames, table) for table in tables))

    return stft


def _encode(tf: Any, original: Callable[..., Any]) -> Callable[..., Any]:
    """Which numbers below `depth` occur in a row, or how often: by comparisons with all of them."""

    def encode(
        inputs: Any,
        output_mode: str,
        depth: int,
        dtype: Any = "float32",
        sparse: bool = False,
        count_weights: Any = None,
    ) -> Any:
        numbers = tf.range(depth, dtype=inputs.dtype)
        hits = tf.cast(tf.equal(inputs[..., None], numbers), dtype)
        if output_mode == "multi_hot":
            return tf.reduce_max(hits, axis=-2)
        if count_weights is not None:
            hits *= tf.cast(count_weights, dtype)[..., None]
        return tf.reduce_sum(hits, axis=-2)

    return encode

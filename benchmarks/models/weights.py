"""Random weights that keep the activations of a deep network in a sane range.

He et al., "Delving Deep into Rectifiers", 2015 (arXiv:1502.01852): a layer that is followed by a ReLU keeps the mean
square of its input when its weights are drawn from a normal distribution of variance 2 / fan-in; a layer without one
wants 1 / fan-in.
"""

import zlib

import numpy as np
from numpy.typing import NDArray

RELU_GAIN = 2.0**0.5
LINEAR_GAIN = 1.0


class RandomWeights:
    """Weights by name. Each depends on the seed and its name alone, not on the order of the calls."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _generator(self, name: str) -> np.random.Generator:
        return np.random.default_rng([self.seed, zlib.crc32(name.encode())])

    def he_normal(
        self, name: str, shape: tuple[int, ...], fan_in: int, gain: float = RELU_GAIN
    ) -> NDArray[np.float32]:
        """N(0, gain^2 / fan_in) in float32."""
        values = self._generator(name).standard_normal(shape, dtype=np.float32)
        values *= np.float32(gain / fan_in**0.5)
        return values

    def normal(self, name: str, shape: tuple[int, ...], std: float) -> NDArray[np.float32]:
        """N(0, std^2) in float32: biases, running means, embeddings."""
        values = self._generator(name).standard_normal(shape, dtype=np.float32)
        values *= np.float32(std)
        return values

    def uniform(
        self, name: str, shape: tuple[int, ...], low: float, high: float
    ) -> NDArray[np.float32]:
        """Uniform in [low, high): scales and running variances."""
        return self._generator(name).uniform(low, high, shape).astype(np.float32)

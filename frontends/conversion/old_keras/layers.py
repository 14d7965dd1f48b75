"""Layers of Keras 1 and 2 that Keras 3 has not, as layers of Keras 3. To be imported where its backend is chosen."""

from __future__ import annotations

import importlib
import math
from typing import Any

from webdnn.frontends.conversion.old_keras.arguments import PACKAGE

_keras: Any = importlib.import_module("keras")
_ops: Any = _keras.ops
_Layer: Any = _keras.layers.Layer


def _registered(value: Any) -> Any:
    return _keras.saving.register_keras_serializable(PACKAGE)(value)


@_registered
def hard_sigmoid(x: Any) -> Any:
    """That of Keras 1 and 2. Today's has a slope of 1/6."""
    return _ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@_registered
class ThresholdedReLU(_Layer):
    """x where it is greater than a threshold, else 0."""

    def __init__(self, theta: float = 1.0, **others: Any) -> None:
        super().__init__(**others)
        self.theta = theta

    def call(self, x: Any) -> Any:
        return x * _ops.cast(x > self.theta, x.dtype)


class _Elementwise(_Layer):
    """A function with trained numbers for each element of a sample, which some axes may share."""

    names: tuple[str, ...]

    def __init__(self, shared_axes: list[int] | None = None, **others: Any) -> None:
        super().__init__(**others)
        self.shared_axes = shared_axes or []

    def build(self, input_shape: Any) -> None:
        shape = list(input_shape[1:])
        for axis in self.shared_axes:
            shape[axis - 1] = 1
        self.numbers = [self.add_weight(shape=shape, name=name) for name in self.names]


@_registered
class ParametricSoftplus(_Elementwise):
    """alpha log(1 + exp(beta x))."""

    names = ("alphas", "betas")

    def call(self, x: Any) -> Any:
        alphas, betas = self.numbers
        return _ops.softplus(betas * x) * alphas


@_registered
class SReLU(_Elementwise):
    """Three straight lines."""

    names = ("t_left", "a_left", "t_right", "a_right")

    def call(self, x: Any) -> Any:
        t_left, a_left, t_right, a_right = self.numbers
        end = t_left + _ops.abs(t_right)
        left = x - t_left
        centre = _ops.minimum(_ops.relu(left), end - t_left) - a_left * _ops.relu(-left)
        return t_left + centre + a_right * _ops.relu(x - end)


@_registered
class Highway(_Layer):
    """A dense layer of which a second one says how much comes through, and how much of the input."""

    def __init__(self, activation: Any = None, use_bias: bool = True, **others: Any) -> None:
        super().__init__(**others)
        self.activation = _keras.activations.get(activation)
        self.use_bias = use_bias

    def build(self, input_shape: Any) -> None:
        size = input_shape[-1]
        self.filters = [self.add_weight(shape=(size, size), name=name) for name in ("W", "W_carry")]
        names = ("b", "b_carry") if self.use_bias else ()
        self.biases = [self.add_weight(shape=(size,), name=name) for name in names]

    def call(self, x: Any) -> Any:
        result, gate = (_ops.matmul(x, filter) for filter in self.filters)
        if self.use_bias:
            result, gate = result + self.biases[0], gate + self.biases[1]
        gate = _ops.sigmoid(gate)
        return self.activation(result) * gate + (1 - gate) * x


@_registered
class MaxoutDense(_Layer):
    """The greatest of several dense layers."""

    def __init__(
        self, units: int, nb_feature: int = 4, use_bias: bool = True, **others: Any
    ) -> None:
        super().__init__(**others)
        self.units, self.nb_feature, self.use_bias = units, nb_feature, use_bias

    def build(self, input_shape: Any) -> None:
        shape = (self.nb_feature, input_shape[-1], self.units)
        self.kernel = self.add_weight(shape=shape, name="W")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.nb_feature, self.units), name="b")

    def call(self, x: Any) -> Any:
        results = _ops.einsum("bi,fio->bfo", x, self.kernel)
        return _ops.max(results + self.bias if self.use_bias else results, axis=1)


@_registered
class BatchNormalizationOfKeras1(_Layer):
    """Mode 1 normalises each sample along its last axis, mode 2 always takes the statistics of the batch."""

    def __init__(
        self,
        mode: int,
        axis: int = -1,
        epsilon: float = 1e-3,
        momentum: float = 0.99,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.mode, self.axis, self.epsilon = mode, axis, epsilon

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[self.axis],)
        self.gamma = self.add_weight(shape=shape, name="gamma")
        self.beta = self.add_weight(shape=shape, name="beta")
        for name in ("running_mean", "running_std"):  # in the file, though not used
            self.add_weight(shape=shape, name=name, trainable=False)

    def call(self, x: Any) -> Any:
        if self.mode == 1:
            mean = _ops.mean(x, axis=-1, keepdims=True)
            deviation = _ops.sqrt(_ops.var(x, axis=-1, keepdims=True) + self.epsilon)
            return self.gamma * (x - mean) / (deviation + self.epsilon) + self.beta
        axes = [axis for axis in range(x.ndim) if axis != self.axis % x.ndim]
        shape = [1] * x.ndim
        shape[self.axis] = -1
        mean = _ops.mean(x, axis=axes, keepdims=True)
        deviation = _ops.sqrt(_ops.var(x, axis=axes, keepdims=True) + self.epsilon)
        normed = (x - mean) / deviation
        return _ops.reshape(self.gamma, shape) * normed + _ops.reshape(self.beta, shape)


@_registered
class Cosine(_Layer):
    """Merge of Keras 1 with the mode `cos`: products of two tensors along an axis of each, over their lengths."""

    def __init__(self, axes: int | list[int] = -1, **others: Any) -> None:
        super().__init__(**others)
        self.axes = axes

    def call(self, inputs: Any) -> Any:
        a, b = inputs
        axes = self.axes if isinstance(self.axes, int) else tuple(self.axes)
        dot = _keras.layers.Dot(axes)
        lengths = _ops.sqrt(dot([a, a]) * dot([b, b]))
        return _ops.expand_dims(dot([a, b]) / _ops.maximum(lengths, 1e-7), 1)


class _Convolution(_Layer):
    """What convolutions are told."""

    rank: int

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: str = "valid",
        data_format: str = "channels_last",
        activation: Any = None,
        use_bias: bool = True,
        **others: Any,
    ) -> None:
        super().__init__(**others)
        self.filters, self.use_bias, self.padding = filters, use_bias, padding
        self.kernel_size = _per_axis(kernel_size, self.rank)
        self.strides = _per_axis(strides, self.rank)
        self.is_first = data_format == "channels_first"
        self.activation = _keras.activations.get(activation)

    def split(self, input_shape: Any) -> tuple[Any, int]:
        """The sizes of an input, and how many channels it has."""
        if self.is_first:
            return input_shape[2:], input_shape[1]
        return input_shape[1:-1], input_shape[-1]

    def finished(self, result: Any) -> Any:
        """A result that is channels-last, with the bias and the activation, in the layer's layout."""
        result = self.activation(result + self.bias if self.use_bias else result)
        return _ops.moveaxis(result, -1, 1) if self.is_first else result


class _LocallyConnected(_Convolution):
    """A convolution whose filter is another one at each place. Its arrays are those of implementation 1 of Keras 2."""

    def build(self, input_shape: Any) -> None:
        sizes, channels = self.split(input_shape)
        self.places = [
            (size - kernel) // stride + 1
            for size, kernel, stride in zip(sizes, self.kernel_size, self.strides, strict=True)
        ]
        taps = math.prod(self.kernel_size) * channels
        shape = (math.prod(self.places), taps, self.filters)
        self.kernel = self.add_weight(shape=shape, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(*self.places, self.filters), name="bias")

    def call(self, x: Any) -> Any:
        windows = _ops.stack([self._window(x, place) for place in self._corners()], axis=1)
        result = _ops.einsum("bpt,pto->bpo", windows, self.kernel)
        return self.finished(_ops.reshape(result, (-1, *self.places, self.filters)))

    def _corners(self) -> list[tuple[int, ...]]:
        if self.rank == 1:
            return [(i * self.strides[0],) for i in range(self.places[0])]
        rows, columns = self.places
        return [
            (i * self.strides[0], j * self.strides[1]) for i in range(rows) for j in range(columns)
        ]

    def _window(self, x: Any, corner: tuple[int, ...]) -> Any:
        """The elements that a filter reads, in the order of the input's axes."""
        spatial = [
            slice(start, start + size) for start, size in zip(corner, self.kernel_size, strict=True)
        ]
        everything = slice(None)
        index = (everything, everything, *spatial) if self.is_first else (everything, *spatial)
        window = x[index]
        return _ops.reshape(window, (-1, math.prod(window.shape[1:])))


@_registered
class LocallyConnected1D(_LocallyConnected):
    """Along one axis."""

    rank = 1


@_registered
class LocallyConnected2D(_LocallyConnected):
    """Along two axes."""

    rank = 2


def _padded(name: str) -> Any:
    """A convolution that is padded as Theano does it: by half of the filter at both ends (`same`), or by all of it but
    one element (`full`)."""
    base: Any = getattr(_keras.layers, name)

    def __init__(self: Any, padding: str, **others: Any) -> None:
        base.__init__(self, padding="valid", **others)
        self.theano_padding = padding

    def call(self: Any, x: Any) -> Any:
        reach = [
            (size - 1) * rate
            for size, rate in zip(self.kernel_size, self.dilation_rate, strict=True)
        ]
        is_full = self.theano_padding == "full"
        pads = [(size, size) if is_full else ((size + 1) // 2,) * 2 for size in reach]
        is_first = self.data_format == "channels_first"
        sizes = x.shape[2:] if is_first else x.shape[1:-1]
        spatial = [(0, 0), (0, 0), *pads] if is_first else [(0, 0), *pads, (0, 0)]
        result = base.call(self, _ops.pad(x, spatial))
        if is_full:
            return result
        kept = [
            slice(None) if size is None else slice(0, -(-size // stride))
            for size, stride in zip(sizes, self.strides, strict=True)
        ]
        everything = slice(None)
        index = (everything, everything, *kept) if is_first else (everything, *kept)
        return result[index]

    def compute_output_shape(self: Any, input_shape: Any) -> Any:
        is_first = self.data_format == "channels_first"
        sizes = input_shape[2:] if is_first else input_shape[1:-1]
        grown = [
            (size - 1) * rate if self.theano_padding == "full" else 0
            for size, rate in zip(self.kernel_size, self.dilation_rate, strict=True)
        ]
        spatial = [
            None if size is None else (size + more - 1) // stride + 1
            for size, more, stride in zip(sizes, grown, self.strides, strict=True)
        ]
        ends = (self.filters, *spatial) if is_first else (*spatial, self.filters)
        return (input_shape[0], *ends)

    members = {"__init__": __init__, "call": call, "compute_output_shape": compute_output_shape}
    return _registered(type(f"Padded{name}", (base,), members))


PaddedConv1D = _padded("Conv1D")
PaddedConv2D = _padded("Conv2D")
PaddedConv3D = _padded("Conv3D")


@_registered
class Deconvolution2D(_Convolution):
    """A transposed convolution that is told the size of its result."""

    rank = 2

    def __init__(self, output_size: list[int], **others: Any) -> None:
        super().__init__(**others)
        self.output_size = output_size

    def build(self, input_shape: Any) -> None:
        _, channels = self.split(input_shape)
        shape = (*self.kernel_size, self.filters, channels)
        self.kernel = self.add_weight(shape=shape, name="kernel")
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), name="bias")

    def call(self, x: Any) -> Any:
        tf: Any = importlib.import_module("tensorflow")
        x = _ops.moveaxis(x, 1, -1) if self.is_first else x
        shape = [_ops.shape(x)[0], *self.output_size, self.filters]
        result = tf.nn.conv2d_transpose(
            x, self.kernel.value, shape, self.strides, self.padding.upper()
        )
        return self.finished(result)


def _per_axis(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)

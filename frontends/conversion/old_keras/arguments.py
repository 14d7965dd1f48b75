"""What layers and their arguments were called in Keras 1 and 2, as tables."""

from __future__ import annotations

import re
from collections.abc import Mapping

CLASS_NAMES: Mapping[str, str] = {
    "AtrousConvolution1D": "Conv1D",
    "AtrousConvolution2D": "Conv2D",
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3D": "Conv3D",
    "Convolution3DTranspose": "Conv3DTranspose",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "DepthwiseConvolution2D": "DepthwiseConv2D",
    "FixedDropout": "Dropout",
    "SeparableConvolution1D": "SeparableConv1D",
    "SeparableConvolution2D": "SeparableConv2D",
    "SyncBatchNormalization": "BatchNormalization",
    "TimeDistributedDense": "Dense",
    "UnifiedGRU": "GRU",
    "UnifiedLSTM": "LSTM",
}
"""Classes that have another name today. `FixedDropout` is the one of a widespread EfficientNet."""

ARGUMENT_NAMES: Mapping[str, str] = {
    "atrous_rate": "dilation_rate",
    "bias": "use_bias",
    "border_mode": "padding",
    "dim_ordering": "data_format",
    "filter_length": "kernel_size",
    "inner_activation": "recurrent_activation",
    "length": "size",
    "nb_filter": "filters",
    "p": "rate",
    "pool_length": "pool_size",
    "sigma": "stddev",
    "stride": "strides",
    "subsample": "strides",
    "subsample_length": "strides",
}
"""Arguments that have another name today, in whatever layer."""

OWN_ARGUMENT_NAMES: Mapping[str, Mapping[str, str]] = {
    "Dense": {"output_dim": "units"},
    "GRU": {"output_dim": "units"},
    "LSTM": {"output_dim": "units"},
    "LeakyReLU": {"alpha": "negative_slope"},
    "MaxoutDense": {"output_dim": "units"},
    "SimpleRNN": {"output_dim": "units"},
}
"""Those that have another meaning elsewhere, by the class's name of today."""

ORDERINGS: Mapping[str, str] = {"tf": "channels_last", "th": "channels_first"}
"""`dim_ordering` of Keras 1."""

KERNEL_SIZES: tuple[tuple[str, ...], ...] = (
    ("nb_row", "nb_col"),
    ("kernel_dim1", "kernel_dim2", "kernel_dim3"),
)
"""Arguments of Keras 1 that are one argument today, `kernel_size`."""

OF_TRAINING = (
    "regularizer",
    "constraint",
    "initializer",
    "_init",
)
"""Endings of arguments that say nothing of a trained model."""

WITHOUT_MEANING = frozenset({
    "batch_input_shape", "build_input_shape", "consume_less", "dropout_U", "dropout_W", "fused", "implementation",
    "init", "input_dtype", "input_length", "input_shape", "ragged", "renorm", "renorm_clipping", "renorm_momentum",
    "seed", "softmax_robust_masking", "sparse", "virtual_batch_size",
})  # fmt: skip
"""Arguments that Keras 3 has not, or that say nothing of what is computed."""

NEUTRAL: Mapping[str, object] = {"groups": 1, "time_major": False}
"""Arguments that a layer of today may not have, and the value with which they mean nothing."""

DEFAULTS: Mapping[str, Mapping[str, object]] = {
    "GRU": {"reset_after": False},
    "GRUCell": {"reset_after": False},
}
"""What held before an argument was written into files."""

OF_WHOLE_NUMBERS = frozenset(
    {"CategoryEncoding", "Discretization", "Hashing", "IntegerLookup", "StringLookup"}
)
"""Layers whose `dtype` is the type of their results. Of others it is a precision, and 32 bits are computed here."""

ELSEWHERE: Mapping[str, str] = {
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "LayerScale": "keras.src.applications.convnext",
}
"""Layers of networks that come with Keras, and their modules."""

SCALED_SUM = re.compile(r"block(35|17|8)_\d+")
"""The names of the Lambdas in InceptionResNetV2 of Keras 2: a sum whose second operand is multiplied by `scale`."""

ACTIVATIONS: Mapping[str, str] = {"hard_sigmoid": "webdnn>hard_sigmoid"}
"""Activation functions that are other ones today, and what they are called in `layers`."""

PACKAGE = "webdnn"
"""Under which `layers` registers its layers and functions with Keras."""

GONE = frozenset({
    "BatchNormalizationOfKeras1", "Cosine", "Deconvolution2D", "Highway", "LocallyConnected1D", "LocallyConnected2D",
    "MaxoutDense", "PaddedConv1D", "PaddedConv2D", "PaddedConv3D", "ParametricSoftplus", "SReLU", "SlicingOpLambda",
    "TFOpLambda", "TensorFlowOpLayer", "ThresholdedReLU",
})  # fmt: skip
"""Layers that Keras 3 has not: `layers` has them."""

"""The protobuf messages of Caffe that describe a network, made at import from a table of field numbers.

The numbers and types are those of `caffe.proto` of Caffe 1.0 (github.com/BVLC/caffe) and, from 200 on in a layer, of
the branch of SSD (github.com/weiliu89/caffe). Fields that only training reads are left out: protobuf passes unknown
fields over.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import Message

PACKAGE = "webdnn.caffe"

ENUMS = {
    "Phase": "TRAIN 0, TEST 1",
    "PoolMethod": "MAX 0, AVE 1, STOCHASTIC 2",
    "RoundMode": "CEIL 0, FLOOR 1",
    "EltwiseOp": "PROD 0, SUM 1, MAX 2",
    "NormRegion": "ACROSS_CHANNELS 0, WITHIN_CHANNEL 1",
    "ReductionOp": "SUM 1, ASUM 2, SUMSQ 3, MEAN 4",
    "CodeType": "CORNER 1, CENTER_SIZE 2, CORNER_SIZE 3",
    "V1LayerType": """NONE 0, ACCURACY 1, BNLL 2, CONCAT 3, CONVOLUTION 4, DATA 5, DROPOUT 6, EUCLIDEAN_LOSS 7,
        FLATTEN 8, HDF5_DATA 9, HDF5_OUTPUT 10, IM2COL 11, IMAGE_DATA 12, INFOGAIN_LOSS 13, INNER_PRODUCT 14, LRN 15,
        MULTINOMIAL_LOGISTIC_LOSS 16, POOLING 17, RELU 18, SIGMOID 19, SOFTMAX 20, SOFTMAX_LOSS 21, SPLIT 22, TANH 23,
        WINDOW_DATA 24, ELTWISE 25, POWER 26, SIGMOID_CROSS_ENTROPY_LOSS 27, HINGE_LOSS 28, MEMORY_DATA 29, ARGMAX 30,
        THRESHOLD 31, DUMMY_DATA 32, SLICE 33, MVN 34, ABSVAL 35, SILENCE 36, CONTRASTIVE_LOSS 37, EXP 38,
        DECONVOLUTION 39""",
}

MESSAGES = {
    "BlobShape": "dim 1 packed int64",
    # Packed floats are bytes on the wire: declared as bytes they become an array without an object for each number.
    "BlobProto": """num 1 int32, channels 2 int32, height 3 int32, width 4 int32, data 5 repeated bytes,
        shape 7 BlobShape, double_data 8 repeated bytes""",
    "FillerParameter": """type 1 string = constant, value 2 float = 0""",
    "NetState": "phase 1 Phase = TEST, level 2 int32 = 0, stage 3 repeated string",
    "NetStateRule": """phase 1 Phase, min_level 2 int32, max_level 3 int32, stage 4 repeated string,
        not_stage 5 repeated string""",
    "TransformationParameter": "crop_size 3 uint32 = 0",
    "ArgMaxParameter": "out_max_val 1 bool = false, top_k 2 uint32 = 1, axis 3 int32",
    "BatchNormParameter": "use_global_stats 1 bool, eps 3 float = 1e-5",
    "BiasParameter": "axis 1 int32 = 1, num_axes 2 int32 = 1",
    "ClipParameter": "min 1 float, max 2 float",
    "ConcatParameter": "concat_dim 1 uint32 = 1, axis 2 int32 = 1",
    "ConvolutionParameter": """num_output 1 uint32, bias_term 2 bool = true, pad 3 repeated uint32,
        kernel_size 4 repeated uint32, group 5 uint32 = 1, stride 6 repeated uint32, pad_h 9 uint32 = 0,
        pad_w 10 uint32 = 0, kernel_h 11 uint32, kernel_w 12 uint32, stride_h 13 uint32, stride_w 14 uint32,
        axis 16 int32 = 1, dilation 18 repeated uint32""",
    "CropParameter": "axis 1 int32 = 2, offset 2 repeated uint32",
    "DataParameter": "batch_size 4 uint32, crop_size 5 uint32 = 0",
    "DummyDataParameter": """data_filler 1 repeated FillerParameter, num 2 repeated uint32, channels 3 repeated uint32,
        height 4 repeated uint32, width 5 repeated uint32, shape 6 repeated BlobShape""",
    "EltwiseParameter": "operation 1 EltwiseOp = SUM, coeff 2 repeated float",
    "ELUParameter": "alpha 1 float = 1",
    "EmbedParameter": "num_output 1 uint32, input_dim 2 uint32, bias_term 3 bool = true",
    "ExpParameter": "base 1 float = -1, scale 2 float = 1, shift 3 float = 0",
    "FlattenParameter": "axis 1 int32 = 1, end_axis 2 int32 = -1",
    "InnerProductParameter": """num_output 1 uint32, bias_term 2 bool = true, axis 5 int32 = 1,
        transpose 6 bool = false""",
    "InputParameter": "shape 1 repeated BlobShape",
    "LogParameter": "base 1 float = -1, scale 2 float = 1, shift 3 float = 0",
    "LRNParameter": """local_size 1 uint32 = 5, alpha 2 float = 1, beta 3 float = 0.75,
        norm_region 4 NormRegion = ACROSS_CHANNELS, k 5 float = 1""",
    "MemoryDataParameter": "batch_size 1 uint32, channels 2 uint32, height 3 uint32, width 4 uint32",
    "MVNParameter": "normalize_variance 1 bool = true, across_channels 2 bool = false, eps 3 float = 1e-9",
    "ParameterParameter": "shape 1 BlobShape",
    "PoolingParameter": """pool 1 PoolMethod = MAX, kernel_size 2 uint32, stride 3 uint32 = 1, pad 4 uint32 = 0,
        kernel_h 5 uint32, kernel_w 6 uint32, stride_h 7 uint32, stride_w 8 uint32, pad_h 9 uint32 = 0,
        pad_w 10 uint32 = 0, global_pooling 12 bool = false, round_mode 13 RoundMode = CEIL,
        ceil_mode 1000 bool = true""",  # of forks, each with another number: it is read from text alone
    "PowerParameter": "power 1 float = 1, scale 2 float = 1, shift 3 float = 0",
    "PReLUParameter": "channel_shared 2 bool = false",
    "PythonParameter": "module 1 string, layer 2 string",
    "RecurrentParameter": "num_output 1 uint32 = 0, expose_hidden 5 bool = false",
    "ReductionParameter": "operation 1 ReductionOp = SUM, axis 2 int32 = 0, coeff 3 float = 1",
    "ReLUParameter": "negative_slope 1 float = 0",
    "ReshapeParameter": "shape 1 BlobShape, axis 2 int32 = 0, num_axes 3 int32 = -1",
    "ScaleParameter": "axis 1 int32 = 1, num_axes 2 int32 = 1, bias_term 4 bool = false",
    "SliceParameter": "slice_dim 1 uint32 = 1, slice_point 2 repeated uint32, axis 3 int32 = 1",
    "SoftmaxParameter": "axis 2 int32 = 1",
    "SPPParameter": "pyramid_height 1 uint32, pool 2 PoolMethod = MAX",
    "SwishParameter": "beta 1 float = 1",
    "ThresholdParameter": "threshold 1 float = 0",
    "TileParameter": "axis 1 int32 = 1, tiles 2 int32",
    # of SSD
    "NonMaximumSuppressionParameter": "nms_threshold 1 float = 0.3, top_k 2 int32, eta 3 float = 1",
    "DetectionOutputParameter": """num_classes 1 uint32, share_location 2 bool = true,
        background_label_id 3 int32 = 0, nms_param 4 NonMaximumSuppressionParameter, code_type 6 CodeType = CORNER,
        keep_top_k 7 int32 = -1, variance_encoded_in_target 8 bool = false, confidence_threshold 9 float""",
    "NormalizeParameter": """across_spatial 1 bool = true, channel_shared 3 bool = true, eps 4 float = 1e-10""",
    "PermuteParameter": "order 1 repeated uint32",
    "PriorBoxParameter": """min_size 1 repeated float, max_size 2 repeated float, aspect_ratio 3 repeated float,
        flip 4 bool = true, clip 5 bool = false, variance 6 repeated float, img_size 7 uint32, img_h 8 uint32,
        img_w 9 uint32, step 10 float, step_h 11 float, step_w 12 float, offset 13 float = 0.5""",
    "LayerParameter": """name 1 string, type 2 string, bottom 3 repeated string, top 4 repeated string,
        blobs 7 repeated BlobProto, include 8 repeated NetStateRule, exclude 9 repeated NetStateRule,
        transform_param 100 TransformationParameter, argmax_param 103 ArgMaxParameter, concat_param 104 ConcatParameter,
        convolution_param 106 ConvolutionParameter, data_param 107 DataParameter,
        dummy_data_param 109 DummyDataParameter, eltwise_param 110 EltwiseParameter, exp_param 111 ExpParameter,
        inner_product_param 117 InnerProductParameter, lrn_param 118 LRNParameter,
        memory_data_param 119 MemoryDataParameter, mvn_param 120 MVNParameter, pooling_param 121 PoolingParameter,
        power_param 122 PowerParameter, relu_param 123 ReLUParameter, softmax_param 125 SoftmaxParameter,
        slice_param 126 SliceParameter, threshold_param 128 ThresholdParameter, python_param 130 PythonParameter,
        prelu_param 131 PReLUParameter, spp_param 132 SPPParameter, reshape_param 133 ReshapeParameter,
        log_param 134 LogParameter, flatten_param 135 FlattenParameter, reduction_param 136 ReductionParameter,
        embed_param 137 EmbedParameter, tile_param 138 TileParameter, batch_norm_param 139 BatchNormParameter,
        elu_param 140 ELUParameter, bias_param 141 BiasParameter, scale_param 142 ScaleParameter,
        input_param 143 InputParameter, crop_param 144 CropParameter, parameter_param 145 ParameterParameter,
        recurrent_param 146 RecurrentParameter, swish_param 147 SwishParameter, clip_param 148 ClipParameter,
        permute_param 202 PermuteParameter, prior_box_param 203 PriorBoxParameter,
        detection_output_param 204 DetectionOutputParameter, norm_param 206 NormalizeParameter""",
    "V1LayerParameter": """layer 1 V0LayerParameter, bottom 2 repeated string, top 3 repeated string, name 4 string,
        type 5 V1LayerType, blobs 6 repeated BlobProto, concat_param 9 ConcatParameter,
        convolution_param 10 ConvolutionParameter, data_param 11 DataParameter,
        inner_product_param 17 InnerProductParameter, lrn_param 18 LRNParameter, pooling_param 19 PoolingParameter,
        power_param 21 PowerParameter, memory_data_param 22 MemoryDataParameter, argmax_param 23 ArgMaxParameter,
        eltwise_param 24 EltwiseParameter, threshold_param 25 ThresholdParameter,
        dummy_data_param 26 DummyDataParameter, relu_param 30 ReLUParameter, slice_param 31 SliceParameter,
        include 32 repeated NetStateRule, exclude 33 repeated NetStateRule, mvn_param 34 MVNParameter,
        transform_param 36 TransformationParameter, softmax_param 39 SoftmaxParameter, exp_param 41 ExpParameter""",
    "V0LayerParameter": """name 1 string, type 2 string, num_output 3 uint32, biasterm 4 bool = true, pad 7 uint32 = 0,
        kernelsize 8 uint32, group 9 uint32 = 1, stride 10 uint32 = 1, pool 11 PoolMethod = MAX,
        local_size 13 uint32 = 5, alpha 14 float = 1, beta 15 float = 0.75, batchsize 19 uint32, cropsize 20 uint32 = 0,
        k 22 float = 1, blobs 50 repeated BlobProto, new_num 60 int32 = 0, new_channels 61 int32 = 0,
        new_height 62 int32 = 0, new_width 63 int32 = 0, concat_dim 65 uint32 = 1""",
    "NetParameter": """name 1 string, layers 2 repeated V1LayerParameter, input 3 repeated string,
        input_dim 4 repeated int32, state 6 NetState, input_shape 8 repeated BlobShape,
        layer 100 repeated LayerParameter""",
}
"""A field is its name, its number and its type; `= VALUE` is what a reader sees where the field is absent."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "bytes": _Field.TYPE_BYTES,
    "float": _Field.TYPE_FLOAT,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "string": _Field.TYPE_STRING,
    "uint32": _Field.TYPE_UINT32,
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(
        name="webdnn/caffe.proto", package=PACKAGE, syntax="proto2"
    )
    for name, text in ENUMS.items():
        # Names of values are unique in the scope around the enumeration, and several have a MAX: each gets a scope.
        enum = file.message_type.add(name=f"{name}Scope").enum_type.add(name=name)
        for value in text.split(","):
            label, number = value.split()
            enum.value.add(name=label, number=int(number))
    for name, text in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in text.split(","):
            _add_field(message, field)
    return file


def _add_field(message: descriptor_pb2.DescriptorProto, text: str) -> None:
    declared, _, default = text.partition("=")
    name, number, *modifiers, kind = declared.split()
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if modifiers:
        field.label = _Field.LABEL_REPEATED
        field.options.packed = modifiers == ["packed"]
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    elif kind in ENUMS:
        field.type = _Field.TYPE_ENUM
        field.type_name = f".{PACKAGE}.{kind}Scope.{kind}"
    else:
        field.type = _Field.TYPE_MESSAGE
        field.type_name = f".{PACKAGE}.{kind}"
    if default:
        field.default_value = default.strip()


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())  # pyright: ignore[reportUnknownMemberType]


def message_class(name: str) -> type[Any]:
    """The class of a message of the table: `message_class("NetParameter")`."""
    descriptor = _POOL.FindMessageTypeByName(f"{PACKAGE}.{name}")
    return message_factory.GetMessageClass(descriptor)


NetParameter = message_class("NetParameter")
LayerParameter = message_class("LayerParameter")


def enum_name(message: Message, field: str) -> str:
    """The name of the value that a field of an enumeration has in a message (or its default)."""
    descriptor = message.DESCRIPTOR.fields_by_name[field]
    assert descriptor.enum_type is not None
    return descriptor.enum_type.values_by_number[getattr(message, field)].name


__all__ = ["ENUMS", "MESSAGES", "LayerParameter", "NetParameter", "enum_name", "message_class"]

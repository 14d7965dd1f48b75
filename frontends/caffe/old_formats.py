"""Networks of older versions of Caffe as the layers of Caffe 1.0.

V1 (`layers { type: CONVOLUTION }`) numbers the types; V0 (`layers { layer { type: "conv" } }`) has the parameters of
all types in one message, and padding in layers of its own.
"""

from __future__ import annotations

from typing import Any

from webdnn.dialects.errors import WebDNNError
from webdnn.frontends.caffe.schema import LayerParameter, enum_name

# The types that are not their words with a capital each.
_V1_TYPES = {
    "ABSVAL": "AbsVal",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "LRN": "LRN",
    "MVN": "MVN",
    "NONE": "",
    "RELU": "ReLU",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "TANH": "TanH",
}
_V0_TYPES = {
    "bnll": "BNLL",
    "conv": "Convolution",
    "hdf5_data": "HDF5Data",
    "hdf5_output": "HDF5Output",
    "images": "ImageData",
    "innerproduct": "InnerProduct",
    "lrn": "LRN",
    "pool": "Pooling",
    "relu": "ReLU",
    "softmax_loss": "SoftmaxWithLoss",
    "tanh": "TanH",
}
# Of a type of V0: its message in Caffe 1.0, and the fields of that by those of V0.
_V0_FIELDS = {
    "conv": (
        "convolution_param",
        {
            "num_output": "num_output",
            "biasterm": "bias_term",
            "pad": "pad",
            "kernelsize": "kernel_size",
            "group": "group",
            "stride": "stride",
        },
    ),
    "innerproduct": (
        "inner_product_param",
        {"num_output": "num_output", "biasterm": "bias_term"},
    ),
    "pool": (
        "pooling_param",
        {"pool": "pool", "pad": "pad", "kernelsize": "kernel_size", "stride": "stride"},
    ),
    "lrn": ("lrn_param", {"local_size": "local_size", "alpha": "alpha", "beta": "beta", "k": "k"}),
    "concat": ("concat_param", {"concat_dim": "concat_dim"}),
    "data": ("data_param", {"batchsize": "batch_size", "cropsize": "crop_size"}),
}


def layers_of(net: Any) -> list[Any]:
    """The layers of a NetParameter of any version as LayerParameters; its declared inputs become one of type Input.

    Raises:
        WebDNNError: the network mixes versions, or a padding layer of V0 comes before something that cannot pad.
    """
    if len(net.layers) and len(net.layer):
        raise WebDNNError(
            "the network has both 'layer' and 'layers'",
            why="they are of different versions of Caffe",
            hint="upgrade it with Caffe's upgrade_net_proto_text",
        )
    old = [_from_v0(layer) if layer.HasField("layer") else _from_v1(layer) for layer in net.layers]
    layers = [*net.layer, *_without_padding(old)]
    return [_input_layer(net), *layers] if len(net.input) else layers


def _input_layer(net: Any) -> Any:
    layer = LayerParameter(name="input", type="Input", top=net.input)
    count = len(net.input)
    if len(net.input_shape):
        layer.input_param.shape.extend(net.input_shape)
    else:
        for index in range(min(count, len(net.input_dim) // 4)):
            layer.input_param.shape.add(dim=net.input_dim[4 * index : 4 * index + 4])
    return layer


def _from_v1(old: Any) -> Any:
    kind = enum_name(old, "type")
    name = _V1_TYPES.get(kind, kind.replace("_", " ").title().replace(" ", ""))
    layer = LayerParameter(name=old.name, type=name, bottom=old.bottom, top=old.top)
    for field, value in old.ListFields():
        if field.name.endswith("_param"):
            getattr(layer, field.name).CopyFrom(value)
    for field in ("blobs", "include", "exclude"):
        getattr(layer, field).extend(getattr(old, field))
    return layer


def _from_v0(outer: Any) -> Any:
    old = outer.layer
    name = _V0_TYPES.get(old.type, old.type.replace("_", " ").title().replace(" ", ""))
    layer = LayerParameter(
        name=old.name, type=name, bottom=outer.bottom, top=outer.top, blobs=old.blobs
    )
    if old.type == "padding":
        layer.convolution_param.pad.append(old.pad)
    message, fields = _V0_FIELDS.get(old.type, ("", dict[str, str]()))
    for source, target in fields.items():
        if not old.HasField(source):
            continue
        holder = getattr(layer, message)
        if holder.DESCRIPTOR.fields_by_name[target].is_repeated:
            getattr(holder, target).append(getattr(old, source))
        else:
            setattr(holder, target, getattr(old, source))
    return layer


def _without_padding(layers: list[Any]) -> list[Any]:
    """The layers with the padding in the convolutions and poolings that read it."""
    padded: dict[str, Any] = {}
    kept: list[Any] = []
    for layer in layers:
        if layer.type == "Padding":
            padded[layer.top[0]] = layer
            continue
        for index, bottom in enumerate(layer.bottom):
            if bottom not in padded:
                continue
            padding = padded[bottom]
            (pad,) = padding.convolution_param.pad
            if layer.type == "Convolution":
                layer.convolution_param.pad[:] = [pad]
            elif layer.type == "Pooling":
                layer.pooling_param.pad = pad
            else:
                raise WebDNNError(
                    "a padding layer comes before a layer that cannot pad",
                    where=[padding.name, layer.name],
                    why=f"the latter is of type {layer.type}; only convolutions and poolings pad",
                )
            layer.bottom[index] = padding.bottom[0]
        for top in layer.top:
            padded.pop(top, None)
        kept.append(layer)
    return kept

"""Pictures as inputs: what Pillow, PyTorch and torchvision's arithmetic make of the same pixels, on both back ends."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from xdsl.context import Context

import webdnn
from webdnn import ImageInput
from webdnn.dialects.dtypes import Array
from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.numpy_meaning.program import run_module
from webdnn.dialects.weight_store import attach_weights
from webdnn.frontends.onnx import load
from webdnn.lowering.interface.image_shapes import bound_sizes
from webdnn.lowering.interface.image_text import image_text, parse_image_input
from webdnn.lowering.interface.read_image import ReadImage
from webdnn.lowering.onnx_to_nn.convert import ConvertOnnxToNN

IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
PILLOW = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "nearest": Image.Resampling.NEAREST,
}


def identity(shape: str, type: str = "float") -> onnx.ModelProto:
    return onnx.parser.parse_model(
        f'<ir_version: 10, opset_import: ["" : 21]> g ({type}[{shape}] x) => ({type}[{shape}] y) {{ y = Identity(x) }}'
    )


def pixels_of(width: int, height: int, channels: int = 4, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def tensor(image: ImageInput, pixels: Array, shape: str, type: str = "float") -> Array:
    """What the model reads, by the numpy meaning of the ops."""
    imported = load(identity(shape, type))
    attach_weights(imported.module, imported.weights)
    for step in (ConvertOnnxToNN(), ReadImage(image_text("x", image))):
        step.apply(Context(), imported.module)
        imported.module.verify()
    return run_module(imported.module, imported.weights, {"x": pixels})["y"]


def resized(rgb: Array, width: int, height: int, kind: str) -> Array:
    """Pillow's resize of each channel as floats, so that nothing is rounded."""
    channels = [
        np.asarray(Image.fromarray(c.astype(np.float32)).resize((width, height), PILLOW[kind]))
        for c in np.moveaxis(rgb, -1, 0)
    ]
    return np.clip(np.stack(channels, -1), 0, 255)


def chw(picture: Array) -> Array:
    return np.moveaxis(picture, -1, 0)[None].astype(np.float32)


@pytest.mark.parametrize("kind", PILLOW)
@pytest.mark.parametrize(
    ("size", "out"),
    [
        ((31, 17), (8, 9)),
        ((7, 9), (31, 17)),
        ((7, 40), (7, 10)),
        ((1, 1), (3, 2)),
        ((5, 3), (1, 1)),
        ((64, 48), (32, 24)),
        ((300, 7), (3, 7)),
    ],
)
def test_pillow(kind: Any, size: tuple[int, int], out: tuple[int, int]) -> None:
    """(Where a pixel's middle falls between two others, Pillow's nearest one depends on how errors add up.)"""
    pixels = pixels_of(*size)
    image = ImageInput(size=size, resize=kind, scale=1.0, layout="nchw")
    result = tensor(image, pixels, f"1,3,{out[1]},{out[0]}")
    np.testing.assert_allclose(result, chw(resized(pixels[..., :3], *out, kind)), atol=1e-3)


@pytest.mark.parametrize("kind", ["bilinear", "bicubic"])
@pytest.mark.parametrize(
    ("size", "out"), [((31, 17), (8, 9)), ((8, 9), (31, 17)), ((4, 1), (2, 5))]
)
def test_without_antialiasing(kind: Any, size: tuple[int, int], out: tuple[int, int]) -> None:
    pixels = pixels_of(*size)
    image = ImageInput(size=size, resize=kind, antialias=False, scale=1.0)
    x = torch.from_numpy(chw(pixels[..., :3]))
    wanted = torch.nn.functional.interpolate(x, (out[1], out[0]), mode=kind, align_corners=False)
    result = tensor(image, pixels, f"1,3,{out[1]},{out[0]}")
    np.testing.assert_allclose(result, wanted.numpy().clip(0, 255), atol=1e-3)


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (ImageInput(), lambda x: x / 255),
        (ImageInput(mode="imagenet"), lambda x: (x / 255 - IMAGENET_MEAN) / IMAGENET_STD),
        (ImageInput(mode="torch"), lambda x: (x / 255 - IMAGENET_MEAN) / IMAGENET_STD),
        (ImageInput(mode="tf"), lambda x: x / 127.5 - 1),
        (ImageInput(mode="caffe"), lambda x: x[..., ::-1] - [103.939, 116.779, 123.68]),
        (ImageInput(mode="caffe", order="rgb", mean=1), lambda x: x - 1),
        (ImageInput(mean=0.5, std=[1, 2, 4]), lambda x: (x / 255 - 0.5) / [1, 2, 4]),
        (
            ImageInput(scale=2, mean=[1, 2, 3], order="bgr"),
            lambda x: x[..., ::-1] * 2.0 - [1, 2, 3],
        ),
    ],
    ids=["plain", "imagenet", "torch", "tf", "caffe", "overridden", "std", "bgr"],
)
def test_normalisation(image: ImageInput, wanted: Any) -> None:
    pixels = pixels_of(5, 4)
    expected = wanted(pixels[..., :3].astype(np.float64))
    np.testing.assert_allclose(
        tensor(image, pixels, "1,3,4,5"), chw(expected), atol=2e-6, rtol=2e-6
    )


@pytest.mark.parametrize("mode", ["tf", "caffe", "torch"])
def test_modes_of_keras(mode: Any) -> None:
    """Spelled out as `keras.applications.imagenet_utils` does it."""
    pixels = pixels_of(6, 6, 3)
    x = pixels.astype(np.float32)
    if mode == "tf":
        x = x / 127.5 - 1.0
    elif mode == "torch":
        x = (x / 255.0 - np.array(IMAGENET_MEAN, np.float32)) / np.array(IMAGENET_STD, np.float32)
    else:
        x = x[..., ::-1] - np.array([103.939, 116.779, 123.68], np.float32)
    image = ImageInput("uint8-rgb", mode=mode)
    np.testing.assert_allclose(tensor(image, pixels, "1,6,6,3")[0], x, atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize(("width", "height"), [(37, 50), (50, 37), (40, 40), (33, 80)])
@pytest.mark.parametrize("share", [{"shortest_edge": 36}, {"crop_pct": 0.875}, {}])
def test_crop_as_torchvision(width: int, height: int, share: dict[str, Any]) -> None:
    """Resize of the shorter side, then CenterCrop; timm has the same with floor(size / crop_pct)."""
    edge = {"shortest_edge": 36, "crop_pct": 32 * 8 // 7, "": 32}[next(iter(share), "")]
    short, long = min(width, height), max(width, height)
    other = int(edge * long / short)
    new = (edge, other) if width <= height else (other, edge)
    pixels = pixels_of(width, height)
    picture = resized(pixels[..., :3], *new, "bilinear")
    top, left = round((new[1] - 32) / 2.0), round((new[0] - 32) / 2.0)
    wanted = picture[top : top + 32, left : left + 32]
    image = ImageInput(size=(width, height), fit="crop", scale=1.0, **share)
    np.testing.assert_allclose(tensor(image, pixels, "1,3,32,32"), chw(wanted), atol=1e-3)


@pytest.mark.parametrize(("width", "height"), [(40, 30), (30, 40), (16, 16), (90, 2), (8, 3)])
def test_frames(width: int, height: int) -> None:
    pixels = pixels_of(width, height)
    scale = min(16 / width, 16 / height)
    w, h = round(width * scale), max(round(height * scale), 1)
    wanted = np.full((16, 16, 3), 114.0)
    top, left = (16 - h) // 2, (16 - w) // 2
    wanted[top : top + h, left : left + w] = resized(pixels[..., :3], w, h, "bilinear")
    image = ImageInput(size=(width, height), fit="pad", pad=114)
    np.testing.assert_allclose(tensor(image, pixels, "1,3,16,16"), chw(wanted / 255), atol=1e-5)


def test_channels() -> None:
    rgba = pixels_of(5, 4)
    gray = rgba[..., :3] @ [0.299, 0.587, 0.114]
    assert np.allclose(
        tensor(ImageInput(scale=1, layout="nchw"), rgba, "1,1,4,5")[0, 0], gray, atol=1e-3
    )
    raw = tensor(ImageInput(scale=1, layout="nchw"), rgba, "1,4,4,5")
    assert np.array_equal(raw[0], np.moveaxis(rgba, -1, 0))
    one = ImageInput("uint8-gray", scale=1, layout="nchw")
    assert np.array_equal(tensor(one, rgba[..., 0], "1,1,4,5")[0, 0], rgba[..., 0])
    three = tensor(one, rgba[..., 0], "1,3,4,5")
    assert np.array_equal(three[0], [rgba[..., 0]] * 3)


def test_a_batch_has_its_dimension() -> None:
    pixels = np.stack([pixels_of(5, 4, seed=seed) for seed in range(3)])
    result = tensor(ImageInput(scale=1), pixels, "3,3,4,5")
    assert np.array_equal(result, np.moveaxis(pixels[..., :3], -1, 1))


def test_integers_are_rounded_and_saturate() -> None:
    pixels = pixels_of(8, 8)
    rgb = pixels[..., :3].astype(np.float64)
    assert np.array_equal(tensor(ImageInput(), pixels, "1,8,8,3", "uint8")[0], pixels[..., :3])
    signed = tensor(ImageInput(mean=128), pixels, "1,8,8,3", "int8")
    assert np.array_equal(signed[0], rgb - 128)
    doubled = tensor(ImageInput(scale=1.5), pixels, "1,8,8,3", "uint8")
    assert np.array_equal(doubled[0], np.minimum(np.round(rgb * 1.5), 255))
    half = tensor(ImageInput(), pixels, "1,8,8,3", "float16")
    np.testing.assert_allclose(half[0], rgb / 255, atol=5e-4)


CASES = {
    "no resize": (ImageInput(mode="imagenet"), (9, 7), "1,3,7,9"),
    "crop": (
        ImageInput(size=(37, 50), fit="crop", shortest_edge=36, mode="imagenet"),
        (37, 50),
        "1,3,32,32",
    ),
    "frame, bgr, channels last": (
        ImageInput(size=(40, 30), fit="pad", pad=114, order="bgr", resize="bicubic"),
        (40, 30),
        "1,16,16,3",
    ),
    "larger": (ImageInput(size=(5, 6), mode="tf"), (5, 6), "1,3,17,13"),
    "single points": (ImageInput(size=(33, 21), antialias=False), (33, 21), "1,3,8,9"),
    "nearest, gray": (ImageInput(size=(33, 21), resize="nearest"), (33, 21), "1,1,8,9"),
}


@pytest.mark.parametrize("name", CASES)
def test_both_back_ends(name: str) -> None:
    image, (width, height), shape = CASES[name]
    pixels = pixels_of(width, height)
    wanted = tensor(image, pixels, shape)
    package = webdnn.compile(identity(shape), input_images={"x": image}, jobs=1)
    assert package.manifest["inputs"] == [
        {"name": "x", "dtype": "uint8", "shape": [height, width, 4]}
    ]
    for engine in ("wasmtime", "wgpu"):
        result = package.run({"x": pixels}, engine)["y"]
        np.testing.assert_allclose(result, wanted, atol=1e-5, err_msg=engine)


def test_open_sizes() -> None:
    """The batch is 1, and the height and width are the picture's."""
    image = ImageInput(size=(6, 4))
    assert bound_sizes("x", image, [None, 3, None, None]) == [1, 3, 4, 6]
    assert bound_sizes("x", image, [None, 8, 8, 3]) == [1, 8, 8, 3]
    model = identity("n,3,h,w")
    pixels = pixels_of(6, 4)
    package = webdnn.compile(model, target="wasm", input_images={"x": image}, jobs=1)
    result = package.run({"x": pixels})["y"]
    np.testing.assert_allclose(result, chw(pixels[..., :3] / 255), atol=1e-6)


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("x=uint8-rgba", ImageInput()),
        ("x=uint8-rgb,resize=bicubic,antialias=false", ImageInput("uint8-rgb", resize="bicubic", antialias=False)),
        ("x=uint8-rgba,crop=center,shortest-edge=256", ImageInput(fit="crop", shortest_edge=256)),
        ("x=uint8-rgba,crop=center,crop_pct=0.875", ImageInput(fit="crop", crop_pct=0.875)),
        ("x=uint8-rgba,pad=114,size=640x480", ImageInput(fit="pad", pad=114, size=(640, 480))),
        ("x=uint8-rgba,size=64..1920:2@640x480", ImageInput(size=("64..1920:2@640", 480))),
        ("x=uint8-rgba,fit=pad", ImageInput(fit="pad")),
        ("x=uint8-rgba,mean=0.485,0.456,0.406,std=0.5,scale=1/255,layout=nchw,order=bgr",
         ImageInput(mean=IMAGENET_MEAN, std=[0.5], scale=1 / 255, layout="nchw", order="bgr")),
        ("x=uint8-gray,mode=clip", ImageInput("uint8-gray", mode="clip")),
    ],
)  # fmt: skip
def test_text(text: str, image: ImageInput) -> None:
    assert parse_image_input(text) == ("x", image)
    assert parse_image_input(image_text("x", image)) == ("x", image)


def test_names_in_text() -> None:
    for name in ("a=b", "a,b", "serving_default_x:0", "=", "x=uint8", "é"):
        assert parse_image_input(f"{name}=uint8-rgba,mode=tf") == (name, ImageInput(mode="tf"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "it does not begin with a name and what its pixels are"),
        ("=uint8-rgba", "it does not begin with a name"),
        ("x=uint8-rgbx,mode=tf", "it does not begin with a name"),
        ("x=uint8-rgba,sise=3x4", "'sise' is no key of it\n.*one of size, resize"),
        ("x=uint8-rgba,size=3", "size=3 is not of the form 640x480"),
        ("x=uint8-rgba,size=0x4", "its size is"),
        ("x=uint8-rgba,size=0..4x4", "its size is.*their ranges, such as 64..1920x64..1080"),
        ("x=uint8-rgba,size=8..4x4", "the range 8..4 holds no size"),
        ("x=uint8-rgba,size=h:8..64xw:8..64", "their ranges, such as 64..1920x64..1080"),
        ("x=uint8-rgba,resize=lanczos", "'lanczos' is not known\n.*one of bilinear, bicubic, nearest"),
        ("x=uint8-rgba,bilinear", "'bilinear' is not of the form key=value"),
        ("x=uint8-rgba,mean=a", "mean=a is not a list of numbers"),
        ("x=uint8-rgba,scale=1/0", "scale=1/0 is not a number"),
        ("x=uint8-rgba,scale=1,2", "scale=1,2 is not one value"),
        ("x=uint8-rgba,std=0", "none of them 0"),
        ("x=uint8-rgba,std=nan", "none of them 0"),
        ("x=uint8-rgba,mean=inf", "finite numbers"),
        ("x=uint8-rgba,crop=left", "crop=left is not center"),
        ("x=uint8-rgba,crop=center,pad=1", "it has a frame's value"),
        ("x=uint8-rgba,crop=center,fit=pad", "it is to crop and to pad"),
        ("x=uint8-rgba,shortest-edge=256", "it has shortest_edge, and crops nothing"),
        ("x=uint8-rgba,crop=center,crop-pct=2", "its crop_pct is 2"),
        ("x=uint8-rgba,crop=center,crop-pct=1,shortest_edge=4", "both"),
        ("x=uint8-rgba,pad=300", "from 0 to 255"),
        ("x=uint8-rgba,mode=tf,mode=tf", "'mode' stands twice"),
        ("x=uint8-rgba,antialias=maybe", "antialias=maybe is not true or false"),
    ],
)  # fmt: skip
def test_wrong_text(text: str, message: str) -> None:
    with pytest.raises(WebDNNError, match=f"(?s){message}"):
        parse_image_input(text)


@pytest.mark.parametrize(
    ("shape", "image", "message"),
    [
        ("1,3,8", ImageInput(), r"the input 'x' is no picture\n  where: \[1, 3, 8\]"),
        ("1,8,8,5", ImageInput(), "pictures have 1, 3 or 4 channels"),
        ("1,8,8,3", ImageInput(layout="nchw"), "is no picture of layout nchw"),
        ("1,3,3,3", ImageInput(), "does not say which dimension is its channels"),
        ("1,3,0,8", ImageInput(), "has no pixels"),
        ("1,3,8,8", ImageInput(order="gray"), "the order gray is one of 1 and not of 3 channels"),
        ("1,1,8,8", ImageInput(mode="imagenet"), "it has 3 numbers as mean, and the model's input has 1 channel\n"),
        ("1,8,8,4", ImageInput("uint8-rgb"), "the model reads alpha"),
        ("1,3,8,8", ImageInput(fit="crop", shortest_edge=4), "is resized to 4x4, and the model reads 8x8"),
        ("n,3,h,w", ImageInput(), r"the height and width of the input 'x' are open\n  where: \[\?, 3, \?, \?\]"),
        ("n,c,h,w", ImageInput(), "give the sizes that are open"),
        ("n,c,h,w", ImageInput(layout="nchw"), "how many channels the input 'x' has"),
    ],
)  # fmt: skip
def test_what_is_no_picture(shape: str, image: ImageInput, message: str) -> None:
    with pytest.raises(WebDNNError, match=message):
        webdnn.compile(identity(shape), input_images={"x": image}, jobs=1)


def test_no_such_input() -> None:
    with pytest.raises(WebDNNError, match=r"no input named 'z'\n.*its inputs are 'x'"):
        webdnn.compile(identity("1,3,4,4"), input_images={"z": ImageInput()}, jobs=1)


ANY = {
    "stretch": ImageInput(mode="imagenet"),
    "bicubic": ImageInput(resize="bicubic"),
    "single points": ImageInput(antialias=False, order="bgr"),
    "bicubic, single points": ImageInput(resize="bicubic", antialias=False),
    "nearest": ImageInput(resize="nearest", fit="crop"),
    "crop": ImageInput(fit="crop"),
    "crop of a share": ImageInput(fit="crop", crop_pct=0.8),
    "shortest edge": ImageInput(fit="crop", shortest_edge=13, resize="bicubic"),
    "frame": ImageInput(fit="pad", pad=114),
    "nearest in a frame": ImageInput(fit="pad", resize="nearest"),
}
PICTURES = ((1, 1), (10, 8), (31, 17), (17, 31), (40, 3), (5, 5), (20, 16), (1, 40), (33, 9))


@pytest.mark.parametrize("image", ANY.values(), ids=ANY)
def test_a_picture_of_any_size(image: ImageInput) -> None:
    """What is computed in a run is what is computed at compile time for that size."""
    anything = dataclasses.replace(image, size=("1..40", "1..40@30"))
    for width, height in PICTURES:
        pixels = pixels_of(width, height)
        known = dataclasses.replace(image, size=(width, height))
        wanted = tensor(known, pixels, "1,3,8,10")
        found = tensor(anything, pixels, "1,3,8,10")
        np.testing.assert_allclose(found, wanted, atol=2e-5, err_msg=f"{width}x{height}")


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
def test_a_picture_of_any_size_on_both_back_ends(fit: Any) -> None:
    image = ImageInput(size=("1..40", "1..40"), fit=fit, mode="tf")
    package = webdnn.compile(identity("1,3,8,10"), input_images={"x": image}, jobs=1)
    for width, height in ((31, 17), (3, 40), (1, 1)):
        pixels = pixels_of(width, height)
        known = dataclasses.replace(image, size=(width, height))
        wanted = tensor(known, pixels, "1,3,8,10")
        for engine in ("wasmtime", "wgpu"):
            found = package.run({"x": pixels}, engine)["y"]
            np.testing.assert_allclose(found, wanted, atol=2e-5, err_msg=engine)


@pytest.mark.parametrize(
    ("image", "shape", "message"),
    [
        (ImageInput(size=("1..40", 9), fit="crop", shortest_edge=7), "1,3,8,10", "resized to 7x7, and the model reads"),
        (ImageInput(size=("1..9000000", 9)), "1,3,8,10", "may be too large for the 10 .*a range up to 838860"),
    ],
)  # fmt: skip
def test_a_picture_of_any_size_that_does_not_fit(
    image: ImageInput, shape: str, message: str
) -> None:
    with pytest.raises(WebDNNError, match=f"(?s){message}"):
        tensor(image, pixels_of(20, 9), shape)


def test_the_sizes_of_a_picture_are_those_that_a_model_leaves_open() -> None:
    image = ImageInput(size=("2..9", "2..6"), fit="crop")
    package = webdnn.compile(identity("n,3,h,w"), input_images={"x": image}, target="wasm", jobs=1)
    for width, height in ((9, 2), (3, 6)):
        pixels = pixels_of(width, height)
        found = package.run({"x": pixels})["y"]
        np.testing.assert_allclose(found, chw(pixels[..., :3] / 255), atol=1e-6)


def test_gray_pictures_of_any_size_for_a_batch_of_integers() -> None:
    image = ImageInput("uint8-gray", size=(5, "2..9"), layout="nchw")
    pixels = pixels_of(5, 7, 2).transpose(2, 0, 1)
    found = tensor(image, pixels, "2,1,4,4", "uint8")
    wanted = tensor(dataclasses.replace(image, size=(5, 7)), pixels, "2,1,4,4", "uint8")
    np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (ImageInput(fit="crop", crop_pct=0.9), "nothing is cut out"),
        (ImageInput(size=(8, 8)), "varies, and its picture's is another one"),
        (ImageInput(size=("2..8", 8)), "varies, and that of the input varies in another range"),
    ],
)
def test_an_input_whose_size_varies_otherwise(image: ImageInput, message: str) -> None:
    sizes = {"x": [1, 3, "h:2..9", "w:2..9"]}
    with pytest.raises(WebDNNError, match=message):
        webdnn.compile(identity("1,3,h,w"), input_images={"x": image}, shapes=sizes, target="wasm")

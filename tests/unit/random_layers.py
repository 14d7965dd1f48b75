"""Steps of random programs: what layers of networks are made of."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.unit.random_programs import RandomProgram, Step


def product(p: RandomProgram) -> None:
    x = p.value("f", 1)
    if x is None:
        return
    array = p.values[x]
    kind = p.among("MatMul", "MatMul", "computed", "Gemm", "Einsum")
    columns = p.among(1, 4, 9, 16)
    inner = array.shape[-1]
    if kind == "Gemm":
        a, b = p.among(0, 1), p.among(0, 1)
        inner = array.shape[0] if a else inner
        y = p.weight(p.array((columns, inner) if b else (inner, columns), np.float32))
        bias = (
            [p.weight(p.array(p.among((), (columns,), (1, columns)), np.float32))]
            if p.chance(0.5)
            else []
        )
        p.add(
            kind,
            [x, y, *bias],
            exact=False,
            transA=a,
            transB=b,
            alpha=p.among(1.0, 0.5),
            beta=p.among(1.0, 2.0),
        )
    elif kind == "Einsum":
        if array.ndim == 2:
            other = p.weight(p.array((inner, columns), np.float32))
            p.add(
                kind,
                [x, other],
                exact=False,
                equation=p.among("ij,jk->ki", "ij,jk->i", "ij,jk->ik", "ij,jk->jik"),
            )
    elif kind == "computed":
        fits = [
            n
            for n, a in p.values.items()
            if a.dtype == array.dtype and a.ndim and a.shape[-2:][0] == inner
        ]
        if fits:
            p.add("MatMul", [x, p.among(*fits)], exact=False)
    else:
        lead = p.among((), (), (1,), (2,)) if array.ndim > 2 else ()
        shape = p.among((*lead, inner, columns), (inner,))
        p.add(kind, [x, p.weight(p.array(shape, np.float32))], exact=False)


def rows(p: RandomProgram) -> None:
    x = p.value("f", 1)
    if x is None:
        return
    array = p.values[x]
    axis = p.axis(array)
    kind = p.among("Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization", "LpNormalization", "Hardmax",
                   "InstanceNormalization", "GroupNormalization", "BatchNormalization")  # fmt: skip
    if array.size == 0 or (array.shape[axis] == 1 and kind not in ("Softmax", "LogSoftmax")):
        return
    if kind == "Hardmax" and x not in p.exact:
        return
    if kind in ("LayerNormalization", "RMSNormalization"):
        shape = array.shape[axis % array.ndim :]
        scale = [
            p.weight(p.array(shape, np.float32))
            for _ in range(p.among(1, 2) if kind[0] == "L" else 1)
        ]
        p.add(kind, [x, *scale], exact=False, axis=axis, epsilon=1e-3)
    elif kind in ("InstanceNormalization", "GroupNormalization"):
        if array.ndim < 3 or np.prod(array.shape[2:]) < 4:
            return
        channels = array.shape[1]
        scales = [p.weight(p.array((channels,), np.float32)) for _ in range(2)]
        groups = {"num_groups": p.among(1, channels)} if kind[0] == "G" else {}
        p.add(kind, [x, *scales], exact=False, epsilon=1e-3, **groups)
    elif kind == "BatchNormalization":
        if array.ndim < 2:
            return
        stats = [p.weight(p.array((array.shape[1],), np.float32)) for _ in range(3)]
        stats.append(p.weight(np.abs(p.array((array.shape[1],), np.float32)) + 0.5))
        p.add(kind, [x, *stats], exact=False)
    elif kind == "LpNormalization":
        p.add(kind, [x], exact=False, axis=axis, p=p.among(1, 2))
    else:
        p.add(kind, [x], exact=kind == "Hardmax", axis=axis)


def picture(p: RandomProgram, kinds: str = "f") -> str | None:
    """A value of rank 3 to 5 with something in it; one is made by a reshape where there is none."""
    x = p.value(kinds, 3)
    if x is None or not p.values[x].size or p.values[x].ndim > 5:
        return None
    return x


def window(p: RandomProgram, spatial: tuple[int, ...], largest: int = 3) -> dict[str, Any]:
    """Random attributes of a window: taps, strides, pads on all sides, dilations."""
    taps = [p.among(*range(1, largest + 1)) for _ in spatial]
    chosen: dict[str, Any] = {"kernel_shape": taps}
    if p.chance(0.5):
        chosen["strides"] = [p.among(1, 2, 3) for _ in spatial]
    if p.chance(0.3):
        chosen["dilations"] = [p.among(1, 2, 3) for _ in spatial]
    if p.chance(0.3):
        chosen["auto_pad"] = p.among("SAME_UPPER", "SAME_LOWER", "VALID")
    elif p.chance(0.7):
        chosen["pads"] = [p.among(0, t // 2, t - 1) for t in (*taps, *taps)]
    return chosen


def convolution(p: RandomProgram) -> None:
    x = picture(p)
    if x is None:
        return
    array = p.values[x]
    channels, spatial = array.shape[1], array.shape[2:]
    group = p.among(1, 1, channels, *(g for g in (2, 3, 4) if channels % g == 0))
    filters = group * p.among(1, 1, 2, 4, 5)
    attributes = window(p, spatial, 4)
    taps = attributes["kernel_shape"]
    if p.chance(0.3):
        shape = (channels, filters // group, *taps)
        if attributes.get("auto_pad") != "VALID":
            attributes.pop(
                "auto_pad", None
            )  # ONNX Runtime's sizes are not ONNX's where a stride exceeds the window
        if p.chance(0.4):
            strides = attributes.get("strides", [1] * len(spatial))
            attributes["output_padding"] = [p.among(0, 1) if s > 1 else 0 for s in strides]
        kind = "ConvTranspose"
    else:
        shape, kind = (filters, channels // group, *taps), "Conv"
    weight = p.weight(p.array(shape, np.float32))
    bias = [p.weight(p.array((filters,), np.float32))] if p.chance(0.5) else []
    p.add(kind, [x, weight, *bias], exact=False, group=group, **attributes)


def pool(p: RandomProgram) -> None:
    x = picture(p)
    if x is None:
        return
    attributes = window(p, p.values[x].shape[2:])
    kind = p.among(
        "MaxPool", "MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool"
    )
    if kind.startswith("Global"):
        p.add(kind, [x], exact=kind == "GlobalMaxPool")
        return
    if kind != "LpPool" or "auto_pad" not in attributes:
        attributes["ceil_mode"] = p.among(0, 1)
    if kind == "AveragePool":
        attributes["count_include_pad"] = p.among(0, 1)
    if kind == "MaxPool" and x in p.exact and p.chance(0.3) and "auto_pad" not in attributes:
        p.add(kind, [x], 2, storage_order=0, **attributes)
    else:
        p.add(kind, [x], exact=kind == "MaxPool", **attributes)


def resize(p: RandomProgram) -> None:
    x = p.value("f", 3)
    if x is None or not p.values[x].size or p.values[x].ndim > 4:
        return
    array = p.values[x]
    mode = p.among("nearest", "linear", "cubic")
    attributes: dict[str, Any] = {"mode": mode}
    attributes["coordinate_transformation_mode"] = p.among(
        "half_pixel", "align_corners", "asymmetric", "pytorch_half_pixel", "half_pixel_symmetric"
    )
    if mode == "nearest":
        attributes["nearest_mode"] = p.among(
            "round_prefer_floor", "round_prefer_ceil", "floor", "ceil"
        )
    if mode == "cubic" and (array.ndim != 4 or p.chance(0.3)):
        attributes["exclude_outside"] = 1
    if mode != "nearest" and p.chance(0.3):
        attributes["antialias"] = 1
    if p.chance(0.5):
        scales = [1.0, 1.0, *(p.among(0.5, 2.0, 1.5, 3.0) for _ in array.shape[2:])]
        p.add("Resize", [x, "", p.constant(scales, np.float32)], exact=False, **attributes)
    else:
        sizes = [*array.shape[:2], *(p.among(1, 3, 4, 7, s * 2) for s in array.shape[2:])]
        p.add("Resize", [x, "", "", p.constant(sizes)], exact=False, **attributes)


def rearrange(p: RandomProgram) -> None:
    x = p.value("f", 4)
    if x is None:
        return
    kind = p.among("DepthToSpace", "SpaceToDepth")
    mode = {"mode": p.among("DCR", "CRD")} if kind[0] == "D" else {}
    p.add(kind, [x], blocksize=2, **mode)


def quantise(p: RandomProgram) -> None:
    """A value in 8 bits and back, with one scale or one for each element of an axis."""
    x = p.value("f", 1, exact=True)
    if x is None:
        return
    array = p.values[x]
    dtype = p.among(np.uint8, np.int8)
    axis = p.axis(array)
    shape = (array.shape[axis],) if p.chance(0.4) else ()
    scale = p.weight(np.exp2(p.rng.integers(-6, -2, shape)).astype(np.float32))
    zero = p.weight(p.array(shape, dtype))
    before = len(p.nodes)
    p.add("QuantizeLinear", [x, scale, zero], axis=axis)
    if len(p.nodes) > before and p.chance(0.8):
        p.add("DequantizeLinear", [list(p.values)[-1], scale, zero], axis=axis)


def integer_product(p: RandomProgram) -> None:
    x = p.value("iu", 1)
    if x is None:
        return
    array = p.values[x]
    if array.dtype.itemsize > 1:
        p.add("MatMul", [x, p.weight(p.array((array.shape[-1], 5), array.dtype))])
        return
    if not array.shape[-1]:
        return  # ONNX Runtime gives what was in memory
    weight = p.weight(p.array((array.shape[-1], p.among(1, 4, 9)), p.among(np.uint8, np.int8)))
    zero = p.weight(p.array((), array.dtype))
    p.add("MatMulInteger", [x, weight, zero] if p.chance(0.5) else [x, weight])


def attention(p: RandomProgram) -> None:
    """softmax(x x') x, of a value with itself, with a mask or without."""
    x = p.value("f", 3)
    if x is None or not p.values[x].size:
        return
    array = p.values[x]
    order = [*range(array.ndim - 2), array.ndim - 1, array.ndim - 2]
    names: list[str] = []

    def then(kind: str, inputs: list[str], **attributes: Any) -> bool:
        before = len(p.nodes)
        p.add(kind, inputs, exact=False, **attributes)
        names.append(list(p.values)[-1])
        return len(p.nodes) > before

    if not then("Transpose", [x], perm=order) or not then("MatMul", [x, names[-1]]):
        return
    if not then("Mul", [names[-1], p.constant(0.25, np.float32)]):
        return
    if p.chance(0.4):
        length = array.shape[-2]
        mask = np.where(np.tri(length, dtype=np.bool_), 0, -1e4).astype(np.float32)
        if not then("Add", [names[-1], p.weight(mask)]):
            return
    if then("Softmax", [names[-1]], axis=-1):
        then("MatMul", [names[-1], x])


def others(p: RandomProgram) -> None:
    x = p.value()
    if x is None:
        return
    kind = p.among("Shape", "Size", "Trilu", "OneHot", "EyeLike")
    if kind == "Trilu":
        p.add(kind, [x, p.constant(p.among(-1, 0, 1))], upper=p.among(0, 1))
    elif kind == "OneHot":
        p.add(kind, [x, p.constant(5), p.constant([0.25, 1.5], np.float32)], axis=p.among(-1, 0))
    else:
        p.add(kind, [x])


STEPS: dict[Step, int] = {
    product: 4,
    rows: 3,
    convolution: 5,
    pool: 3,
    resize: 3,
    rearrange: 2,
    quantise: 3,
    integer_product: 2,
    attention: 2,
    others: 1,
}
"""How often each is taken, relative to the others."""

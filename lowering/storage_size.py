"""How many bytes a tensor takes in the memory of a target."""

from __future__ import annotations

from math import prod

from xdsl.dialects.builtin import AnyFloat, IntegerType, TensorType
from xdsl.ir import Attribute, SSAValue

from webdnn.dialects.webgpu_limits import WebGPULimits


def element_bytes(element: Attribute, target: str) -> int:
    """Bytes of one element in memory: in wasm a truth value is a byte; WebGPU stores at least 32-bit words."""
    if isinstance(element, IntegerType):
        size = max(element.width.data // 8, 1)
    else:
        assert isinstance(element, AnyFloat)
        size = element.bitwidth // 8
    return size if target == "wasm" else max(size, 4)


def tensor_bytes(type: Attribute, target: str) -> int:
    """Bytes of a tensor in memory; an empty one takes an element's, because WebGPU has no empty binding."""
    assert isinstance(type, TensorType)
    return max(prod(type.get_shape()), 1) * element_bytes(type.element_type, target)


def binding_count(value: SSAValue) -> int:
    """How many WebGPU bindings a tensor needs."""
    return -(-tensor_bytes(value.type, "webgpu") // WebGPULimits.binding_bytes)

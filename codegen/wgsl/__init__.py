"""Level `target` to WGSL text."""

from webdnn.codegen.wgsl.module import (
    KernelInfo,
    Shader,
    kernel_info,
    label_comment,
    print_shaders,
    print_wgsl,
)

__all__ = [
    "KernelInfo",
    "Shader",
    "kernel_info",
    "label_comment",
    "print_shaders",
    "print_wgsl",
]

"""The back ends, each as one `Target`, by name."""

from __future__ import annotations

from webdnn.dialects.errors import WebDNNError
from webdnn.targets.target import AnyTarget
from webdnn.targets.wasm import WasmTarget
from webdnn.targets.webgpu import WebGPUTarget

TARGETS: dict[str, AnyTarget] = {target.name: target for target in (WasmTarget(), WebGPUTarget())}


def find_target(name: str) -> AnyTarget:
    """The target of a name.

    Raises:
        WebDNNError: there is none.
    """
    if name not in TARGETS:
        raise WebDNNError(f"there is no target {name!r}", hint="one of " + ", ".join(TARGETS))
    return TARGETS[name]

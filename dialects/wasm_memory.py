"""The size of a WebAssembly memory (WebAssembly core specification, section 2.3.10)."""

from __future__ import annotations

from webdnn.dialects.errors import WebDNNError

PAGE = 65536
"""Bytes of a page."""
MAX_PAGES = 65536
"""4 GiB: all that 32-bit addresses can reach."""


def check_pages(pages: int) -> None:
    """Check that a memory of so many pages can be.

    Raises:
        WebDNNError: it would have more than 4 GiB.
    """
    if pages > MAX_PAGES:
        raise WebDNNError(
            f"the model needs {pages * PAGE / 2**30:.1f} GiB of memory on the wasm back end",
            why="a WebAssembly memory with 32-bit addresses ends at 4 GiB",
            hint="a smaller input, batch or model, or the webgpu back end",
        )

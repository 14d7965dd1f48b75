"""What a package keeps of a model's free metadata."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

from webdnn.dialects.errors import shortened

MOST_BYTES = 64 << 10
"""What the metadata of a package may come to, in UTF-8: it stands in its manifest, which a browser reads before all
else."""


def kept_metadata(pairs: Sequence[Sequence[str]]) -> dict[str, str]:
    """The pairs of key and value that fit into a manifest, in their order; there is a warning about the others, which
    are the largest."""
    entries = {pair[0]: pair[1] for pair in pairs if len(pair) == 2}
    sizes = {key: len(key.encode()) + len(value.encode()) for key, value in entries.items()}
    kept: set[str] = set()
    room = MOST_BYTES
    for key in sorted(sizes, key=lambda k: sizes[k]):
        room -= sizes[key]
        if room < 0:
            break
        kept.add(key)
    left = [key for key in sizes if key not in kept]
    if left:
        warnings.warn(
            f"metadata of the model is left out of the package: {', '.join(shortened(left))}; "
            f"a package holds {MOST_BYTES:,} bytes of it",
            stacklevel=3,
        )
    return {key: value for key, value in entries.items() if key in kept}

"""Paths that a file gives: of its external data, or of what an archive holds."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath


def parts_inside(location: str) -> tuple[str, ...] | None:
    """The steps from a folder to a file in it; None where the path is empty, or absolute or up on any system."""
    windows = PureWindowsPath(location)
    parts = PurePosixPath(location).parts
    if not parts or "\0" in location or windows.drive or windows.root or parts[0] == "/":
        return None
    return None if ".." in parts or ".." in windows.parts else parts

"""How optional dependencies are added to this installation."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import distributions
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

DISTRIBUTION = "webdnn"


def install_command(extra: str) -> str:
    """The command that installs an extra of the distribution, from where it was installed from itself.

    That is what the installer notes in `direct_url.json` (PyPA's "Recording the Direct URL Origin"); without that file
    it is a package index.
    """
    editable, requirement = _requirement(extra)
    return f"pip install {'-e ' if editable else ''}{shlex.quote(requirement)}"


def _requirement(extra: str) -> tuple[bool, str]:
    """Whether it is to be editable, and what pip is to install."""
    wanted = f"{DISTRIBUTION}[{extra}]"
    origin = _origin()
    url = origin.get("url", "")
    if "dir_info" in origin:
        folder = url2pathname(urlsplit(url).path)
        return bool(origin["dir_info"].get("editable")), f"{folder}[{extra}]"
    if "vcs_info" in origin:
        source = origin["vcs_info"]
        return False, f"{wanted} @ {source['vcs']}+{url}@{source['commit_id']}"
    return False, f"{wanted} @ {url}" if url else wanted


def _origin() -> dict[str, Any]:
    for found in distributions(name=DISTRIBUTION):  # beside sources lies metadata without that file
        if text := found.read_text("direct_url.json"):
            return json.loads(text)
    return {}


__all__ = ["install_command"]

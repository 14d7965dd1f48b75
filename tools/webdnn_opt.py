"""`webdnn-opt`: look at the IR of any level and run passes on it (xDSL's `xdsl-opt` with our dialects and passes)."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.xdsl_opt_main import xDSLOptMain


class WebDNNOpt(xDSLOptMain):
    """`xdsl-opt` that also finds the dialects, passes and targets of `webdnn`."""

    version_format = "webdnn-opt built from xdsl version {xdsl_version}"


def main(args: Sequence[str] | None = None) -> None:
    """Run the tool; its exit code is 1 where the input or a pass is wrong."""
    WebDNNOpt("Inspect and transform WebDNN IR", args).run()

"""How far a long task is: a bar on a terminal, silence elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.progress import Progress as RichProgress

from webdnn.frontends.download import Progress


@contextmanager
def no_progress(name: str, steps: int | None) -> Generator[Callable[[], None]]:
    """Shows nothing."""
    yield lambda: None


@contextmanager
def progress_bars(console: Console | None = None) -> Generator[Progress]:
    """Bars for the tasks opened inside; on a console that is no terminal they show once, when they are done."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with RichProgress(*columns, console=console or Console(stderr=True)) as bars:

        @contextmanager
        def task(name: str, steps: int | None) -> Generator[Callable[[], None]]:
            row = bars.add_task(name, total=steps)
            yield lambda: bars.advance(row)
            bars.update(row, total=steps or 1, completed=steps or 1)

        yield task

"""An end by a signal that lets what is open be closed: temporary folders go, and processes that were started."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What ends a process at once by default. (Of SIGINT Python makes an exception by itself.)"""


class Terminated(BaseException):
    """A signal asks this process to end. No error, and not to be caught by who handles those.

    Args:
        number: the signal's.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def _leave(number: int, frame: FrameType | None) -> None:
    restore_signals()
    raise Terminated(number)


@contextmanager
def closing_when_terminated() -> Generator[None, None, None]:
    """Within this, where a signal would end the process at once an exception does, and the exit code is that of shells.

    A second signal ends it at once. Signals that have a handler already, or are ignored, stay as they are; so do all in
    a thread that is not the main one, which cannot handle them.
    """
    is_main = threading.current_thread() is threading.main_thread()
    ours = [n for n in _SIGNALS if is_main and signal.getsignal(n) == signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _leave)
    try:
        yield
    except Terminated as end:
        if not ours:
            raise
        raise SystemExit(128 + end.number) from None
    finally:
        if ours:
            restore_signals()


def restore_signals() -> None:
    """Let signals end the process at once again, as they did before: in a fork, which has nothing to close."""
    for number in _SIGNALS:
        if signal.getsignal(number) is _leave:
            signal.signal(number, signal.SIG_DFL)


__all__ = ["Terminated", "closing_when_terminated", "restore_signals"]

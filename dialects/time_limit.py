"""Code that is not ours, and may never end: it is said what is waited for, and after a time it is ended."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from webdnn.dialects.errors import WebDNNError

DEFAULT_TIME_LIMIT = 3600.0
"""Seconds that such code may take, if nothing else is said: more than any that ends was seen to take."""

FIRST_WORD = 10.0
"""Seconds after which it is said which code of a user's is waited for; then after twice as many, and so on."""

_limit: ContextVar[float] = ContextVar("time limit", default=DEFAULT_TIME_LIMIT)


class StillRunning(UserWarning):
    """Says what is waited for. Nothing is wrong yet."""


class TimeLimitError(WebDNNError):
    """Code that is not ours has not ended in time."""


class _Expired(BaseException):
    """The time is over. Code of a user's that handles its own errors does not handle this one."""

    def __init__(self, place: str) -> None:
        self.place = place
        super().__init__(place)


@contextmanager
def time_limit(seconds: float) -> Generator[None, None, None]:
    """Within this, a conversion, or a piece of code of a user's, may take so long; 0: as long as it likes.

    Raises:
        WebDNNError: the number is negative, or none.
    """
    if not seconds >= 0:
        raise WebDNNError(
            f"{seconds} is no time limit", hint="give seconds, or 0 for no limit (--time-limit)"
        )
    token = _limit.set(seconds or float("inf"))
    try:
        yield
    finally:
        _limit.reset(token)


def allowed_seconds() -> float:
    """The time limit here, in seconds; infinite where there is none."""
    return _limit.get()


class Wait:
    """Waiting for something, from now on.

    Args:
        what: what is waited for, as the beginning of a sentence.
        where: its files, or the nodes that it runs for.
        limit: seconds; by default what `time_limit` says.
        first_word: seconds until the first word; by default `FIRST_WORD`.
    """

    def __init__(
        self,
        what: str,
        where: Sequence[str] = (),
        *,
        limit: float | None = None,
        first_word: float | None = None,
    ) -> None:
        self.what = what
        self.where = where
        self._start = time.monotonic()
        self._limit = allowed_seconds() if limit is None else limit
        self._next_word = FIRST_WORD if first_word is None else first_word

    @property
    def left(self) -> float:
        """Seconds until there is something to say or to end; never 0."""
        passed = time.monotonic() - self._start
        return max(min(self._next_word, self._limit) - passed, 1e-3)

    def is_over(self) -> bool:
        """Whether the time is over. If not, it may be time for a word (a StillRunning)."""
        passed = time.monotonic() - self._start
        if passed >= self._limit:
            return True
        if passed >= self._next_word:
            self._next_word *= 2
            where = f" ({', '.join(self.where)})" if self.where else ""
            end = f"; it is ended after {self._limit:g} s" if self._limit < float("inf") else ""
            warnings.warn(
                f"{self.what} has run for {passed:.0f} s{where}{end}", StillRunning, stacklevel=2
            )
        return False

    def error(self, place: Sequence[str] = ()) -> TimeLimitError:
        """What to raise when the time is over.

        Args:
            place: where it was, if that is known.
        """
        return TimeLimitError(
            f"{self.what} has not ended within {self._limit:g} s",
            where=[*self.where, *place],
            why="it waits for something that does not come, or has more to do",
            hint="--time-limit SECONDS (in Python `with webdnn.time_limit(seconds):`) gives it more; 0 is no limit",
        )


@contextmanager
def limited(what: str, where: Sequence[str] = ()) -> Generator[None, None, None]:
    """Within this runs code of a user's in this process. It is ended between two steps of Python's, so not within a
    function of C; and in the main thread alone, where the system has alarms.

    Args:
        what: what is waited for, as the beginning of a sentence.
        where: its file, or the nodes that it runs for.

    Raises:
        TimeLimitError: it did not end in time.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "setitimer"):
        yield
        return
    wait = Wait(what, where)

    def on_alarm(number: int, frame: FrameType | None) -> None:
        is_over = wait.is_over()
        signal.setitimer(signal.ITIMER_REAL, FIRST_WORD if is_over else wait.left)
        if is_over:
            place = "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"
            raise _Expired(place)

    start = time.monotonic()
    handler = signal.signal(signal.SIGALRM, on_alarm)
    others, interval = signal.setitimer(signal.ITIMER_REAL, wait.left)
    try:
        yield
    except _Expired as expired:
        raise wait.error([expired.place] if expired.place else []) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if others:  # an alarm of the caller's
            signal.setitimer(
                signal.ITIMER_REAL, max(others - (time.monotonic() - start), 1e-3), interval
            )


__all__ = [
    "DEFAULT_TIME_LIMIT",
    "StillRunning",
    "TimeLimitError",
    "Wait",
    "allowed_seconds",
    "limited",
    "time_limit",
]

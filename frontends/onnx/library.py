"""Calls ONNX's own library (its checker, its inference of shapes, its converter, its inliner) where it can do no harm.

Some of what it finds in a damaged model ends in a failed assertion, a division by zero or a jump through a wild pointer
in its C++, which would take the caller's whole process down. So within `own_process()` each call is made in another
one: a fork of this where that is safe, else a fresh Python that knows the `onnx` package only.

Schemas of operators that ONNX does not define are registered with the library there, so that this process, and whatever
else it compiles, knows nothing of them. Where there is no fork their functions cannot be passed on; then calls are made
here after all.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

from onnx import ModelProto

from webdnn.dialects.errors import WebDNNError
from webdnn.dialects.onnx import OnnxOp
from webdnn.dialects.termination import restore_signals
from webdnn.dialects.time_limit import Wait, allowed_seconds
from webdnn.frontends.onnx import library_process as process
from webdnn.frontends.onnx.graphs import describe
from webdnn.frontends.onnx.schemas import register, registered

FORKS = sys.platform == "linux"
"""Whether a fork of this process may call C++: elsewhere libraries of the system may not survive it."""
MOST_SECONDS = 60.0
"""How long one call may take, beside shape functions of custom operators, which have a limit of their own. Inference of
shapes of the largest models takes seconds."""

SEARCH_SECONDS = 5.0
"""How long to look for the node that ended it."""

P = ParamSpec("P")
R = TypeVar("R")


class LibraryError(WebDNNError):
    """A call of the library ended its process, or took too much memory or time."""


class _Ended(Exception):
    """The process ended in a call; the message says how."""


class _Exhausted(Exception):
    """A call took too much memory or time."""


class _Process:
    def __init__(self, operators: Sequence[type[OnnxOp]]) -> None:
        runs_custom_code = any(operator.infer is not None for operator in operators)
        self._seconds = MOST_SECONDS + (allowed_seconds() if runs_custom_code else 0.0)
        if FORKS:
            self._fork(operators)
        else:
            self._spawn()

    def _fork(self, operators: Sequence[type[OnnxOp]]) -> None:
        requests, self._requests = os.pipe()
        self._results, results = os.pipe()
        self._popen = None
        self._pid = os.fork()
        if self._pid == 0:
            try:
                os.close(self._requests)
                os.close(self._results)
                restore_signals()
                process.serve(requests, results, _failure_of(register, operators))
            finally:
                os._exit(0)
        os.close(requests)
        os.close(results)

    def _spawn(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-P", process.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        assert self._popen.stdin is not None and self._popen.stdout is not None
        self._requests, self._results = self._popen.stdin.fileno(), self._popen.stdout.fileno()

    def call(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        try:
            process.send(self._requests, (function, arguments, keywords))
            self._await(getattr(function, "__name__", "a call"))
            (succeeded, result), _ = process.receive(self._results)
        except (EOFError, BrokenPipeError):
            raise _Ended(self._last_words()) from None
        if isinstance(result, MemoryError):
            raise _Exhausted("it ran out of memory")
        if not succeeded:
            raise result
        return result

    def _await(self, name: str) -> None:
        """Wait for an answer, for so long as a call may take."""
        if sys.platform == "win32":
            return
        wait = Wait(f"{name} of ONNX's library", limit=self._seconds, first_word=MOST_SECONDS / 2)
        while not _is_readable(self._results, wait.left):
            if wait.is_over():
                raise _Exhausted(f"it did not end within {self._seconds:.0f} s")

    def _last_words(self) -> str:
        if self._popen is not None:
            code = self._popen.wait()
        else:
            _, status = os.waitpid(self._pid, 0)
            code, self._pid = os.waitstatus_to_exitcode(status), 0
        return f"it ended with {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"

    def close(self) -> None:
        """End the process, whatever it is at."""
        if self._popen is not None:
            self._popen.kill()
            self._popen.communicate()
            return
        os.close(self._requests)
        os.close(self._results)
        if self._pid:
            os.kill(self._pid, signal.SIGKILL)
            os.waitpid(self._pid, 0)


def _failure_of(function: Callable[..., Any], *arguments: Any) -> Exception | None:
    """What a call raises, as an answer to whoever asks for more."""
    try:
        function(*arguments)
    except Exception as error:
        return error
    return None


def _is_readable(descriptor: int, seconds: float) -> bool:
    """Whether something can be read within a time. (`select.select` takes no descriptor above 1023.)"""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


class _Library:
    """The process, which is started at the first call and after each call that ended it."""

    def __init__(self, operators: Sequence[type[OnnxOp]]) -> None:
        self._operators = operators
        self._process: _Process | None = None

    def call(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        self._process = self._process or _Process(self._operators)
        try:
            return self._process.call(function, *arguments, **keywords)
        except (_Ended, _Exhausted):
            self.close()
            raise

    def close(self) -> None:
        if self._process is not None:
            self._process.close()
        self._process = None


_current: ContextVar[_Library | None] = ContextVar("library", default=None)


@contextmanager
def own_process(operators: Sequence[type[OnnxOp]] = ()) -> Generator[None, None, None]:
    """Within this, calls of the library are made in a process of their own.

    Args:
        operators: those beyond ONNX's own that the library is to know.
    """
    if operators and not FORKS:
        with registered(operators):
            yield
        return
    library = _Library(operators)
    token = _current.set(library)
    try:
        yield
    finally:
        _current.reset(token)
        library.close()


def call(function: Callable[P, R], *arguments: P.args, **keywords: P.kwargs) -> R:
    """`function(*arguments, **keywords)`, of the `onnx` package; the first argument is a ModelProto.

    Raises:
        LibraryError: the process died of it, and then the error names the node that did it; or it took too much memory
            or time.
    """
    library = _current.get()
    if library is None:
        return function(*arguments, **keywords)
    try:
        return library.call(function, *arguments, **keywords)
    except (_Ended, _Exhausted) as error:
        is_dead = isinstance(error, _Ended)
        raise LibraryError(
            "ONNX's own library fails on the model",
            where=_culprit(library, function, arguments, keywords) if is_dead else (),
            why=f"{getattr(function, '__name__', 'a call of it')}: {error}",
            hint="the node, or a value that it reads, is probably damaged: export the model again",
        ) from None


def _culprit(
    library: _Library, function: Callable[..., Any], arguments: Any, keywords: Any
) -> Sequence[str]:
    """The first node of the main graph with which the call ends its process, found by halving."""
    model, *others = arguments
    assert isinstance(model, ModelProto)
    end = time.monotonic() + SEARCH_SECONDS
    good, bad = -1, len(model.graph.node)  # As many nodes as that.
    while bad - good > 1 and time.monotonic() < end:
        count = (good + bad) // 2
        part = ModelProto()
        part.CopyFrom(model)
        del part.graph.node[count:]
        try:
            library.call(function, part, *others, **keywords)
            good = count
        except _Ended:
            bad = count
        except Exception:  # It has an opinion, so it lives.
            good = count
    found = bad - good == 1 and bad > 0
    return [describe(model.graph.node[bad - 1])] if found else ()

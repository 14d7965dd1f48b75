"""Calls functions of the `onnx` package for another process, which outlives them. Run as a script it imports nothing
else of WebDNN, so that it starts quickly."""

from __future__ import annotations

import faulthandler
import os
import pickle
import signal
import struct
import sys
from typing import Any

_LENGTH = struct.Struct("<Q")


def send(file: int, message: Any) -> None:
    """Write an object to a pipe."""
    data = pickle.dumps(message)
    view = memoryview(_LENGTH.pack(len(data)) + data)
    while view:
        view = view[os.write(file, view) :]


def receive(file: int) -> tuple[Any, int]:
    """Read an object from a pipe; gives its size in bytes too.

    Raises:
        EOFError: the other end was closed.
    """
    (length,) = _LENGTH.unpack(_read(file, _LENGTH.size))
    return pickle.loads(_read(file, length)), length


def _read(file: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = os.read(file, min(count - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


MEMORY = 256 << 20
"""The bytes of address space that a call may take,"""
MEMORY_PER_BYTE = 64
"""and those that it may take for each byte of its arguments. Inference of shapes takes a tenth of that."""


def serve(requests: int, results: int, failure: Exception | None = None) -> None:
    """Answer requests, `(function, arguments, keywords)`, until the pipe is closed: with `(True, result)`, or with
    `(False, exception)`.

    Args:
        requests: where they come from.
        results: where answers go.
        failure: what prevents all requests from being answered: it is the answer.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An assertion that fails in the library prints its C++; the one who called says what happened.
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    while True:
        try:
            (function, arguments, keywords), size = receive(requests)
        except EOFError:
            return
        _limit_memory(MEMORY + MEMORY_PER_BYTE * size)
        try:
            if failure is not None:
                raise failure
            answer: tuple[bool, Any] = (True, function(*arguments, **keywords))
        except MemoryError:
            answer = (False, MemoryError())
        except Exception as error:
            answer = (False, error)
        send(results, answer)


def _limit_memory(more: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # A dump of it would help nobody.
    try:
        with open("/proc/self/statm") as file:
            taken = int(file.read().split()[0]) * resource.getpagesize()
    except OSError:  # Only Linux says how much there is already.
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = taken + more
    if hard == resource.RLIM_INFINITY or limit < hard:
        resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    serve(sys.stdin.fileno(), sys.stdout.fileno())

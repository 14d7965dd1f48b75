"""Calls functions of the `onnx` package for another process, which outlives them. Run as a script it imports nothing
else of WebDNN, so that it starts quickly."""

from __future__ import annotations

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


def receive(file: int) -> Any:
    """Read an object from a pipe.

    Raises:
        EOFError: the other end was closed.
    """
    (length,) = _LENGTH.unpack(_read(file, _LENGTH.size))
    return pickle.loads(_read(file, length))


def _read(file: int, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        part = os.read(file, min(count - len(data), 1 << 20))
        if not part:
            raise EOFError
        data += part
    return bytes(data)


def serve(requests: int, results: int, more_memory: int) -> None:
    """Answer requests, `(function, arguments, keywords)`, until the pipe is closed: with `(True, result)`, or with
    `(False, exception)`.

    Args:
        requests: where they come from.
        results: where answers go.
        more_memory: the bytes of address space that calls may take, where the system can limit them.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An assertion that fails in the library prints its C++; the one who called says what happened.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    _limit_memory(more_memory)
    while True:
        try:
            function, arguments, keywords = receive(requests)
        except EOFError:
            return
        try:
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
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
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
    serve(sys.stdin.fileno(), sys.stdout.fileno(), int(sys.argv[1]))

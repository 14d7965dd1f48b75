"""Reads what a WebAssembly module says of itself: sections, imports, exports, where its data end."""

from __future__ import annotations

from collections.abc import Iterator

IMPORT, EXPORT, CODE, DATA = 2, 7, 10, 11
_KINDS = ("func", "table", "memory", "global", "tag")


class _Reader:
    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def byte(self) -> int:
        self.position += 1
        return self.data[self.position - 1]

    def unsigned(self) -> int:
        """A number in LEB128."""
        result = shift = 0
        while True:
            byte = self.byte()
            result |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return result

    def signed(self) -> int:
        """A number with a sign in LEB128."""
        start = self.position
        value = self.unsigned()
        bits = 7 * (self.position - start)
        return value - (1 << bits) if self.data[self.position - 1] & 0x40 else value

    def take(self, count: int) -> bytes:
        self.position += count
        return self.data[self.position - count : self.position]

    def name(self) -> str:
        return self.take(self.unsigned()).decode()

    def limits(self) -> None:
        flags = self.unsigned()
        self.unsigned()
        if flags & 1:
            self.unsigned()


def sections(module: bytes) -> Iterator[tuple[int, bytes]]:
    """The number and the content of each section."""
    assert module[:8] == b"\0asm\1\0\0\0", "not a WebAssembly module"
    reader = _Reader(module, 8)
    while reader.position < len(module):
        number = reader.byte()
        yield number, reader.take(reader.unsigned())


def code_bytes(module: bytes) -> int:
    """The size of the code of all functions together."""
    return sum(len(content) for number, content in sections(module) if number == CODE)


def imports(module: bytes) -> list[tuple[str, str, str]]:
    """Module, name and kind (`func`, `memory`, ...) of each import."""
    result: list[tuple[str, str, str]] = []
    for number, content in sections(module):
        if number != IMPORT:
            continue
        reader = _Reader(content)
        for _ in range(reader.unsigned()):
            entry = reader.name(), reader.name(), _KINDS[(kind := reader.byte())]
            result.append(entry)
            if kind == 0:
                reader.unsigned()
            elif kind == 1:
                reader.byte()
                reader.limits()
            elif kind == 2:
                reader.limits()
            elif kind == 3:
                reader.take(2)
            else:
                reader.byte()
                reader.unsigned()
    return result


def exports(module: bytes) -> list[tuple[str, str]]:
    """Name and kind of each export."""
    result: list[tuple[str, str]] = []
    for number, content in sections(module):
        if number == EXPORT:
            reader = _Reader(content)
            for _ in range(reader.unsigned()):
                result.append((reader.name(), _KINDS[reader.byte()]))
                reader.unsigned()
    return result


def data_end(module: bytes) -> int:
    """The address behind the last byte that the module writes into memory when it starts; 0 if it writes none."""
    end = 0
    for number, content in sections(module):
        if number != DATA:
            continue
        reader = _Reader(content)
        for _ in range(reader.unsigned()):
            assert reader.unsigned() == 0 and reader.byte() == 0x41, "an active segment, i32.const"
            start = reader.signed() & 0xFFFFFFFF
            assert reader.byte() == 0x0B
            end = max(end, start + len(reader.take(reader.unsigned())))
    return end

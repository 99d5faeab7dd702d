"""What comes out of the sandbox of a compilation: named records, from a stranger, within bounds."""

import struct
from collections.abc import Iterable, Iterator

# The length of the name, and that of the data.
_HEAD = struct.Struct(">HI")
_LONGEST_NAME = 256
_LARGEST = 64 << 20
# What a server prints before Node leaves comes first, and is nothing.
MARK = b"\0mcp-compiled\0"
_MOST_BEFORE = 1 << 20


class RecordsError(Exception):
    """Not what was asked for, or too much of it."""


def read_records(
    chunks: Iterable[bytes], *, most_bytes: int, most_records: int
) -> Iterator[tuple[bytes, bytes]]:
    """Names and data, until the stream or an empty name ends them. Raises RecordsError.

    Whoever breaks off in the middle of a record has given those before it.
    """
    stream = _Stream(chunks, most_bytes)
    if not stream.skip_to(MARK):
        return
    for _ in range(most_records):
        head = stream.take(_HEAD.size)
        if head is None:
            return
        name_size, size = _HEAD.unpack(head)
        if name_size == 0:
            return
        if name_size > _LONGEST_NAME or size > _LARGEST:
            raise RecordsError("a record is too large")
        name, data = stream.take(name_size), stream.take(size)
        if name is None or data is None:
            return
        yield name, data
    raise RecordsError("there are too many records")


class _Stream:
    def __init__(self, chunks: Iterable[bytes], most: int) -> None:
        self._chunks = iter(chunks)
        self._left = most
        self._data = bytearray()

    def skip_to(self, mark: bytes) -> bool:
        while (at := self._data.find(mark)) < 0:
            if len(self._data) > _MOST_BEFORE:
                raise RecordsError("there is too much before the first record")
            if not self._more():
                return False
        del self._data[: at + len(mark)]
        return True

    def take(self, size: int) -> bytes | None:
        while len(self._data) < size:
            if not self._more():
                return None
        data = bytes(self._data[:size])
        del self._data[:size]
        return data

    def _more(self) -> bool:
        chunk = next(self._chunks, None)
        if chunk is None:
            return False
        self._left -= len(chunk)
        if self._left < 0:
            raise RecordsError("there are too many bytes")
        self._data += chunk
        return True

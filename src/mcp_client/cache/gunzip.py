"""Decompress a hostile gzip file (RFC 1952): bounded, in order, and checked to its last byte.

The standard gzip module reads a header's text fields byte by byte, so a file that is one long name keeps it
busy for minutes; zlib's own parser does not.

zlib-ng is zlib with today's instructions: half again as fast, and it refuses what zlib refuses. ISA-L is no
faster in the end, and takes reserved header bits and some damaged streams for good.
"""

from collections.abc import Iterable, Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

from mcp_client.cache.refusals import invalid, too_large


def _fastest() -> ModuleType:
    try:
        return import_module("zlib_ng.zlib_ng")
    except ImportError:
        return import_module("zlib")


zlib = _fastest()
PIECE = 256 << 10
# Each member of a file costs a decoder; seekable archives have one for each of their files.
_MAX_MEMBERS = 200_000


def gunzip(compressed: Iterable[bytes | memoryview], limit: int) -> Iterator[bytes]:
    """The decompressed bytes, in pieces of up to ``PIECE`` bytes and at most ``limit`` bytes in all.

    What was yielded is only known to be what was compressed when there is no more. Raises ``bundle-invalid``
    and ``bundle-too-large``, and what ``compressed`` raises.
    """
    total = 0
    for data in _decompress(compressed):
        total += len(data)
        if total > limit:
            raise too_large(limit)
        yield data


def _decompress(compressed: Iterable[bytes | memoryview]) -> Iterator[bytes]:
    members = _Members()
    for piece in compressed:
        left = piece
        while left:
            data, left = members.decompress(left)
            if data:
                yield data
    # The decoder may hold back some of what it has read.
    while data := members.rest():
        yield data


class _Members:
    """A gzip file is any number of compressed members, one after another (RFC 1952, 2.2)."""

    def __init__(self) -> None:
        self._count = 0
        self._decoder: Any = None

    def decompress(self, compressed: bytes | memoryview) -> tuple[bytes, bytes]:
        """Up to ``PIECE`` bytes, and what is left of ``compressed`` to come with next time."""
        if self._decoder is None:
            if self._count:
                # Tapes padded the last block with zeros, and gzip(1) accepts them.
                compressed = bytes(compressed).lstrip(b"\0")
                if not compressed:
                    return b"", b""
            self._count += 1
            if self._count > _MAX_MEMBERS:
                raise invalid("it is compressed in too many parts")
            self._decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
        data, decoder = self._decoded(compressed), self._decoder
        if decoder.eof:
            self._decoder = None
            return data, decoder.unused_data
        return data, decoder.unconsumed_tail

    def rest(self) -> bytes:
        """More bytes when nothing more is coming; none after the last one of a whole file."""
        if self._decoder is None:
            if not self._count:
                raise invalid("it is empty")
            return b""
        data = self._decoded(b"")
        if self._decoder.eof:
            self._decoder = None
        elif not data:
            raise invalid("it is cut short")
        return data

    def _decoded(self, compressed: bytes | memoryview) -> bytes:
        try:
            return bytes(self._decoder.decompress(compressed, PIECE))
        except zlib.error as error:
            raise invalid("its compression is damaged") from error

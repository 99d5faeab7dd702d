"""Decompress a hostile gzip file (RFC 1952): bounded, in order, and checked to its last byte.

The standard module reads a header's text fields byte by byte, so a file that is one long name keeps it busy
for minutes; zlib's own parser does not.
"""

import zlib
from typing import BinaryIO

from mcp_client.cache.refusals import invalid, too_large

_COMPRESSED_CHUNK = 64 << 10
_CHUNK = 256 << 10
_GZIP = 16 + zlib.MAX_WBITS
# Each member of a file costs a decoder; seekable archives have one for each of their files.
_MAX_MEMBERS = 200_000


class GzipStream:
    """The decompressed bytes of ``file``, of which at most ``limit`` may be read."""

    def __init__(self, file: BinaryIO, limit: int) -> None:
        """Nothing is read yet."""
        self.position = 0
        self._file = file
        self._limit = limit
        self._decoder = zlib.decompressobj(_GZIP)
        self._members = 0
        self._between_members = True
        self._compressed = b""
        self._ready = memoryview(b"")

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end only. Raises ``bundle-invalid`` and ``bundle-too-large``."""
        pieces = []
        left = size
        while left:
            piece = self.read_some(left)
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def read_some(self, size: int) -> bytes:
        """Between one byte and ``size``; none at the end. Raises like read()."""
        if not self._ready:
            self._ready = memoryview(self._decompress())
        piece = bytes(self._ready[:size])
        self._ready = self._ready[size:]
        self.position += len(piece)
        if self.position > self._limit:
            raise too_large(self._limit)
        return piece

    def skip(self, size: int) -> None:
        """Read and forget ``size`` bytes; an end before that is ``bundle-invalid``."""
        end = self.position + size
        while self.position < end:
            if not self.read_some(end - self.position):
                raise invalid("it is cut short")

    def drain(self) -> None:
        """Read to the end: what was read is only then known to be what was compressed."""
        while self.read_some(_CHUNK):
            pass

    def _decompress(self) -> bytes:
        try:
            while True:
                compressed = self._compressed or self._file.read(_COMPRESSED_CHUNK)
                if self._between_members:
                    # Tapes padded the last block with zeros, and gzip(1) accepts them.
                    stripped = compressed.lstrip(b"\0") if self._members else compressed
                    if not stripped:
                        if compressed:
                            self._compressed = b""
                            continue
                        if not self._members:
                            raise invalid("it is empty")
                        return b""
                    self._begin_member()
                    compressed = stripped
                data = self._decoder.decompress(compressed, _CHUNK)
                self._compressed = self._decoder.unconsumed_tail
                if self._decoder.eof:
                    self._compressed = self._decoder.unused_data
                    self._decoder = zlib.decompressobj(_GZIP)
                    self._between_members = True
                elif not data and not compressed:
                    raise invalid("it is cut short")
                if data:
                    return data
        except zlib.error as error:
            raise invalid(str(error)) from error

    def _begin_member(self) -> None:
        self._between_members = False
        self._members += 1
        if self._members > _MAX_MEMBERS:
            raise invalid("it is compressed in too many parts")

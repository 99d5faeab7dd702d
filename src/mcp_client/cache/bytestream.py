"""Pieces of bytes as one stream, to be read in any sizes."""

from collections.abc import Iterable

from mcp_client.cache.refusals import invalid

_ANY = 1 << 20


class ByteStream:
    """Reads through ``pieces`` once; ``position`` counts the bytes that were read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Nothing is read yet. Every method raises what ``pieces`` raises."""
        self.position = 0
        self._pieces = iter(pieces)
        self._piece = b""
        self._at = 0

    def read(self, size: int) -> bytes:
        """``size`` bytes, fewer at the end only."""
        piece, at = self._piece, self._at
        if len(piece) - at >= size:
            self._at = at + size
            self.position += size
            return piece[at : at + size]
        parts = []
        left = size
        while left and (part := self.read_some(left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    def read_some(self, size: int) -> memoryview:
        """Between one byte and ``size``; none at the end."""
        while self._at >= len(self._piece):
            piece = next(self._pieces, None)
            if piece is None:
                return memoryview(b"")
            self._piece, self._at = piece, 0
        part = memoryview(self._piece)[self._at : self._at + size]
        self._at += len(part)
        self.position += len(part)
        return part

    def skip(self, size: int) -> None:
        """Read and forget ``size`` bytes; an end before that is ``bundle-invalid``."""
        end = self.position + size
        while self.position < end:
            if not self.read_some(end - self.position):
                raise invalid("it is cut short")

    def drain(self) -> None:
        """Read to the end: what was read is only then known to be what was compressed."""
        while self.read_some(_ANY):
            pass

"""Bytes on their way from one thread to another, in order and never many at a time.

Built on SimpleQueue, whose methods are atomic: an exception that a signal raises in the main thread, at
whatever moment, leaves no lock behind that the other thread would wait for.
"""

from collections.abc import Iterator
from queue import SimpleQueue
from typing import Generic, TypeVar

Piece = TypeVar("Piece", bytes, memoryview)


class Stopped(Exception):  # noqa: N818  it is no error: the other side has ended
    """Nobody reads, or nobody will write, any more."""


class Channel(Generic[Piece]):
    """One thread puts, one thread iterates, any thread may stop both."""

    def __init__(self, room: int) -> None:
        """``room`` is how many pieces may wait to be read."""
        self._pieces: SimpleQueue[Piece | None] = SimpleQueue()
        self._room: SimpleQueue[None] = SimpleQueue()
        self._error: BaseException | None = None
        self._stopped = False
        for _ in range(room):
            self._room.put(None)

    def put(self, piece: Piece) -> None:
        """Hand over one piece, waiting for room. Raises Stopped."""
        self._room.get()
        if self._stopped:
            self._room.put(None)
            raise Stopped
        self._pieces.put(piece)

    def end(self, error: BaseException | None = None) -> None:
        """No more is coming; with ``error`` the reader meets it after what was put."""
        self._error = error
        self._pieces.put(None)

    def stop(self) -> None:
        """Wake both sides; whatever waits to be read is dropped."""
        self._stopped = True
        self._pieces.put(None)
        self._room.put(None)

    def __iter__(self) -> Iterator[Piece]:
        """What was put, until the end. Raises Stopped, and the error given to end()."""
        while True:
            piece = self._pieces.get()
            if self._stopped:
                raise Stopped
            if piece is None:
                if self._error is not None:
                    raise self._error
                return
            self._room.put(None)
            yield piece
